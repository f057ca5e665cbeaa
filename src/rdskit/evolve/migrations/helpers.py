"""Repeatable schema changes, and filling a column in batches, for Python migrations and scripts."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import dialect_of, reader_progress
from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.tokens import TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.client.api import Database

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?")
_LAG_LOOKS: Final = 0.5  # seconds between two checks of readers that lag

_POSTGRES_COLUMN: Final = (
    "select count(*) from pg_attribute where attrelid = to_regclass(:table) and attname = :column and not attisdropped"
)
_MYSQL_COLUMN: Final = (
    "select count(*) from information_schema.columns "
    "where table_schema = database() and table_name = :table and column_name = :column"
)
_POSTGRES_INDEX: Final = (
    "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid "
    "where i.indrelid = to_regclass(:table) and c.relname = :name"
)
_MYSQL_INDEX: Final = (
    "select count(*) from information_schema.statistics "
    "where table_schema = database() and table_name = :table and index_name = :name"
)


async def add_column_if_missing(db: Database | Any, table: str, column: str, definition: str) -> bool:
    """Add a column unless the table has one of this name; return whether it was added.

    Args:
        db: a database, or a transaction on PostgreSQL.
        table: its name, with the schema in front where it needs one.
        column: the column's name.
        definition: its type and the rest, such as ``timestamptz``.

    Raises:
        ConfigError: a name is not a plain one.
        StatementError: the table does not exist.
    """
    _check(table, column)
    text = _POSTGRES_COLUMN if dialect_of(db) is Dialect.POSTGRES else _MYSQL_COLUMN
    if await db.fetch_value(text, table=table, column=column):
        return False
    await db.execute(f"alter table {table} add column {column} {definition}")
    return True


async def create_index(
    db: Database, table: str, columns: Sequence[str], *, name: str | None = None, unique: bool = False
) -> bool:
    """Build an index while the table is in use, unless there is a valid one of this name; return whether it was built.

    On PostgreSQL it is built CONCURRENTLY, and the invalid leftover of an earlier attempt is dropped first. On MySQL
    and MariaDB it is built INPLACE, with LOCK=NONE.

    Args:
        db: the database; not a transaction.
        table: its name.
        columns: the columns, in order.
        name: of the index; by default made of table and columns.
        unique: refuse duplicates.

    Raises:
        ConfigError: a name is not a plain one.
    """
    name = name or f"{table.rpartition('.')[2]}_{'_'.join(columns)}"[:60]
    _check(table, name, *columns)
    kind = "unique index" if unique else "index"
    listed = ", ".join(columns)
    if dialect_of(db) is not Dialect.POSTGRES:
        if await db.fetch_value(_MYSQL_INDEX, table=table, name=name):
            return False
        await db.execute(f"create {kind} {name} on {table} ({listed}) algorithm=inplace lock=none", timeout=None)
        return True
    valid = await db.fetch_value(_POSTGRES_INDEX, table=table, name=name)
    if valid:
        return False
    async with db.connection() as connection:
        if valid is not None:
            schema = f"{table.rpartition('.')[0]}." if "." in table else ""
            await connection.execute(f"drop index concurrently {schema}{name}", timeout=None)
        await connection.execute(f"create {kind} concurrently {name} on {table} ({listed})", timeout=None)
    return True


async def backfill(
    db: Database,
    table: str,
    *,
    key: str,
    assign: str,
    where: str,
    params: Mapping[str, Any] | None = None,
    batch: int = 1000,
    pause: float = 0.0,
    max_lag: float | None = 10.0,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Change the rows of a large table in batches, each in a statement of its own; return how many were changed.

    It may be interrupted and called again: rows that ``where`` no longer selects are done.

    Args:
        db: the database.
        table: its name.
        key: a column that is unique, not null and indexed: rows are taken in its order.
        assign: what follows SET, such as ``full_name = concat(first, last)``.
        where: which rows still have to be changed, such as ``full_name is null``.
        params: of ``assign`` and ``where``.
        batch: rows of one statement at most.
        pause: seconds between two statements.
        max_lag: wait while a reader is further behind, in seconds; None does not look.
        progress: called with the number of rows changed so far.

    Raises:
        ConfigError: a name is not a plain one.
    """
    _check(table, key)
    values = dict(params or {})
    changed = 0
    after: Any = None
    while True:
        behind = "" if after is None else f"{key} > :rdskit_after and "
        edges = values if after is None else {**values, "rdskit_after": after}
        # The last key of the next batch; a range of keys is what every engine can use an index for.
        chosen = f"select {key} as k from {table} where {behind}({where}) order by {key} limit {int(batch)}"  # noqa: S608 - names are checked
        last = await _from_writer(db, f"select max(k) from ({chosen}) b", _used(db, chosen, edges))  # noqa: S608 - same
        if last is None:
            return changed
        text = f"update {table} set {assign} where {behind}{key} <= :rdskit_last and ({where})"  # noqa: S608 - names are checked
        changed += await db.execute(text, _used(db, text, {**edges, "rdskit_last": last}))
        after = last
        progress(changed)
        await asyncio.sleep(pause)
        if max_lag is not None:
            await _caught_up(db, max_lag)


async def _caught_up(db: Database, max_lag: float) -> None:
    """Return once no reader that serves is further behind."""
    while any(state.lag > max_lag for state in reader_progress(db) if state.serves):  # noqa: ASYNC110 - a measured lag has no event
        await asyncio.sleep(_LAG_LOOKS)


async def _from_writer(db: Database, text: str, params: Mapping[str, Any]) -> Any:
    async with db.transaction(read_only=True) as tx:
        return await tx.fetch_value(text, params)


def _used(db: Database, text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values for the parameters of a text: the query for the next batch has none of ``assign``."""
    names = {token.text[1:] for token in tokenize(text, dialect_of(db)) if token.type is TokenType.PARAMETER}
    return {name: value for name, value in values.items() if name in names}


def _check(*names: str) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is not a plain name: letters, digits and underscores, with one schema in front"
            )
