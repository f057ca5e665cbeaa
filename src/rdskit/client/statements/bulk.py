"""Many rows, and one statement with many parameter sets: all or nothing, in bounded memory."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from rdskit.client.statements.rows import Columns, portions_of
from rdskit.errors import ConfigError, StatementError
from rdskit.kernel.sql import Dialect, Statement, bind
from rdskit.kernel.sql.insert import Insertion, primary_key_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rdskit.client.pool import Lease
    from rdskit.client.statements.rows import Source
    from rdskit.kernel.ports import Portion
    from rdskit.kernel.sql.insert import OnConflict


class Pace:
    """Until when the call that sends rows must have ended: the server has its time for each portion anew.

    While the caller's own source makes rows, only the deadline of the whole counts.

    Args:
        lease: the connection.
        due: when everything must have ended, on the loop's clock; infinite for no limit.
        timeout: seconds for each portion; None for no limit.
    """

    def __init__(self, lease: Lease, due: float, timeout: float | None) -> None:
        self.due = due
        self._lease = lease
        self._timeout = math.inf if timeout is None else timeout
        self._loop = asyncio.get_running_loop()

    async def portions(self, source: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Sequence[Any]]:
        """Hand portions on."""
        self._lease.due = self.due
        async for portion in source:
            self._lease.due = min(self.due, self._loop.time() + self._timeout)
            yield portion
            self._lease.due = self.due
        self._lease.due = min(self.due, self._loop.time() + self._timeout)


async def insert_many(
    lease: Lease,
    pace: Pace,
    dialect: Dialect,
    table: str,
    rows: Source,
    on_conflict: OnConflict | None,
    key: Sequence[str],
) -> int:
    """Insert rows in the open transaction of a connection.

    Args:
        lease: the connection.
        pace: its deadlines.
        dialect: the server's.
        table: the table's name.
        rows: mappings with the same keys.
        on_conflict: what happens to a row that is there.
        key: the columns that tell it; the primary key if none are given.

    Returns:
        How many rows were inserted or updated.

    Raises:
        ConfigError: rows or options do not fit.
        DriverError: the server refused them.
    """
    source = pace.portions(portions_of(rows))
    first = await anext(source, None)
    if first is None:
        return 0
    columns = Columns(first[0])
    if on_conflict == "update" and not key:
        key = await _primary_key(lease, dialect, table)
    insertion = Insertion(table, columns.names, on_conflict, tuple([key] if isinstance(key, str) else key))
    return await lease.connection.insert_many(insertion, _values(columns, first, source))


async def execute_many(lease: Lease, pace: Pace, statement: Statement, sets: Source) -> int:
    """Run a statement for each parameter set in the open transaction of a connection.

    Returns:
        How many rows it matched in all.

    Raises:
        ConfigError: the statement gives rows, or a parameter set does not fit it.
        DriverError: the server refused one of them.
    """
    if statement.returns_rows:
        raise ConfigError(
            "execute_many gives a number, and this statement gives rows: use fetch_all, or leave them out"
        )
    if statement.lists and statement.dialect is Dialect.MYSQL:
        name = min(statement.lists)
        raise ConfigError(f"execute_many runs one text, and `in :{name}` has another for each length: use execute")
    source = pace.portions(portions_of(sets))
    return await lease.connection.execute_many(statement.text, _arguments(statement, source))


async def _values(
    columns: Columns, first: Sequence[Any], source: AsyncIterator[Sequence[Any]]
) -> AsyncIterator[Portion]:
    yield columns.values(first, 0)
    before = len(first)
    async for portion in source:
        yield columns.values(portion, before)
        before += len(portion)


async def _arguments(statement: Statement, source: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Portion]:
    before = 0
    async for portion in source:
        yield [_bound(statement, values, number) for number, values in enumerate(portion, start=before + 1)]
        before += len(portion)


def _bound(statement: Statement, values: Any, number: int) -> Sequence[Any]:
    try:
        return bind(statement, values)[1]
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"parameter set {number}: {error}") from error


async def _primary_key(lease: Lease, dialect: Dialect, table: str) -> list[str]:
    text, args = primary_key_query(dialect, table)
    rows = await lease.connection.fetch_all(text, args, None)
    if not rows:
        raise StatementError(
            f"table {table!r} has no primary key, or does not exist: name the columns of a unique key with key="
        )
    return [row[0] for row in rows]
