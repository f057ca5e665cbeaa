"""Query lock waits and old transactions: who waits, who blocks, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.api import dialect_of
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.api import Database

_POSTGRES_WAITS = """
    select w.pid as waiting, b.pid as blocking,
           extract(epoch from clock_timestamp() - w.state_change)::float8 as seconds,
           coalesce(b.application_name, '') as application, b.state = 'idle in transaction' as idle
    from pg_stat_activity w cross join lateral unnest(pg_blocking_pids(w.pid)) blocker
    join pg_stat_activity b on b.pid = blocker
    where w.datname = current_database()
"""
_MYSQL_WAITS = """
    select r.trx_mysql_thread_id as waiting, b.trx_mysql_thread_id as blocking,
           coalesce(timestampdiff(microsecond, r.trx_wait_started, now(6)), 0) / 1e6 as seconds, '' as application,
           coalesce(p.command = 'Sleep', false) as idle
    from {waits} w
    join information_schema.innodb_trx r on r.trx_id = w.{requesting}
    join information_schema.innodb_trx b on b.trx_id = w.{blocking}
    left join information_schema.processlist p on p.id = b.trx_mysql_thread_id
"""
_MYSQL = _MYSQL_WAITS.format(
    waits="performance_schema.data_lock_waits",
    requesting="requesting_engine_transaction_id",
    blocking="blocking_engine_transaction_id",
)
#: Without the performance schema MySQL shows the waiting sessions only.
_MYSQL_WAITERS = """
    select trx_mysql_thread_id as waiting, null as blocking,
           coalesce(timestampdiff(microsecond, trx_wait_started, now(6)), 0) / 1e6 as seconds, '' as application,
           false as idle
    from information_schema.innodb_trx where trx_state = 'LOCK WAIT'
"""
_MARIADB = _MYSQL_WAITS.format(
    waits="information_schema.innodb_lock_waits", requesting="requesting_trx_id", blocking="blocking_trx_id"
)
_POSTGRES_LONG = """
    select pid as session, extract(epoch from clock_timestamp() - xact_start)::float8 as seconds,
           coalesce(application_name, '') as application, coalesce(usename, '') as user_name, state like 'idle%' as idle
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
      and clock_timestamp() - xact_start > make_interval(secs => :seconds)
    order by 2 desc
"""
_MYSQL_LONG = """
    select t.trx_mysql_thread_id as session, timestampdiff(microsecond, t.trx_started, now(6)) / 1e6 as seconds,
           '' as application, coalesce(p.user, '') as user_name,
           coalesce(p.command = 'Sleep', false) as idle
    from information_schema.innodb_trx t left join information_schema.processlist p on p.id = t.trx_mysql_thread_id
    where t.trx_mysql_thread_id <> connection_id()
      and timestampdiff(microsecond, t.trx_started, now(6)) / 1e6 > :seconds
    order by 2 desc
"""


class LockWait(NamedTuple):
    """One session that waits for another.

    Attributes:
        waiting: the session that waits, by the server's number.
        blocking: the session that holds the lock; None where MySQL's performance schema is off.
        seconds: for how long.
        application: the name that the blocking session gave itself.
        idle: whether the blocking session runs no statement, but has a transaction open.
    """

    waiting: int
    blocking: int | None
    seconds: float
    application: str
    idle: bool


class LongTransaction(NamedTuple):
    """A transaction that has been open for long.

    Attributes:
        session: the server's id of the session.
        seconds: since it began.
        application: the name that the session gave itself.
        user: the session's user.
        idle: whether it runs no statement now.
    """

    session: int
    seconds: float
    application: str
    user: str
    idle: bool


async def lock_waits(db: Database, product: str) -> list[LockWait]:
    """Return which session waits for which on the writer.

    InnoDB refreshes what it shows only after 0.1 s in which no session has asked for it.

    Args:
        db: the database.
        product: of ``server_version``.
    """
    text = {"postgres": _POSTGRES_WAITS, "mysql": _MYSQL, "mariadb": _MARIADB}[product]
    rows = await db.fetch_all(text)
    if not rows and product == "mysql":
        rows = await db.fetch_all(_MYSQL_WAITERS)
    return [
        LockWait(int(row[0]), None if row[1] is None else int(row[1]), float(row[2]), row[3], bool(row[4]))
        for row in rows
    ]


async def long_transactions(db: Database, seconds: float) -> list[LongTransaction]:
    """Return the transactions that have been open for longer, the oldest first.

    Args:
        db: the database.
        seconds: how old the youngest is.
    """
    text = _POSTGRES_LONG if dialect_of(db) is Dialect.POSTGRES else _MYSQL_LONG
    rows = await db.fetch_all(text, seconds=seconds)
    return [LongTransaction(int(row[0]), float(row[1]), row[2], row[3], bool(row[4])) for row in rows]
