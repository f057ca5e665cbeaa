"""Open plain DBAPI connections: psycopg for PostgreSQL, PyMySQL for MySQL and MariaDB, without a proxy of rdskit's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.drivers.connect_errors import error_text
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
"""Query of MySQL and MariaDB: does the whole server refuse writes? An Aurora reader sets only the second variable."""


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """Settings that every plain connection of a target shares.

    Attributes:
        tls: the driver's own arguments for TLS.
        application_name: what the server shows for the connection.
        others: further arguments of the driver, which the application passed.
        cleartext_password: send the password in the clear, if an unverified server asks for it.
    """

    tls: Mapping[str, Any]
    application_name: str
    others: Mapping[str, Any]
    cleartext_password: bool = False


class Psycopg:
    """Open PostgreSQL connections with psycopg.

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
            text = error_text(error)
            raise connect_error(problem_in_words(text), endpoint, text, login.user) from error
        keep_alive_unwatched(connection.fileno())
        return connection

    def role(self, _endpoint: Endpoint, connection: Any) -> Role:
        """Return the role that the server reports; PostgreSQL reports ``in_hot_standby`` unasked since version 14."""
        standby = connection.info.parameter_status("in_hot_standby") == "on"
        return Role.READER if standby else Role.WRITER

    def close(self, connection: Any) -> None:
        """Close a connection that the application does not receive."""
        connection.close()


class Pymysql:
    """Open connections to MySQL and MariaDB with PyMySQL.

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
        local = endpoint.is_unix_socket  # the bytes never leave the machine: no TLS, as in libpq
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
        """Query the server's read-only settings and return its role.

        Raises:
            DriverError: the connection was lost.
        """
        try:
            read_only = ask_within(_refuses_writes, connection, connection.connect_timeout)
        except (self._pymysql.OperationalError, self._pymysql.InterfaceError, OSError) as error:
            message = f"{endpoint} was lost right after the login: {error_text(error)}"
            raise DriverError(Failure.LOST, ConnectError(message)) from error
        return Role.READER if read_only else Role.WRITER

    def close(self, connection: Any) -> None:
        """Close a connection that the application does not receive."""
        connection.close()


def _refuses_writes(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(MYSQL_REFUSES_WRITES)
        (read_only,) = cursor.fetchone()
    connection.rollback()
    return bool(read_only)


def plain_driver(options: PlainOptions, *, postgres: bool) -> Psycopg | Pymysql:
    """Load the driver for an engine.

    Args:
        options: how its connections are opened.
        postgres: whether the engine is PostgreSQL; otherwise MySQL or MariaDB.

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
