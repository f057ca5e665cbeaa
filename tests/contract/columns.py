"""What a column type does on its way through rdskit: the measurement behind the tables in docs/engines.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    import rdskit

BULK: Final = 70
"""Rows of the bulk insert: enough for the path of many rows on every engine."""

YES: Final = "yes"
HEADING: Final = ("type", "Python", "read", "write", "bulk", "round trip")


@dataclass(frozen=True)
class Column:
    """One column type, and values of it.

    Attributes:
        type: the type as `create table` takes it; it names the row of the table.
        literals: SQL expressions for values, the odd ones included.
        shown: an SQL expression over the column `v` whose text tells any two values apart.
        setup: statements that make the type.
    """

    type: str
    literals: tuple[str, ...]
    shown: str | None = None
    setup: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """One row of the table.

    Attributes:
        type: the column type.
        python: the Python types that are read.
        cells: what reading, writing, writing in bulk and the round trip gave.
    """

    type: str
    python: str
    cells: tuple[str, str, str, str]

    def __str__(self) -> str:
        return f"| {' | '.join((f'`{self.type}`', self.python, *self.cells))} |"


async def measure(db: rdskit.Database, column: Column, shown: str, number: int) -> Verdict:
    """Write a column's values as SQL, read them, and write what was read as parameters and in bulk.

    Args:
        db: the database.
        column: the type and its values.
        shown: as ``Column.shown``, for columns that have none of their own.
        number: makes the names of the tables.

    Returns:
        The row of the table. Only a `QueryError` is an answer; every other exception is a fault.
    """
    for statement in column.setup:
        await db.execute(statement)
    tables = kept, written, bulk = (f"kept_{number}", f"written_{number}", f"bulk_{number}")
    for table in tables:
        await db.execute(f"create table {table} (n int primary key, v {column.type})")
    for place, literal in enumerate(column.literals):
        await db.execute(f"insert into {kept} values ({place}, {literal})")
    try:
        values = [row[0] for row in await db.fetch_all(f"select v from {kept} order by n")]
    except QueryError:
        return Verdict(column.type, "", ("refused", "", "", ""))
    wrote = await _answer(_write(db, written, values))
    sent = await _answer(_bulk(db, bulk, values))
    texts = [await _texts(db, table, column.shown or shown, len(values)) for table in tables]
    same = "exact" if texts[0] == texts[1] == texts[2] else "differs"
    kinds = ", ".join(dict.fromkeys(f"`{type(value).__name__}`" for value in values if value is not None))
    return Verdict(column.type, kinds, (YES, wrote, sent, same if wrote == sent == YES else ""))


async def _answer(work: Awaitable[None]) -> str:
    try:
        await work
    except QueryError:
        return "refused"
    return YES


async def _write(db: rdskit.Database, table: str, values: Sequence[Any]) -> None:
    for number, value in enumerate(values):
        await db.execute(f"insert into {table} values (:n, :v)", n=number, v=value)


async def _bulk(db: rdskit.Database, table: str, values: Sequence[Any]) -> None:
    rows = [{"n": number, "v": value} for number, value in enumerate(values)]
    rows += [{"n": number, "v": None} for number in range(len(rows), BULK)]
    await db.insert_many(table, rows)


async def _texts(db: rdskit.Database, table: str, shown: str, count: int) -> list[Any]:
    text = f"select {shown} from {table} where n < {count} order by n"
    return [row[0] for row in await db.fetch_all(text)]


def rendered(verdicts: Sequence[Verdict]) -> str:
    """Write the table of one engine."""
    lines = [f"| {' | '.join(HEADING)} |", "|---|---|---|---|---|---|", *map(str, verdicts)]
    return "\n".join(lines)
