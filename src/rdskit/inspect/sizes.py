"""Query the sizes of tables: estimates that need no scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.api import dialect_of
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.api import Database

_POSTGRES = """
    select n.nspname || '.' || c.relname as name,
           case when c.reltuples < 0 then coalesce(s.n_live_tup, 0) else c.reltuples end::bigint as row_count,
           pg_table_size(c.oid) as table_bytes, pg_indexes_size(c.oid) as index_bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_stat_all_tables s on s.relid = c.oid
    where c.relkind in ('r', 'p', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and (:name::text is null or c.oid = to_regclass(:name))
    order by 3 desc, 1
"""
_MYSQL = """
    select table_name as name, coalesce(table_rows, 0) as row_count, coalesce(data_length, 0) as table_bytes,
           coalesce(index_length, 0) as index_bytes
    from information_schema.tables
    where table_schema = database() and table_type = 'BASE TABLE' and (:name is null or table_name = :name)
    order by 3 desc, 1
"""


class TableSize(NamedTuple):
    """The size of one table, estimated by the server's statistics.

    Attributes:
        name: with its schema on PostgreSQL.
        rows: estimated.
        table_bytes: of the table itself.
        index_bytes: of all of its indexes.
    """

    name: str
    rows: int
    table_bytes: int
    index_bytes: int


async def table_sizes(db: Database) -> list[TableSize]:
    """Return the size of every table, the largest first."""
    return await _sizes(db, None)


async def table_size(db: Database, name: str) -> TableSize | None:
    """Return the size of one table; None if there is none of this name.

    Args:
        db: the database.
        name: as a statement spells it; without quotes on MySQL and MariaDB.
    """
    found = await _sizes(db, name)
    return found[0] if found else None


async def _sizes(db: Database, name: str | None) -> list[TableSize]:
    text = _POSTGRES if dialect_of(db) is Dialect.POSTGRES else _MYSQL
    rows = await db.fetch_all(text, name=name)
    return [TableSize(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows]
