"""Differences between the drivers below SQLAlchemy: connect arguments, sockets, and detection of the role."""

from __future__ import annotations

import asyncio
import functools
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import tls_arguments
from rdskit.drivers.dbapi import MYSQL_REFUSES_WRITES
from rdskit.drivers.pymysql_connect import connect_within
from rdskit.errors import ConfigError
from rdskit.kernel.topology import Role
from rdskit.runtime.cutting import cut_after
from rdskit.runtime.keepalive import keep_alive_unwatched

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from rdskit.integrations.sqlalchemy.settings import Settings
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login


@dataclass(frozen=True, slots=True)
class ArgumentNames:
    """A driver's names for common arguments."""

    database: str
    timeout: str


NAMES: Final = {
    "psycopg": ArgumentNames("dbname", "connect_timeout"),
    "psycopg_async": ArgumentNames("dbname", "connect_timeout"),
    "asyncpg": ArgumentNames("database", "timeout"),
    "pymysql": ArgumentNames("database", "connect_timeout"),
    "asyncmy": ArgumentNames("db", "connect_timeout"),
}


def common_arguments(driver: str, settings: Settings) -> dict[str, Any]:
    """Return the connect arguments of every connection: TLS, and the timeout of one attempt.

    Raises:
        ConfigError: the driver is not supported, or a file of ``ca=`` cannot be read.
    """
    names = NAMES.get(driver)
    if names is None:
        raise ConfigError(f"rdskit does not know the driver {driver!r}; use one of {', '.join(sorted(NAMES))}")
    seconds, clear = settings.connect_timeout, settings.sends_password
    if driver.startswith("psycopg"):
        seconds = max(2, round(seconds))  # libpq takes whole seconds, with a minimum of 2
    limited: dict[str, Any] = {}
    if driver == "asyncmy":
        limited["async_creator_fn"] = functools.partial(_connect_asyncmy, seconds, clear)
    elif driver == "asyncpg":
        limited["async_creator_fn"] = functools.partial(_connect_asyncpg, clear)
    tls = tls_arguments(driver, settings.tls, settings.ca, cleartext_password=clear)
    return {names.timeout: seconds} | limited | tls


def seconds_in(dialect: Dialect, arguments: dict[str, Any]) -> float:
    """Return the timeout of one attempt in the driver's connect arguments."""
    return float(arguments[NAMES[dialect.driver].timeout])


def connect_within_limits(
    dialect: Dialect, given: list[Any], arguments: dict[str, Any], *, cleartext_password: bool
) -> DBAPIConnection:
    """Call the driver's ``connect``, with a time limit for the login where the driver has none."""
    if dialect.driver == "pymysql":
        connect: Any = functools.partial(dialect.connect, *given)
        connection: DBAPIConnection = connect_within(
            connect, arguments, seconds_in(dialect, arguments), cleartext_password=cleartext_password
        )
        return connection
    return dialect.connect(*given, **arguments)


def run_first_query(dialect: Dialect, connection: DBAPIConnection, seconds: float) -> None:
    """Ping the server within a time limit, because SQLAlchemy's own first queries have none.

    Raises:
        Exception: the driver's; the connection is unusable then.
    """
    descriptor = _descriptor(dialect.driver, dialect.get_driver_connection(connection))
    if descriptor is None:
        return
    with cut_after(descriptor, seconds):
        dialect.do_ping(connection)


async def _connect_asyncpg(cleartext_password: bool, **arguments: Any) -> Any:  # noqa: FBT001 - by partial
    from rdskit.drivers.postgres import upgrade  # noqa: PLC0415 - an optional driver, loaded on first use

    with upgrade.abort_on_error():
        return await upgrade.connect(cleartext_password=cleartext_password, **arguments)


async def _connect_asyncmy(seconds: float, cleartext_password: bool, **arguments: Any) -> Any:  # noqa: FBT001 - by partial
    from rdskit.drivers.mysql.passwords import plain_connection  # noqa: PLC0415 - an optional driver, loaded on first use

    raw = plain_connection(arguments, cleartext_password=cleartext_password)
    try:
        async with asyncio.timeout(seconds):
            await raw.connect()
    except BaseException:
        raw.close()
        raise
    return raw


