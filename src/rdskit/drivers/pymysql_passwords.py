"""PyMySQL's logins to unverified servers: the password leaves only as a hash with the server's salt."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.mysql_logins import CLEAR_LOGINS, KEY_LOGINS, KEY_REQUESTS, NATIVE, REFUSAL, REFUSED

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


def guard_password(connection: Any, endpoint: Endpoint) -> None:
    """Have a connection that is not open yet refuse logins that would give its password away.

    Args:
        connection: PyMySQL's; one that verifies certificates is left as it is.
        endpoint: where it is going to.
    """
    if connection.ssl and connection.ctx.verify_mode is ssl.CERT_REQUIRED:
        return
    logins: dict[str, Any] = dict.fromkeys(CLEAR_LOGINS, _Refused)
    if not endpoint.is_loopback:
        logins |= {"sha256_password": _Refused, "caching_sha2_password": _HashOnly}
        _begin_by_hash(connection)
    connection._auth_plugin_map = {**connection._auth_plugin_map, **logins}  # noqa: SLF001 - no other way once it is made


def _begin_by_hash(connection: Any) -> None:
    """Send no key login unasked: over TLS PyMySQL begins sha256_password with the password itself."""
    read = connection._get_server_information  # noqa: SLF001 - PyMySQL has no other place

    def _get_server_information() -> None:
        read()
        if connection._auth_plugin_name in KEY_LOGINS:  # noqa: SLF001 - same
            connection._auth_plugin_name = NATIVE  # noqa: SLF001 - same

    connection._get_server_information = _get_server_information  # noqa: SLF001 - same


class _Refused:
    """Stands in for a login that would give the password away."""

    def __init__(self, connection: Any) -> None:
        pass

    def authenticate(self, _packet: Any) -> Any:
        """Refuse.

        Raises:
            OperationalError: PyMySQL's, always.
        """
        _refuse("a login plug-in")


class _HashOnly:
    """`caching_sha2_password` without its second half, which sends the password itself."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        """Log in, if the server knows the hash."""
        from pymysql import _auth  # noqa: PLC0415 - an optional driver, loaded on first use

        return _auth.caching_sha2_password_auth(_Unverified(self._connection), packet)


class _Unverified:
    """A connection as `caching_sha2_password` sees it: a hash may be sent, and nothing more."""

    _secure: Final = False
    server_public_key: Final = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_packet(self, payload: bytes) -> None:
        """Send a packet, unless it asks for a key."""
        if payload in KEY_REQUESTS:
            _refuse("caching_sha2_password")
        self._connection.write_packet(payload)


def _refuse(plugin: str) -> None:
    from pymysql import OperationalError  # noqa: PLC0415 - an optional driver, loaded on first use

    raise OperationalError(REFUSED, REFUSAL.format(plugin=plugin))
