"""Query a server's load with few queries, and find the missing grant where it reports nothing.

Sources: PostgreSQL, "The Cumulative Statistics System" (``pg_stat_activity`` hides other users' sessions from users
outside of ``pg_read_all_stats``); MySQL, "Server Status Variables", "The INFORMATION_SCHEMA INNODB_TRX Table" (needs
PROCESS), "Transaction Summary Tables"; MariaDB counts transactions only if its Performance Schema is on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import START
from rdskit.kernel.targets import Engine
from rdskit.operate.top.model import Activity, OldestTransaction

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rdskit.kernel.ports import Connection, Row
    from rdskit.kernel.positions import Position

# Backends are counted by database where sessions are hidden: that includes the few workers that have a database.
_POSTGRES: Final = """
select (select sum(xact_commit + xact_rollback)::bigint from pg_stat_database),
       case when may.see then (select count(*) from pg_stat_activity where backend_type = 'client backend')
            else (select sum(numbackends)::bigint from pg_stat_database where datname is not null) end,
       current_setting('max_connections')::int, may.see, current_user::text
from (select pg_has_role(current_user, 'pg_read_all_stats', 'usage')) may (see)
"""
_POSTGRES_OLDEST: Final = """
select extract(epoch from clock_timestamp() - xact_start)::float8, pid, usename::text, state
from pg_stat_activity
where xact_start is not null and backend_type = 'client backend' and pid <> pg_backend_pid()
order by xact_start limit 1
"""
_MYSQL_COUNTERS: Final = "show global status where variable_name in ('Questions', 'Threads_connected')"
_MYSQL_SETTINGS: Final = "select @@global.max_connections, current_user(), @@global.performance_schema"
_MYSQL_TRANSACTIONS: Final = (
    "select sum(count_star) from performance_schema.events_transactions_summary_global_by_event_name"
)
_MYSQL_OLDEST: Final = """
select timestampdiff(second, trx_started, now()), trx_mysql_thread_id, trx_state
from information_schema.innodb_trx where trx_mysql_thread_id <> connection_id() and trx_mysql_thread_id <> 0
order by trx_started limit 1
"""
_MYSQL_REPLICATION: Final = "show replica status"
_REPLICATION_GRANTS: Final = {Engine.MYSQL: "replication client", Engine.MARIADB: "slave monitor"}
T = TypeVar("T")


async def activity_of(connection: Connection, engine: Engine, timeout: float) -> Activity:
    """Query a server's load.

    Args:
        connection: a connection to it, outside of a transaction.
        engine: the server's engine.
        timeout: seconds for each query.

    Raises:
        DriverError: it did not answer. Refused queries are noted in the result instead.
    """
    asked = _of_postgres if engine is Engine.POSTGRES else _of_mysql
    return await asked(connection, timeout)


class Progress(NamedTuple):
    """A reader's replay progress.

    Attributes:
        position: the replayed position; None if unknown.
        lag: seconds behind, infinite while replication is stalled; None if unknown.
        hidden: the missing grant for reading its lag.
    """

    position: Position | None = None
    lag: float | None = None
    hidden: str | None = None


async def progress_of(connection: Connection, engine: Engine, timeout: float) -> Progress:
    """Query a reader's replay progress.

    Raises:
        DriverError: it did not answer. Refused queries are noted in the result instead.
    """
    progress = await _unless_refused(connection.reader_progress(timeout))
    if progress is None or not progress.replays:
        return Progress()
    if progress.position is START:  # Aurora MySQL: only its own view has the lag
        return Progress(lag=progress.lag)
    hidden = None if engine is Engine.POSTGRES else await _hidden_lag(connection, engine, timeout)
    return Progress(progress.position, None if hidden else progress.lag, hidden)


async def _hidden_lag(connection: Connection, engine: Engine, timeout: float) -> str | None:
    """Return the missing grant for reading a reader's lag; None if it has it.

    Without that grant the progress comes from the set of transactions alone, and the lag looks like 0.
    """
    if await _unless_refused(connection.fetch_all(_MYSQL_REPLICATION, (), timeout)) is not None:
        return None
    user = await connection.fetch_one("select current_user()", (), timeout)
    assert user is not None
    return f"lag is hidden: grant {_REPLICATION_GRANTS[engine]} on *.* to {_account(user[0])}"


async def position_of(connection: Connection, timeout: float) -> Position | None:
    """Query a writer's position; None if it reports none.

    Raises:
        DriverError: it did not answer.
    """
    return await _unless_refused(connection.written_position(timeout))


async def _of_postgres(connection: Connection, timeout: float) -> Activity:
    row = await connection.fetch_one(_POSTGRES, (), timeout)
    assert row is not None, _POSTGRES
    transactions, connections, most, sees_all, user = row
    oldest = await connection.fetch_one(_POSTGRES_OLDEST, (), timeout)
    hidden = f'transactions of other users are hidden: grant pg_read_all_stats to "{user}"'
    return Activity(
        transactions=transactions,
        connections=connections,
        max_connections=most,
        oldest=None if oldest is None else OldestTransaction(*oldest),
        hidden=() if sees_all else (hidden,),
    )


async def _of_mysql(connection: Connection, timeout: float) -> Activity:
    counters = {row[0]: int(row[1]) for row in await connection.fetch_all(_MYSQL_COUNTERS, (), timeout)}
    settings = await connection.fetch_one(_MYSQL_SETTINGS, (), timeout)
    assert settings is not None, _MYSQL_SETTINGS
    most, user, counts_transactions = settings
    counted: list[Row] | None = []
    if counts_transactions:
        counted = await _unless_refused(connection.fetch_all(_MYSQL_TRANSACTIONS, (), timeout))
    open_now = await _unless_refused(connection.fetch_all(_MYSQL_OLDEST, (), timeout))
    hidden = {
        "transactions are not counted: grant select on performance_schema.*": counted is None,
        "open transactions are hidden: grant process on *.*": open_now is None,
    }
    return Activity(
        transactions=_counted(counted),
        statements=counters.get("Questions"),
        connections=counters.get("Threads_connected"),
        max_connections=int(most),
        oldest=_oldest(open_now),
        hidden=tuple(f"{words} to {_account(user)}" for words, is_hidden in hidden.items() if is_hidden),
    )


def _counted(rows: list[Row] | None) -> int | None:
    return int(rows[0][0]) if rows and rows[0][0] is not None else None


def _oldest(rows: list[Row] | None) -> OldestTransaction | None:
    if not rows:
        return None
    seconds, process, state = rows[0]
    return OldestTransaction(float(seconds), int(process), state=state)


def _account(user: str) -> str:
    """Return the result of ``current_user()`` in the syntax of GRANT."""
    name, _, host = user.rpartition("@")
    return f"'{name}'@'{host}'"


async def _unless_refused(asking: Awaitable[T]) -> T | None:
    """Return the result of a query; None if the server refuses it."""
    try:
        return await asking
    except DriverError as error:
        if error.failure is not Failure.REFUSED:
            raise
        return None
