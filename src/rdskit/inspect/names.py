"""List schemas; on MySQL and MariaDB a schema is a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.client.api import dialect_of
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.api import Database, Transaction

_POSTGRES = """
    select n.nspname from pg_namespace n
    where (:with_table::text is null
           or exists (select from pg_class c
                      where c.relnamespace = n.oid and c.relname = :with_table and c.relkind in ('r', 'p')))
"""
_MYSQL = """
    select s.schema_name from information_schema.schemata s
    where (:with_table is null
           or exists (select 1 from information_schema.tables t
                      where t.table_schema = s.schema_name and t.table_name = :with_table))
"""


async def schema_names(db: Database, *, with_table: str | None = None) -> frozenset[str]:
    """Return the names of all schemas that the login may see, as the writer knows them.

    Args:
        db: the database.
        with_table: only those that have a table of this name.
    """
    text = _POSTGRES if dialect_of(db) is Dialect.POSTGRES else _MYSQL

    async def read(tx: Transaction) -> frozenset[str]:
        return frozenset(row[0] for row in await tx.fetch_all(text, with_table=with_table))

    return await db.run(read)
