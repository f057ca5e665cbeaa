"""Many rows, and one statement with many parameter sets: all or nothing, in bounded memory."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rdskit.client.statements.batches import Batches
from rdskit.client.statements.conflicts import checked_conflict, located
from rdskit.client.statements.rows import Columns
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text
from rdskit.kernel.sql import Dialect, Statement, bind
from rdskit.kernel.sql.insert import Insertion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.pool import Lease
    from rdskit.client.statements.batches import Pace, Source
    from rdskit.kernel.ports import Batch
    from rdskit.kernel.sql.insert import Conflict


async def insert_many(
    lease: Lease,
    pace: Pace,
    dialect: Dialect,
    table: str,
    rows: Source,
    conflict: Conflict,
) -> int:
    """Insert rows in the open transaction of a connection.

    Args:
        lease: the connection.
        pace: its deadlines.
        dialect: the server's.
        table: the table's name.
        rows: mappings with the same keys.
        conflict: what happens to a row that is there, and what tells it.

    Returns:
        How many rows were inserted or updated.

    Raises:
        ConfigError: rows or options do not fit.
        DriverError: the server refused them.
    """
    require_text("table", table, example="orders")
    conflict = checked_conflict(conflict, dialect)
    portions = Batches(rows, pace)
    first = await portions.first()
    if first is None:
        return 0
    columns = Columns(first[0])
    portions.convert = columns.values
    key, target = await located(lease, dialect, table, conflict)
    insertion = Insertion(table, columns.names, conflict.on_conflict, key, target)
    return await lease.connection.insert_many(insertion, portions)


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
    portions = Batches(sets, pace)
    portions.convert = functools.partial(_arguments, statement)
    return await lease.connection.execute_many(statement.text, portions)


def _arguments(statement: Statement, sets: Sequence[Any], before: int) -> Batch:
    return [_bound(statement, values, number) for number, values in enumerate(sets, start=before + 1)]


def _bound(statement: Statement, values: Any, number: int) -> Sequence[Any]:
    try:
        return bind(statement, values)[1]
    except (ConfigError, TypeError, AttributeError) as error:
        if not hasattr(type(values), "keys"):
            kind = type(values).__name__
            raise ConfigError(f"parameter set {number} is a {kind}: give mappings of names to values") from error
        raise ConfigError(f"parameter set {number}: {error}") from error
