"""What differs between the drivers below SQLAlchemy: names of connect arguments, sockets, and who tells the role."""

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
    """How a driver calls what every driver takes."""

    database: str
    timeout: str


NAMES: Final = {
    "psycopg": ArgumentNames("dbname", "connect_timeout"),
    "psycopg_async": ArgumentNames("dbname", "connect_timeout"),
    "asyncpg": ArgumentNames("database", "timeout"),
    "pymysql": ArgumentNames("database", "connect_timeout"),
    "asyncmy": ArgumentNames("db", "connect_timeout"),
}


def lasting_arguments(driver: str, settings: Settings) -> dict[str, Any]:
    """What the driver's ``connect`` is given each time: TLS, and how long one attempt may take.

    Raises:
        ConfigError: the driver is not supported, or a file of ``ca=`` cannot be read.
    """
    names = NAMES.get(driver)
    if names is None:
        raise ConfigError(f"rdskit does not know the driver {driver!r}; use one of {', '.join(sorted(NAMES))}")
    seconds, clear = settings.connect_timeout, settings.sends_password
    if driver.startswith("psycopg"):
        seconds = max(2, round(seconds))  # libpq counts whole seconds, and takes 1 for 2
    limited: dict[str, Any] = {}
    if driver == "asyncmy":
        limited["async_creator_fn"] = functools.partial(_connect_asyncmy, seconds, clear)
    elif driver == "asyncpg":
        limited["async_creator_fn"] = functools.partial(_connect_asyncpg, clear)
    tls = tls_arguments(driver, settings.tls, settings.ca, cleartext_password=clear)
    return {names.timeout: seconds} | limited | tls


def seconds_in(dialect: Dialect, arguments: dict[str, Any]) -> float:
    """Return how long one attempt may take, from the arguments of the driver's ``connect``."""
    return float(arguments[NAMES[dialect.driver].timeout])


def connect_within_limits(
    dialect: Dialect, given: list[Any], arguments: dict[str, Any], *, cleartext_password: bool
) -> DBAPIConnection:
    """Call the driver's ``connect``, with a limit for the login where the driver has none."""
    if dialect.driver == "pymysql":
        connect: Any = functools.partial(dialect.connect, *given)
        connection: DBAPIConnection = connect_within(
            connect, arguments, seconds_in(dialect, arguments), cleartext_password=cleartext_password
        )
        return connection
    return dialect.connect(*given, **arguments)


def await_first_answer(dialect: Dialect, connection: DBAPIConnection, seconds: float) -> None:
    """Have the server answer once within a limit: what SQLAlchemy asks next has none.

    Raises:
        Exception: the driver's; the connection is of no use then.
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
    """What the driver's ``connect`` is given to reach one host as one user."""
    arguments: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port, "user": login.user}
    if login.password is not None:
        arguments["password"] = login.password
    if database is not None:
        arguments[NAMES[driver].database] = database
    return arguments


def role_of(dialect: Dialect, connection: DBAPIConnection) -> Role | None:
    """What the host says it is; None where it does not tell.

    PostgreSQL ≥ 14 reports ``in_hot_standby`` by itself: asking costs no round trip (protocol: ParameterStatus).
    """
    if dialect.name == "postgresql":
        standby = _reported(dialect, connection, "in_hot_standby")
        return None if standby is None else Role.READER if standby == "on" else Role.WRITER
    if dialect.name in {"mysql", "mariadb"}:
        return _role_of_mysql(connection)
    return None


def refuses_writes(dialect: Dialect, connection: DBAPIConnection) -> bool:
    """Return whether the host as a whole takes no writes, after it has refused one with SQLSTATE 25006.

    The alternative is a transaction that somebody has made read-only, on a host where all is well.
    """
    reported = [_reported(dialect, connection, name) for name in ("in_hot_standby", "default_transaction_read_only")]
    return "on" in reported or reported == [None, None]


def is_gone(dialect: Dialect, connection: DBAPIConnection) -> bool:
    """Return whether an idle connection has ended, without asking the server unless something has arrived."""
    raw: Any = dialect.get_driver_connection(connection)
    if _has_ended(dialect.driver, raw):
        return True
    descriptor = _descriptor(dialect.driver, raw)
    return descriptor is None or (_is_readable(descriptor) and not _answers(dialect, connection))


def watch_host(dialect: Dialect, connection: DBAPIConnection) -> None:
    """Have the operating system find out when the host is gone."""
    descriptor = _descriptor(dialect.driver, dialect.get_driver_connection(connection))
    if descriptor is not None:
        keep_alive_unwatched(descriptor)


def _has_ended(driver: str, raw: Any) -> bool:
    """What an asynchronous driver's event loop has seen of the connection's end so far."""
    if driver == "asyncpg":
        return bool(raw.is_closed())
    if driver == "asyncmy":
        return bool(raw._stream_broken)  # noqa: SLF001 - `connected` only tells whether somebody called close()
    return False


def _descriptor(driver: str, raw: Any) -> int | None:
    """The file descriptor of the connection's socket; None when it is closed."""
    if driver.startswith("psycopg"):
        return None if raw.closed else int(raw.fileno())
    if driver == "pymysql":
        return None if raw._sock is None else int(raw._sock.fileno())  # noqa: SLF001 - PyMySQL shows it nowhere else
    transport = raw._transport  # noqa: SLF001 - the same for asyncpg and asyncmy
    found = None if transport is None else transport.get_extra_info("socket")
    return None if found is None else int(found.fileno())


def _is_readable(descriptor: int) -> bool:
    """Return whether the server has said something unasked: goodbye, most of the time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _answers(dialect: Dialect, connection: DBAPIConnection) -> bool:
    try:
        return bool(dialect.do_ping(connection))
    except (dialect.loaded_dbapi.Error, OSError):
        return False


def _reported(dialect: Dialect, connection: DBAPIConnection, name: str) -> str | None:
    """A setting that PostgreSQL reports by itself whenever it changes."""
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
