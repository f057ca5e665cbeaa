"""Query a database's tables, and a table's columns and indexes, with the same result columns for every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.operate.shell.model import Answer, Column

if TYPE_CHECKING:
    from rdskit.operate.shell.session import ShellSession

_TABLES: Final = {
    Dialect.POSTGRES: """
        select n.nspname as schema, c.relname as name,
               case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                    when 'm' then 'materialized view' when 'f' then 'foreign table' else 'sequence' end as type,
               pg_get_userbyid(c.relowner) as owner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = any(array['r', 'p', 'v', 'm', 'f', 'S']) and not c.relispartition
          and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        order by 1, 2""",
    Dialect.MYSQL: """
        select table_schema as `schema`, table_name as name,
               case table_type when 'BASE TABLE' then 'table' else lower(table_type) end as type, engine
        from information_schema.tables
        where table_schema = database() order by 1, 2""",
}
_COLUMNS: Final = {
    Dialect.POSTGRES: """
        select a.attname as "column", format_type(a.atttypid, a.atttypmod) as type,
               case when a.attnotnull then 'not null' else '' end as nullable,
               coalesce(pg_get_expr(d.adbin, d.adrelid), '') as "default"
        from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = to_regclass(:name) and a.attnum > 0 and not a.attisdropped
        order by a.attnum""",
    Dialect.MYSQL: """
        select column_name as `column`, column_type as type, if(is_nullable = 'NO', 'not null', '') as nullable,
               concat_ws(' ', column_default, nullif(extra, '')) as `default`
        from information_schema.columns
        where table_schema = coalesce(:schema, database()) and table_name = :name
        order by ordinal_position""",
}
_INDEXES: Final = {
    Dialect.POSTGRES: """
        select i.relname as "index",
               case when x.indisprimary then 'primary key' when x.indisunique then 'unique' else '' end as kind,
               regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') as definition
        from pg_index x join pg_class i on i.oid = x.indexrelid
        where x.indrelid = to_regclass(:name) order by not x.indisprimary, 1""",
    Dialect.MYSQL: """
        select index_name as `index`,
               case when index_name = 'PRIMARY' then 'primary key'
                    when non_unique = 0 then 'unique' else '' end as kind,
               group_concat(column_name order by seq_in_index separator ', ') as definition
        from information_schema.statistics
        where table_schema = coalesce(:schema, database()) and table_name = :name
        group by index_name, non_unique order by index_name <> 'PRIMARY', 1""",
}
_KNOWN_COLUMNS: Final = {
    Dialect.POSTGRES: """
        select n.nspname, c.relname, a.attname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind = any(array['r', 'p', 'v', 'm', 'f']) and not c.relispartition
          and n.nspname !~ '^pg_(toast|temp)' and n.nspname <> 'information_schema'
        order by n.nspname = 'pg_catalog', 1, 2, a.attnum limit 20000""",
    Dialect.MYSQL: """
        select table_schema, table_name, column_name from information_schema.columns
        where table_schema = database() order by 1, 2, ordinal_position limit 20000""",
}


async def tables(session: ShellSession) -> Answer:
    """Return the tables, views and sequences of the database."""
    names = ("schema", "name", "type", "owner" if session.dialect is Dialect.POSTGRES else "engine")
    return _answer(names, await session.query(_TABLES[session.dialect]))


async def described(session: ShellSession, name: str) -> tuple[Answer, Answer]:
    """Return the columns and the indexes of a table.

    Args:
        session: the session.
        name: the table's name, with its schema if it needs one.

    Raises:
        ConfigError: there is no such table.
    """
    dialect = session.dialect
    values: dict[str, str | None] = {"name": name}
    if dialect is Dialect.MYSQL:
        schema, _, table = name.replace("`", "").rpartition(".")
        values = {"name": table, "schema": schema or None}
    columns = await session.query(_COLUMNS[dialect], **values)
    if not columns:
        raise ConfigError(f"there is no table or view {name!r}: \\d lists them")
    indexes = await session.query(_INDEXES[dialect], **values)
    return (
        _answer(("column", "type", "nullable", "default"), columns),
        _answer(("index", "kind", "definition"), indexes),
    )


async def known_columns(session: ShellSession) -> list[Column]:
    """Return the columns that completion proposes."""
    return [Column(*map(str, row)) for row in await session.query(_KNOWN_COLUMNS[session.dialect])]


def _answer(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> Answer:
    return Answer("", 0.0, columns, rows, len(rows), returns_rows=True)
