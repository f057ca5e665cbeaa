"""Plain DBAPI connections: psycopg for PostgreSQL, PyMySQL for MySQL and MariaDB; nothing of ours stays in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.drivers.connect_errors import said
from rdskit.drivers.pymysql_connect import ask_within, connect_within
from rdskit.errors import ConfigError, ConnectError
from rdskit.kernel.connect_errors import connect_error, problem_by_errno, problem_in_words
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped
from rdskit.kernel.topology import Role
from rdskit.runtime.keepalive import keep_alive_unwatched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login

MYSQL_REFUSES_WRITES: Final = "select @@global.read_only or @@innodb_read_only"
"""Asks MySQL and MariaDB whether the whole server refuses writes; Aurora answers by the second variable."""


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """How a plain connection is opened.

    Attributes:
        tls: the driver's own arguments for TLS.
        application_name: what the server shows for the connection.
        others: further arguments of the driver, as the application gave them.
        cleartext_password: an unverified server may have the password in the clear.
    """

    tls: Mapping[str, Any]
    application_name: str
    others: Mapping[str, Any]
    cleartext_password: bool = False


class Psycopg:
    """Opens PostgreSQL connections.

    Raises:
        ImportError: psycopg is not installed.
    """

    def __init__(self, options: PlainOptions) -> None:
        import psycopg  # noqa: PLC0415 - an optional driver, loaded on first use

        self._psycopg = psycopg
        self._options = options

    def open(self, endpoint: Endpoint, login: Login, database: str | None, timeout: float) -> Any:
        """Connect to one host; the driver rounds ``timeout`` to whole seconds.

        Raises:
            DriverError: it could not be connected to.
        """
        options = self._options
        try:
            connection = self._psycopg.connect(
                host=endpoint.host,
                port=endpoint.port,
                user=login.user,
                password=login.password,
                dbname=database or login.user,
                connect_timeout=max(2, round(timeout)),  # libpq takes whole seconds, and 2 at least
                application_name=options.application_name,
                **{**options.tls, **options.others},
            )
        except self._psycopg.Error as error:
            text = said(error)
            raise connect_error(problem_in_words(text), endpoint, text, login.user) from error
        keep_alive_unwatched(connection.fileno())
        return connection

    def role(self, _endpoint: Endpoint, connection: Any) -> Role:
        """Return what the server reports of itself; PostgreSQL does so unasked since version 14."""
        standby = connection.info.parameter_status("in_hot_standby") == "on"
        return Role.READER if standby else Role.WRITER

    def close(self, connection: Any) -> None:
        """Close a connection that the application does not get."""
        connection.close()


class Pymysql:
    """Opens connections to MySQL and MariaDB.

    Raises:
        ImportError: PyMySQL is not installed.
    """

    def __init__(self, options: PlainOptions) -> None:
        import pymysql  # noqa: PLC0415 - an optional driver, loaded on first use

        self._pymysql = pymysql
        self._options = options

    def open(self, endpoint: Endpoint, login: Login, database: str | None, timeout: float) -> Any:
        """Connect to one host; the driver rounds ``timeout`` to whole seconds.

        Raises:
            DriverError: it could not be connected to.
        """
        options = self._options
        local = endpoint.is_unix_socket  # which never leaves the machine: no TLS, as libpq does it
        try:
            arguments = {
                "host": "localhost" if local else endpoint.host,
                "port": endpoint.port,
                "unix_socket": endpoint.host if local else None,
                "user": login.user,
                "password": login.password or "",
                "database": database,
                "connect_timeout": max(1, round(timeout)),
                "program_name": options.application_name,
                **({"ssl_disabled": True} if local else options.tls),
                **options.others,
            }
            connection: Any = connect_within(
                self._pymysql.connect,
                arguments,
                arguments["connect_timeout"],
                cleartext_password=options.cleartext_password,
            )
        except self._pymysql.MySQLError as error:
            number = error.args[0] if error.args else 0
            text = escaped(str(error.args[-1])) if error.args else type(error).__name__
            raise connect_error(problem_by_errno(number, text), endpoint, text, login.user) from error
        keep_alive_unwatched(connection._sock.fileno())  # noqa: SLF001 - PyMySQL shows it nowhere else
        return connection

    def role(self, endpoint: Endpoint, connection: Any) -> Role:
        """Ask for the server's read-only settings.

        Raises:
            DriverError: the connection was lost.
        """
        try:
            read_only = ask_within(_asked_for_role, connection, connection.connect_timeout)
        except (self._pymysql.OperationalError, self._pymysql.InterfaceError, OSError) as error:
            message = f"{endpoint} was lost right after the login: {said(error)}"
            raise DriverError(Failure.LOST, ConnectError(message)) from error
        return Role.READER if read_only else Role.WRITER

    def close(self, connection: Any) -> None:
        """Close a connection that the application does not get."""
        connection.close()


def _asked_for_role(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(MYSQL_REFUSES_WRITES)
        (read_only,) = cursor.fetchone()
    connection.rollback()
    return bool(read_only)


def plain_driver(options: PlainOptions, *, postgres: bool) -> Psycopg | Pymysql:
    """Load the driver for an engine.

    Args:
        options: how its connections are opened.
        postgres: for PostgreSQL, and not for MySQL and MariaDB.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return Psycopg(options) if postgres else Pymysql(options)
    except ImportError as error:
        name = "psycopg" if postgres else "PyMySQL"
        raise ConfigError(
            f"rdskit.dbapi_connect needs {name}, which is not installed: pip install 'rdskit[dbapi]'"
        ) from error
