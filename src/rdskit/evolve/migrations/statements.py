"""Run one statement of a migration gently: short lock timeouts, retries, and on MySQL no table copy if possible."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, QueryError
from rdskit.evolve.migrations.ddl import Ddl, read_ddl
from rdskit.inspect import table_size
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rdskit.client.api import Database, HeldConnection
    from rdskit.evolve.migrations.model import Statement

#: A lock was not had in time: PostgreSQL's lock_not_available, and InnoDB's and the metadata locks' time-out.
_NOT_HAD: Final = {"55P03", 1205}
#: ER_ALTER_OPERATION_NOT_SUPPORTED and …_REASON, and MariaDB's for a LOCK or ALGORITHM that is not to be had.
_UNSUPPORTED: Final = {1845, 1846}
_SMALL: Final = 16 * 1024 * 1024  # bytes: a table that is copied in less than about a second
_COPY: Final = "table-copy"  # the rule whose waiver allows a copying ALTER


class Patience(NamedTuple):
    """How a migration waits for locks.

    Attributes:
        lock_timeout: seconds that one attempt waits, and so the longest time for which others wait behind it.
        total: seconds for all attempts of one statement.
    """

    lock_timeout: float
    total: float


async def repeated(attempt: Callable[[], Awaitable[None]], patience: Patience, waiting: Callable[[str], None]) -> None:
    """Run an attempt until it gets its locks.

    Between two attempts nothing is held or waited for, so that the statements that queued behind it run.

    Args:
        attempt: raises ``QueryError`` when a lock was not had in time.
        patience: how long to try.
        waiting: called with what is waited for.

    Raises:
        QueryError: no attempt within ``patience.total`` got its locks, or the statement was refused.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total
    while True:
        try:
            await attempt()
        except QueryError as error:
            if not _NOT_HAD.intersection({error.sqlstate, error.errno}) or loop.time() > deadline:
                raise
        else:
            return
        waiting(f"a lock was not free within {patience.lock_timeout:g} s; trying again")
        # The pause is at least as long as other statements have queued behind the attempt, so that they all run.
        await asyncio.sleep(patience.lock_timeout * (1 + random.random()))  # noqa: S311 - jitter, not a secret


async def limit_locks(connection: HeldConnection, dialect: Dialect, seconds: float) -> None:
    """Make a session's statements fail when a lock is not free in time.

    Args:
        connection: the session.
        dialect: the server's.
        seconds: how long each waits; whole seconds on MySQL and MariaDB; 0 for no limit.
    """
    if dialect is Dialect.POSTGRES:
        await connection.execute(f"set lock_timeout = {round(seconds * 1000)}")
        return
    whole = max(1, math.ceil(seconds)) if seconds else 31_536_000
    await connection.execute(f"set session lock_wait_timeout = {whole}")
    await connection.execute(f"set session innodb_lock_wait_timeout = {whole}")


async def run_ddl(db: Database, connection: HeldConnection, statement: Statement, mark: str) -> None:
    """Run a statement outside a transaction; on MySQL and MariaDB down the ladder of algorithms.

    Args:
        db: the database, to ask for sizes.
        connection: where it runs.
        statement: which.
        mark: a comment by which the server's list of sessions shows it.

    Raises:
        ConfigError: the server could only copy the table, which blocks writes.
        QueryError: the server refused it.
    """
    if dialect_of(db) is Dialect.POSTGRES:
        await connection.execute(f"{mark} {statement.text}", timeout=None)
        return
    ddl = read_ddl(statement.text, dialect_of(db))
    refused: QueryError | None = None
    for suffix in rungs(ddl):
        try:
            await connection.execute(f"{mark} {statement.text}{suffix}", timeout=None)
        except QueryError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            refused = error
        else:
            return
    assert refused is not None
    assert ddl is not None
    size = await table_size(db, ddl.table.rpartition(".")[2]) if ddl.table else None
    if _COPY not in statement.waivers and (size is None or size.table_bytes > _SMALL):
        raise _would_copy(ddl, refused) from refused
    await connection.execute(f"{mark} {statement.text}", timeout=None)


def rungs(ddl: Ddl | None) -> Iterator[str]:
    """Return what is tried behind a statement of MySQL and MariaDB, the cheapest first.

    A server that cannot do it so says that at once, and changes nothing.
    """
    if ddl is None or not _has_algorithms(ddl):
        yield ""
        return
    separator = ", " if ddl.is_table_change else " "
    yield f"{separator}algorithm=instant" if ddl.is_table_change else f"{separator}algorithm=inplace lock=none"
    if ddl.is_table_change:
        yield ", algorithm=inplace, lock=none"


def _has_algorithms(ddl: Ddl) -> bool:
    """Return whether algorithms can be asked for, and the author has not done so."""
    fits = ddl.is_table_change or (ddl.verb, ddl.kind) == ("create", "index")
    words = {word for action in ddl.actions for word in action.words}
    partitions = {"partition", "partitions", "partitioning", "discard", "import"}
    return fits and not words & {"algorithm", "lock"} and not (ddl.is_table_change and words & partitions)


def _would_copy(ddl: Ddl, refused: QueryError) -> ConfigError:
    return ConfigError(
        f"the server could change table {ddl.table!r} only by copying all of it, which blocks writes for as long: "
        f"{refused}. Split the statement, change the table online, or write `-- waive table-copy: reason` above it"
    )
