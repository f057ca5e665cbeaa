"""Explain pending statements: their locks, the sizes of their tables, and who would wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.api import dialect_of
from rdskit.evolve.migrations.ddl import read_ddl
from rdskit.evolve.migrations.locks import BLOCKS, postgres_lock
from rdskit.evolve.migrations.statements import rungs
from rdskit.inspect import long_transactions, table_sizes
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.api import Database
    from rdskit.evolve.migrations.ddl import Ddl
    from rdskit.evolve.migrations.model import Migration
    from rdskit.inspect import Version


class Explained(NamedTuple):
    """One pending statement.

    Attributes:
        version: of its migration.
        line: in the file.
        sql: the statement.
        table: the table concerned; None if it is not about one.
        rows: estimated rows of that table; None for a table that does not exist yet.
        table_bytes: its size.
        lock: the strongest lock on PostgreSQL; on MySQL and MariaDB what is tried, in order.
        blocks: what waits while the statement runs.
        waits_for: transactions open now that it would have to wait for, in seconds of age, the oldest first.
    """

    version: str
    line: int
    sql: str
    table: str | None
    rows: int | None
    table_bytes: int | None
    lock: str
    blocks: str
    waits_for: tuple[float, ...]


async def explained(db: Database, version: Version, pending: Sequence[Migration]) -> list[Explained]:
    """Return each statement of the pending migrations with what it does to others.

    Args:
        db: the database.
        version: of the server.
        pending: the migrations, in order.
    """
    sizes = {size.name.lower(): size for size in await table_sizes(db)}
    sizes |= {name.rpartition(".")[2]: size for name, size in sizes.items()}
    ages = tuple(each.seconds for each in await long_transactions(db, 1.0))
    created: set[str] = set()
    found = []
    for migration in pending:
        for statement in migration.up.statements if migration.up else ():
            ddl = read_ddl(statement.text, dialect_of(db))
            table = ddl.table if ddl else None
            fresh = table is not None and table in created
            if ddl is not None and ddl.verb == "create" and ddl.kind == "table" and table:
                created.add(table)
                fresh = True
            size = sizes.get(table.lower()) if table and not fresh else None
            lock, blocks = _lock(dialect_of(db), ddl, version) if not fresh else ("", "nothing: the table is new")
            found.append(
                Explained(
                    migration.version,
                    statement.line,
                    statement.text,
                    table,
                    size.rows if size else None,
                    size.table_bytes if size else None,
                    lock,
                    blocks,
                    ages if lock and size else (),
                )
            )
    return found


def _lock(dialect: Dialect, ddl: Ddl | None, version: Version) -> tuple[str, str]:
    del version
    if dialect is Dialect.POSTGRES:
        lock = postgres_lock(ddl)
        return lock, BLOCKS[lock]
    tried = [rung.strip(" ,") or "as written" for rung in rungs(ddl)]
    if tried == ["as written"]:
        return ("metadata lock", "reads and writes, for a moment") if ddl and ddl.table else ("", "nothing")
    return ", else ".join(tried), "reads and writes for a moment at its start and end; a copy is refused"
