"""The captured tables as a server knows them: schema, primary key, and what keeps them from being captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.stream.capture.model import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.api import Database

_POSTGRES: Final = """
select given.name as given, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       pg_has_role(c.relowner, 'usage') as owned,
       coalesce((select array_agg(a.attname::text order by k.place)
          from pg_index i cross join unnest(i.indkey::int2[]) with ordinality k(number, place)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
          where i.indrelid = c.oid and i.indisprimary), '{}') as key
from unnest(cast(:names as text[])) as given(name)
left join pg_class c on c.oid = to_regclass(given.name)
left join pg_namespace n on n.oid = c.relnamespace
"""
_MYSQL: Final = """
select table_schema as `schema`, table_name as name, table_type as kind, engine as engine
from information_schema.tables where table_schema = :schema and table_name = :name
"""
_MYSQL_KEY: Final = """
select column_name as name from information_schema.statistics
where table_schema = :schema and table_name = :name and index_name = 'PRIMARY' order by seq_in_index
"""
_MYSQL_TYPES: Final = """
select column_name as name, data_type as type from information_schema.columns
where table_schema = :schema and table_name = :name order by ordinal_position
"""
UNREADABLE: Final = frozenset({"uuid", "inet4", "inet6"})
"""MariaDB's types whose form in the binary log is not decoded."""


class Described(NamedTuple):
    """A table, and what the checks look at.

    Attributes:
        table: it.
        is_table: it is a table that is logged: not a view, temporary or unlogged.
        identity: PostgreSQL's replica identity: d, n, f or i; empty on MySQL and MariaDB.
        is_owned: this user may add it to a publication.
        unreadable: columns whose types are not decoded.
    """

    table: Table
    is_table: bool
    identity: str = ""
    is_owned: bool = True
    unreadable: tuple[str, ...] = ()


async def describe_tables(db: Database, names: Sequence[str]) -> list[Described]:
    """Return what the server says of tables.

    Args:
        db: the database; statements go to the writer.
        names: as the caller spelled them, ``orders`` or ``sales.orders``.

    Raises:
        ConfigError: there is no table of a name.
    """
    if api.dialect_of(db) is Dialect.POSTGRES:
        return await _postgres(db, names)
    return [await _mysql(db, name) for name in names]


async def _postgres(db: Database, names: Sequence[str]) -> list[Described]:
    found: list[Described] = []
    for row in await db.fetch_all(_POSTGRES, names=list(names)):
        if row["name"] is None:
            raise _missing(row["given"])
        table = Table(row["given"], row["schema"], row["name"], tuple(row["key"]))
        is_table = row["kind"] in {"r", "p"} and row["persistence"] == "p"
        found.append(Described(table, is_table, row["identity"], row["owned"]))
    return found


async def _mysql(db: Database, given: str) -> Described:
    schema, _, name = given.rpartition(".")
    schema = schema or await db.fetch_value("select database()") or ""
    row = await db.fetch_one(_MYSQL, schema=schema, name=name)
    if row is None:
        raise _missing(given)
    key = tuple(each["name"] for each in await db.fetch_all(_MYSQL_KEY, schema=row["schema"], name=row["name"]))
    types = await db.fetch_all(_MYSQL_TYPES, schema=row["schema"], name=row["name"])
    unreadable = tuple(each["name"] for each in types if each["type"].lower() in UNREADABLE)
    return Described(Table(given, row["schema"], row["name"], key), row["kind"] == "BASE TABLE", unreadable=unreadable)


def _missing(given: str) -> ConfigError:
    return ConfigError(f"there is no table {given!r}: correct the name, or create the table first")


def quoted(table: Table, quote: str) -> str:
    """Return a table's name as SQL."""
    return ".".join(quote + part.replace(quote, quote * 2) + quote for part in (table.schema, table.name))
