"""Plain DBAPI connections: psycopg for PostgreSQL, PyMySQL for MySQL and MariaDB; nothing of ours stays in between."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from rdskit.drivers.pymysql_connect import ask_within, connect_within
from rdskit.drivers.refusals import said
from rdskit.errors import AuthenticationError, ConfigError, ConnectError, TLSError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped
from rdskit.kernel.topology import Role
from rdskit.runtime.keepalive import keep_alive_unwatched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login

# libpq tells why it could not connect in words only; these are its own and the server's, in English and untranslated.
_LOGIN_REFUSED: Final = re.compile(
    r"authentication failed|role \".*\" does not exist|no pg_hba\.conf entry|no password"
)
_TLS_REFUSED: Final = re.compile(r"certificate|SSL error|does not support SSL|sslmode")
# The other side went away in the handshake, as a server that is stopped does: nothing was refused.
_CUT_OFF: Final = re.compile(r"SSL error: unexpected eof|SSL SYSCALL error|UNEXPECTED_EOF|EOF occurred")
_FINAL: Final = re.compile(r"database \".*\" does not exist|invalid connection option|could not translate host name")
_LOGIN_NUMBERS: Final = frozenset({1044, 1045, 1130, 1698, 1820, 1862, 2059, 2061, 3118, 4151})
_UNKNOWN_DATABASE: Final = 1049
_READ_ONLY: Final = "select @@global.read_only or @@innodb_read_only"


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """How a plain connection is opened.

    Attributes:
        database: the database to open, or None for the server's default.
        tls: the driver's own arguments for TLS.
        application_name: what the server shows for the connection.
        others: further arguments of the driver, as the application gave them.
    """

    database: str | None
    tls: Mapping[str, Any]
    application_name: str
    others: Mapping[str, Any]


class PlainDriver(Protocol):
    """Opens plain connections of one engine."""

    def connect(self, endpoint: Endpoint, login: Login, options: PlainOptions, timeout: float) -> Any:
        """Open the driver's own connection.

        Args:
            endpoint: the host.
            login: who logs in.
            options: how.
            timeout: seconds for the attempt; drivers round to whole ones.

        Raises:
            DriverError: with ``AuthenticationError``, ``TLSError`` or ``ConnectError`` as its public face.
        """
        ...

    def role(self, connection: Any) -> Role:
        """What the host is.

        Raises:
            DriverError: the connection was lost.
        """
        ...


class Psycopg:
    """Opens PostgreSQL connections."""

    def __init__(self) -> None:
        import psycopg  # noqa: PLC0415 - an optional driver, loaded on first use

        self._psycopg = psycopg

    def connect(self, endpoint: Endpoint, login: Login, options: PlainOptions, timeout: float) -> Any:
        """Open a connection."""
        try:
            connection = self._psycopg.connect(
                host=endpoint.host,
                port=endpoint.port,
                user=login.user,
                password=login.password,
                dbname=options.database or login.user,
                connect_timeout=max(2, round(timeout)),  # libpq takes whole seconds, and 2 at least
                application_name=options.application_name,
                **options.tls,
                **options.others,
            )
        except self._psycopg.Error as error:
            raise _refused(error, said(error), endpoint, login) from error
        keep_alive_unwatched(connection.fileno())
        return connection

    def role(self, connection: Any) -> Role:
        """What the server reports of itself; PostgreSQL does so unasked since version 14."""
        standby = connection.info.parameter_status("in_hot_standby") == "on"
        return Role.READER if standby else Role.WRITER


class Pymysql:
    """Opens connections to MySQL and MariaDB."""

    def __init__(self) -> None:
        import pymysql  # noqa: PLC0415 - an optional driver, loaded on first use

        self._pymysql = pymysql

    def connect(self, endpoint: Endpoint, login: Login, options: PlainOptions, timeout: float) -> Any:
        """Open a connection."""
        local = endpoint.is_unix_socket  # which never leaves the machine: no TLS, as libpq does it
        try:
            arguments = {
                "host": "localhost" if local else endpoint.host,
                "port": endpoint.port,
                "unix_socket": endpoint.host if local else None,
                "user": login.user,
                "password": login.password or "",
                "database": options.database,
                "connect_timeout": max(1, round(timeout)),
                "program_name": options.application_name,
                **({"ssl_disabled": True} if local else options.tls),
                **options.others,
            }
            connection: Any = connect_within(self._pymysql.connect, arguments, timeout)
        except self._pymysql.MySQLError as error:
            number = error.args[0] if error.args else None
            text = escaped(str(error.args[-1])) if error.args else type(error).__name__
            raise _refused(error, text, endpoint, login, number) from error
        keep_alive_unwatched(connection._sock.fileno())  # noqa: SLF001 - PyMySQL shows it nowhere else
        return connection

    def role(self, connection: Any) -> Role:
        """Ask for the server's read-only settings."""
        try:
            read_only = ask_within(_asked_for_role, connection, connection.connect_timeout)
        except (self._pymysql.OperationalError, self._pymysql.InterfaceError, OSError) as error:
            message = f"{connection.host}:{connection.port} was lost right after the login: {said(error)}"
            raise DriverError(Failure.LOST, ConnectError(message)) from error
        return Role.READER if read_only else Role.WRITER


def _asked_for_role(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_READ_ONLY)
        (read_only,) = cursor.fetchone()
    connection.rollback()
    return bool(read_only)


def plain_driver(*, postgres: bool) -> PlainDriver:
    """Load the driver for an engine.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return Psycopg() if postgres else Pymysql()
    except ImportError as error:
        name = "psycopg" if postgres else "PyMySQL"
        raise ConfigError(
            f"rdskit.dbapi_connect needs {name}, which is not installed: pip install 'rdskit[dbapi]'"
        ) from error


def _refused(error: Exception, text: str, endpoint: Endpoint, login: Login, number: object = None) -> DriverError:
    if number in _LOGIN_NUMBERS or _LOGIN_REFUSED.search(text):
        message = f"{endpoint} refused the login of user {login.user!r}: {text}; check the user name and the password"
        return DriverError(Failure.REFUSED, AuthenticationError(message))
    tls = isinstance(error.__cause__, ssl.SSLError) or _TLS_REFUSED.search(text)
    if tls and not _CUT_OFF.search(text):
        message = (
            f"TLS with {endpoint} failed: {text}; pass ca=PATH or set RDSKIT_CA to the authority that signed its "
            "certificate"
        )
        return DriverError(Failure.REFUSED, TLSError(message))
    final = number == _UNKNOWN_DATABASE or _FINAL.search(text)
    message = f"{endpoint} cannot be reached: {text}; check that the server runs there"
    return DriverError(Failure.REFUSED if final else Failure.LOST, ConnectError(message))
