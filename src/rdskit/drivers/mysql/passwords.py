"""MySQL's logins to unverified servers: the password leaves only as a hash with the server's salt."""

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
    """asyncmy's connection, closed at once.

    Over TLS asyncmy's own ``close`` waits for the server's close_notify: a server that hangs, or that has refused the
    login, sends none, and its socket would outlive the event loop. ``ensure_closed`` sends the quit message first.
    """

    def close(self) -> None:
        """Drop the socket."""
        transport: Any = self._transport
        if transport is not None:
            transport.abort()
        super().close()


class Guarded(Abrupt):
    """asyncmy's connection that keeps its password.

    Attributes:
        on_loopback: keys and TLS without verification are good enough, because no one is in between.
    """

    _auth_plugin_name: str
    on_loopback = False

    async def _get_server_information(self) -> None:
        """Begin by a hash, whatever the server's default is: it then asks for another login, which is decided on."""
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
    """A connection as `caching_sha2_password` sees it: a hash may be sent, and nothing more."""

    _secure = False
    _server_public_key = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_packet(self, payload: bytes) -> None:
        """Send a packet, unless it asks for a key."""
        if payload in KEY_REQUESTS:
            refuse("caching_sha2_password")
        self._connection.write_packet(payload)


def plain_connection(arguments: dict[str, Any], *, cleartext_password: bool) -> Any:
    """Return a connection of asyncmy that is not open yet.

    Args:
        arguments: asyncmy's; ``ssl`` is a context or missing.
        cleartext_password: the server may have the password in the clear.
    """
    context = arguments.get("ssl")
    if cleartext_password or (context is not None and context.verify_mode is ssl.CERT_REQUIRED):
        return Abrupt(**arguments)
    raw: Any = Guarded(**arguments)
    raw.on_loopback = Endpoint(arguments["host"], arguments["port"]).is_loopback
    return raw


def refuse(plugin: str) -> NoReturn:
    """Refuse a login.

    Raises:
        OperationalError: asyncmy's, always.
    """
    raise OperationalError(REFUSED, REFUSAL.format(plugin=plugin))