def arguments_for(driver: str, endpoint: Endpoint, login: Login, database: str | None) -> dict[str, Any]:
    """Return the connect arguments for one host, user and database."""
    arguments: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port, "user": login.user}
    if login.password is not None:
        arguments["password"] = login.password
    if database is not None:
        arguments[NAMES[driver].database] = database
    return arguments


def role_of(dialect: Dialect, connection: DBAPIConnection) -> Role | None:
    """Return the role that the host reports; None if it does not report one.

    PostgreSQL ≥ 14 reports ``in_hot_standby`` unasked, so this needs no round trip (protocol: ParameterStatus).
    """
    if dialect.name == "postgresql":
        standby = _reported(dialect, connection, "in_hot_standby")
        return None if standby is None else Role.READER if standby == "on" else Role.WRITER
    if dialect.name in {"mysql", "mariadb"}:
        return _role_of_mysql(connection)
    return None


def refuses_writes(dialect: Dialect, connection: DBAPIConnection) -> bool:
    """Return whether the host refuses all writes, after it has refused one with SQLSTATE 25006.

    The alternative is a read-only transaction on a healthy writer.
    """
    reported = [_reported(dialect, connection, name) for name in ("in_hot_standby", "default_transaction_read_only")]
    return "on" in reported or reported == [None, None]


def is_gone(dialect: Dialect, connection: DBAPIConnection) -> bool:
    """Return whether an idle connection has ended; this queries the server only if it has sent something."""
    raw: Any = dialect.get_driver_connection(connection)
    if _has_ended(dialect.driver, raw):
        return True
    descriptor = _descriptor(dialect.driver, raw)
    return descriptor is None or (_is_readable(descriptor) and not _answers(dialect, connection))


def watch_host(dialect: Dialect, connection: DBAPIConnection) -> None:
    """Enable TCP keepalive, which detects that the host is gone."""
    descriptor = _descriptor(dialect.driver, dialect.get_driver_connection(connection))
    if descriptor is not None:
        keep_alive_unwatched(descriptor)


def _has_ended(driver: str, raw: Any) -> bool:
    """Return whether an asynchronous driver has noticed the connection's end already."""
    if driver == "asyncpg":
        return bool(raw.is_closed())
    if driver == "asyncmy":
        return bool(raw._stream_broken)  # noqa: SLF001 - `connected` shows only calls of close()
    return False


def _descriptor(driver: str, raw: Any) -> int | None:
    """Return the file descriptor of the connection's socket; None if it is closed."""
    if driver.startswith("psycopg"):
        return None if raw.closed else int(raw.fileno())
    if driver == "pymysql":
        return None if raw._sock is None else int(raw._sock.fileno())  # noqa: SLF001 - PyMySQL shows it nowhere else
    transport = raw._transport  # noqa: SLF001 - the same for asyncpg and asyncmy
    found = None if transport is None else transport.get_extra_info("socket")
    return None if found is None else int(found.fileno())


def _is_readable(descriptor: int) -> bool:
    """Return whether the server has sent something unasked.

    On an idle connection that is nearly always the end of the connection.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _answers(dialect: Dialect, connection: DBAPIConnection) -> bool:
    try:
        return bool(dialect.do_ping(connection))
    except (dialect.loaded_dbapi.Error, OSError):
        return False


def _reported(dialect: Dialect, connection: DBAPIConnection, name: str) -> str | None:
    """Return the value of a setting that PostgreSQL reports unasked whenever it changes."""
    raw: Any = dialect.get_driver_connection(connection)
    if dialect.driver == "asyncpg":
        return getattr(raw.get_settings(), name, None)
    value: str | None = raw.info.parameter_status(name)
    return value


def _role_of_mysql(connection: DBAPIConnection) -> Role:
    cursor = connection.cursor()
    try:
        cursor.execute(MYSQL_REFUSES_WRITES)
        (read_only,) = cursor.fetchone() or (0,)
    finally:
        cursor.close()
    connection.rollback()
    return Role.READER if read_only else Role.WRITER
