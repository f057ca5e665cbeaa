"""Insert many rows, and run one statement with many parameter sets, in bounded memory."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rdskit.client.statements.batches import Batches
from rdskit.client.statements.conflicts import checked_conflict, conflict_key
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
        conflict: what to do with rows that exist already, and how to recognize them.

    Returns:
        How many rows were inserted or updated.

    Raises:
        ConfigError: a row or an option is invalid.
        DriverError: the server refused the rows.
    """
    require_text("table", table, example="orders")
    conflict = checked_conflict(conflict, dialect)
    batches = Batches(rows, pace)
    # The first batch names the columns, and the text of the INSERT needs them.
    first = await batches.first()
    if first is None:
        return 0
    columns = Columns(first[0])
    batches.convert = columns.values
    # Asked on the connection that inserts, in its transaction: it sees the same table and search path.
    key, target = await conflict_key(lease, dialect, table, conflict)
    insertion = Insertion(table, columns.names, conflict.on_conflict, key, target)
    return await lease.connection.insert_many(insertion, batches)


async def execute_many(lease: Lease, pace: Pace, statement: Statement, sets: Source) -> int:
    """Run a statement for each parameter set in the open transaction of a connection.

    Returns:
        How many rows it matched in all.

    Raises:
        ConfigError: the statement returns rows, or a parameter set does not fit it.
        DriverError: the server refused a parameter set.
    """
    if statement.returns_rows:
        raise ConfigError(
            "execute_many returns a number, and this statement returns rows: use fetch_all, or remove its RETURNING"
        )
    # PostgreSQL binds a list as one array, so there the text does not vary.
    if statement.lists and statement.dialect is Dialect.MYSQL:
        name = min(statement.lists)
        raise ConfigError(
            f"execute_many needs one text for all sets, and `in :{name}` varies with its length: use execute"
        )
    batches = Batches(sets, pace)
    batches.convert = functools.partial(_arguments, statement)
    return await lease.connection.execute_many(statement.text, batches)


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
