"""Restrict MySQL logins to unverified servers: the password is sent only as a hash with the server's salt."""

from __future__ import annotations

import ssl
from typing import Any, NoReturn

from asyncmy import auth
from asyncmy.connection import Connection
from asyncmy.errors import OperationalError

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.mysql_logins import CLEAR_LOGINS, KEY_LOGINS, KEY_REQUESTS, NATIVE, REFUSAL, REFUSED

_Connection: Any = Connection
_caching_sha2: Any = auth.caching_sha2_password_auth


class Abrupt(_Connection):  # type: ignore[misc]  # half of what we need of it is missing from its stubs
    """asyncmy's connection, whose ``close`` drops the socket without waiting.

    Over TLS asyncmy's own ``close`` waits for the server's close_notify: a server that hangs, or that has refused the
    login, sends none, and its socket would outlive the event loop. ``ensure_closed`` sends the quit message first.
    """

    def close(self) -> None:
        """Drop the socket without a close_notify."""
        transport: Any = self._transport
        if transport is not None:
            transport.abort()
        super().close()


class Guarded(Abrupt):
    """asyncmy's connection that refuses to reveal its password.

    Attributes:
        on_loopback: public keys and unverified TLS are accepted, because no one can be in between.
    """

    _auth_plugin_name: str
    on_loopback = False

    async def _get_server_information(self) -> None:
        """Start with a hash, whatever plug-in the server's greeting names.

        The server then asks for the plug-in of the user, and ``_process_auth`` decides about that one.
        """
        await super()._get_server_information()
        if not self.on_loopback and self._auth_plugin_name in KEY_LOGINS:
            self._auth_plugin_name = NATIVE

    async def _process_auth(self, plugin_name: Any, auth_packet: Any) -> Any:
        plugin = plugin_name.decode() if isinstance(plugin_name, bytes) else plugin_name
        if plugin in CLEAR_LOGINS or (plugin == "sha256_password" and not self.on_loopback):
            refuse(plugin)
        if plugin == "caching_sha2_password" and not self.on_loopback:
            return await _caching_sha2(_Unverified(self), auth_packet)
        return await super()._process_auth(plugin_name, auth_packet)


class _Unverified:
    """Show a connection to `caching_sha2_password` as one that is not secure, so that it sends only a hash."""

    _secure = False
    _server_public_key = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_packet(self, payload: bytes) -> None:
        """Send a packet, unless it requests the server's public key."""
        if payload in KEY_REQUESTS:
            refuse("caching_sha2_password")
        self._connection.write_packet(payload)


def plain_connection(arguments: dict[str, Any], *, cleartext_password: bool) -> Any:
    """Return an asyncmy connection that is not open yet.

    Args:
        arguments: asyncmy's; ``ssl`` is a context or missing.
        cleartext_password: send the password in the clear, if the server asks for it.
    """
    context = arguments.get("ssl")
    if cleartext_password or (context is not None and context.verify_mode is ssl.CERT_REQUIRED):
        return Abrupt(**arguments)
    raw: Any = Guarded(**arguments)
    raw.on_loopback = Endpoint(arguments["host"], arguments["port"]).is_loopback
    return raw


def refuse(plugin: str) -> NoReturn:
    """Refuse an authentication plug-in.

    Raises:
        OperationalError: asyncmy's, always.
    """
    raise OperationalError(REFUSED, REFUSAL.format(plugin=plugin))
