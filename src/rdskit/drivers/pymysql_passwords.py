"""Restrict PyMySQL's logins to unverified servers: the password is sent only as a hash with the server's salt."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.mysql_logins import CLEAR_LOGINS, KEY_LOGINS, KEY_REQUESTS, NATIVE, REFUSAL, REFUSED

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


def guard_password(connection: Any, endpoint: Endpoint) -> None:
    """Make a connection that is not open yet refuse logins that would reveal its password.

    Args:
        connection: PyMySQL's; one that verifies certificates stays unchanged.
        endpoint: the server that it will connect to.
    """
    if connection.ssl and connection.ctx.verify_mode is ssl.CERT_REQUIRED:
        return
    logins: dict[str, Any] = dict.fromkeys(CLEAR_LOGINS, _Refused)
    if not endpoint.is_loopback:
        logins |= {"sha256_password": _Refused, "caching_sha2_password": _HashOnly}
        _start_with_hash(connection)
    connection._auth_plugin_map = {**connection._auth_plugin_map, **logins}  # noqa: SLF001 - no other way once it is made


def _start_with_hash(connection: Any) -> None:
    """Start with ``mysql_native_password``: over TLS PyMySQL starts sha256_password with the password itself."""
    read = connection._get_server_information  # noqa: SLF001 - PyMySQL has no other place

    def _get_server_information() -> None:
        read()
        if connection._auth_plugin_name in KEY_LOGINS:  # noqa: SLF001 - same
            connection._auth_plugin_name = NATIVE  # noqa: SLF001 - same

    connection._get_server_information = _get_server_information  # noqa: SLF001 - same


class _Refused:
    """Replace an authentication plug-in that would reveal the password."""

    def __init__(self, connection: Any) -> None:
        pass

    def authenticate(self, _packet: Any) -> Any:
        """Refuse the login always.

        Raises:
            OperationalError: PyMySQL's, always.
        """
        _refuse("a login plug-in")


class _HashOnly:
    """Run `caching_sha2_password` without its second half (full authentication), which sends the password itself."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        """Log in, if the server has the password's hash in its cache."""
        from pymysql import _auth  # noqa: PLC0415 - an optional driver, loaded on first use

        return _auth.caching_sha2_password_auth(_Unverified(self._connection), packet)


class _Unverified:
    """Show a connection to `caching_sha2_password` as one that is not secure, so that it sends only a hash."""

    _secure: Final = False
    server_public_key: Final = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_packet(self, payload: bytes) -> None:
        """Send a packet, unless it requests the server's public key."""
        if payload in KEY_REQUESTS:
            _refuse("caching_sha2_password")
        self._connection.write_packet(payload)


def _refuse(plugin: str) -> None:
    from pymysql import OperationalError  # noqa: PLC0415 - an optional driver, loaded on first use

    raise OperationalError(REFUSED, REFUSAL.format(plugin=plugin))
