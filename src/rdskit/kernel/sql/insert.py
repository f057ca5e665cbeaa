"""Build INSERT statements for many rows, with a conflict clause for rows that exist already."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text
from rdskit.kernel.sql.model import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OnConflict = Literal["ignore", "update"]

BATCH_ROWS: Final = 2048
"""Rows in one batch; a batch with fewer rows is the last one."""

MOST_MARKERS: Final = 65_535
"""Parameters of one prepared statement: 16 bits count them in both protocols (Bind, COM_STMT_PREPARE response)."""

_SMALL: Final = 48
"""Largest size in bytes of a number, date or time in a message."""

_UNKNOWN: Final = 64 * 1024
"""Assumed size in bytes of a list, or of a value that becomes JSON."""

STAGING: Final = "pg_temp.rdskit_staging"
"""PostgreSQL's temporary table for rows with a conflict clause."""


class Conflict(NamedTuple):
    """The options of an insert for rows that exist already.

    Attributes:
        on_conflict: what to do with them.
        key: the columns of the unique key that identifies them; empty for the default.
        where: the condition of a partial index, as SQL; None for none.
        by_index: the name of a unique index that identifies them instead of a key; None for none.
    """

    on_conflict: OnConflict | None = None
    key: Sequence[str] = ()
    where: str | None = None
    by_index: str | None = None


@dataclass(frozen=True, slots=True)
class Insertion:
    """An insert of many rows.

    Attributes:
        table: the table's name, with its schema if it needs one; in quotes if a dot is part of it.
        columns: the columns of the rows; other columns get their defaults.
        on_conflict: ``ignore`` keeps an existing row, ``update`` overwrites it, None refuses the whole insert.
        key: the columns of the unique key that identifies existing rows; empty for any unique key.
        target: PostgreSQL's conflict target, as SQL, for a partial or an expression index; else empty.
    """

    table: str
    columns: tuple[str, ...]
    on_conflict: OnConflict | None = None
    key: tuple[str, ...] = ()
    target: str = ""

    def __post_init__(self) -> None:
        if self.on_conflict not in (None, "ignore", "update"):
            raise ConfigError(
                f"on_conflict={self.on_conflict!r} is not known; choose 'ignore' or 'update', or leave it"
            )
        if self.key and self.on_conflict is None:
            raise ConfigError("key= identifies rows that exist already: it needs on_conflict='ignore' or 'update'")
        if missing := [name for name in self.key if name not in self.columns]:
            raise ConfigError(
                f"the rows for {self.table!r} have no column {missing[0]!r}, which is part of the key "
                f"({', '.join(self.key)}): give it in each row, or name another unique key with key="
            )

    @property
    def staged(self) -> Insertion:
        """The insert of the same rows into PostgreSQL's temporary table."""
        return Insertion(STAGING, self.columns)

    @property
    def updated(self) -> tuple[str, ...]:
        """The columns that are overwritten in an existing row."""
        return tuple(name for name in self.columns if name not in self.key) if self.on_conflict == "update" else ()


def quote_name(name: str, dialect: Dialect) -> str:
    """Quote the name of a table, with its schema if it has one; see `name_parts`."""
    return ".".join(quote_part(part, dialect) for part in name_parts(name, dialect))


def name_parts(name: str, dialect: Dialect) -> list[str]:
    """Split the name of a table at its dots; a part in the engine's quotes may hold dots itself, as in SQL.

    Raises:
        ConfigError: a part is empty.
    """
    require_text("table", name, example="orders")
    mark = _MARKS[dialect]
    parts, place = [], 0
    while place <= len(name):
        part = _PARTS[dialect].match(name, place)
        if part is None:
            raise ConfigError(
                f"{name!r} is not the name of a table: write it as table or schema.table, "
                f"and one with a dot in it in quotes, as {mark}my.table{mark}"
            )
        parts.append(part["quoted"].replace(mark * 2, mark) if part["quoted"] else part["plain"])
        place = part.end() + 1
    return parts


def quote_part(name: str, dialect: Dialect) -> str:
    """Quote one identifier; dots in it are part of the name."""
    mark = _MARKS[dialect]
    return mark + name.replace(mark, mark * 2) + mark


_MARKS: Final = {Dialect.POSTGRES: '"', Dialect.MYSQL: "`"}
_PARTS: Final = {
    dialect: re.compile(rf"(?:{mark}(?P<quoted>(?:[^{mark}]|{mark}{mark})+){mark}|(?P<plain>[^.]+))(?=\.|\Z)")
    for dialect, mark in _MARKS.items()
}


def primary_key_query(dialect: Dialect, table: str) -> tuple[str, list[str | None]]:
    """Return the query for the columns of a table's primary key in their order, and its arguments."""
    if dialect is Dialect.POSTGRES:
        return _POSTGRES_KEY, [quote_name(table, dialect)]
    *schema, name = name_parts(table, dialect)
    return _MYSQL_KEY, [schema[-1] if schema else None, name]


_POSTGRES_KEY: Final = """
select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = $1::text::regclass and i.indisprimary order by array_position(i.indkey::int2[], a.attnum)
"""
_MYSQL_KEY: Final = """
select column_name from information_schema.statistics
where table_schema = coalesce(?, database()) and table_name = ? and index_name = 'PRIMARY' order by seq_in_index
"""


def cut(rows: Sequence[Sequence[Any]], most: int, size: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Split rows into parts that are sent as one message each.

    Args:
        rows: the rows.
        most: the largest number of rows in a part.
        size: the largest size of a part in bytes, by an upper estimate; a larger row is a part of its own.
    """
    start = total = 0
    for number, values in enumerate(rows):
        weight = sum(map(_weight, values))
        total += weight
        if number > start and (total > size or number - start >= most):
            yield rows[start:number]
            start, total = number, weight
    if start < len(rows):
        yield rows[start:]


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return 4 * len(value) + _SMALL
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) + _SMALL
    return _UNKNOWN if isinstance(value, list | tuple | dict | set) else _SMALL


# The statements below quote every name; values are parameters or come through COPY.

# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def staging_table(insertion: Insertion) -> str:
    """Return the statement for the temporary table: the given columns, without constraints that could refuse a row."""
    names, table = _names(insertion, Dialect.POSTGRES), quote_name(insertion.table, Dialect.POSTGRES)
    return f"create temporary table {STAGING} on commit drop as select {names} from {table} with no data"  # noqa: S608


def merge_staging(insertion: Insertion, *, last_only: bool) -> str:
    """Return the statement that inserts the rows of the temporary table.

    Args:
        insertion: the insert.
        last_only: of rows with the same key insert only the last one. PostgreSQL refuses to update one row twice in a
            statement ("ON CONFLICT DO UPDATE command cannot affect row a second time", SQLSTATE 21000).
    """
    names, table = _names(insertion, Dialect.POSTGRES), quote_name(insertion.table, Dialect.POSTGRES)
    where = f" where not exists ({_later(insertion)})" if last_only else ""
    source = f"select {names} from {STAGING} as given{where}"  # noqa: S608
    return f"insert into {table} ({names}) {source} {_postgres_conflict(insertion)}"


def key_types_query(insertion: Insertion) -> tuple[str, list[Any]]:
    """Return PostgreSQL's query for the key columns of an insert, or of the table's primary key, with their types.

    It returns no row where no index serves ON CONFLICT as an arbiter for that key.
    """
    table = quote_name(insertion.table, Dialect.POSTGRES)
    return (_KEY_TYPES, [table, list(insertion.key)]) if insertion.key else (_PRIMARY_KEY_TYPES, [table])


_OF_THE_KEY: Final = "a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])"
# A child table's rows are no conflict for its parent, but a query of the parent returns them. So parents are left out.
_ARBITER: Final = """
select i.indexrelid from pg_index i join pg_class c on c.oid = i.indrelid
where c.oid = $1::text::regclass and i.indisunique and i.indisvalid and i.indimmediate
and i.indpred is null and i.indexprs is null and (c.relkind = 'p' or not c.relhassubclass)
"""
# Without a modifier (-1), not with an unknown one (null): that would call char(2) "character", which is char(1).
_TYPES_OF: Final = f"""
select a.attname::text, format_type(a.atttypid, -1) from pg_index i join pg_attribute a on {_OF_THE_KEY}
where i.indexrelid
"""  # noqa: S608
_NAMES: Final = f"array(select a.attname::text from pg_attribute a where {_OF_THE_KEY})"  # noqa: S608
_KEY_TYPES: Final = f"{_TYPES_OF} = ({_ARBITER} and {_NAMES} @> $2::text[] and {_NAMES} <@ $2::text[] limit 1)"
_PRIMARY_KEY_TYPES: Final = f"{_TYPES_OF} = ({_ARBITER} and i.indisprimary)"


def keys_there_query(table: str, key: Mapping[str, str]) -> str:
    """Return PostgreSQL's query for the keys that a table has already.

    Args:
        table: the table's name.
        key: the type of each column of the key; the values of each are an argument, as an array.

    Returns:
        A query for one array: the keys themselves; for keys of several columns their places, from 1.
    """
    kept = f"{quote_name(table, Dialect.POSTGRES)} as kept"
    names = [f"kept.{quote_part(name, Dialect.POSTGRES)}" for name in key]
    # A subquery hides the array's length from the planner, which might choose to read the whole table otherwise.
    arrays = [f"(select ${number}::{kind}[])" for number, kind in enumerate(key.values(), 1)]
    if len(names) == 1:  # = ANY scans the index once, where a join would descend into it for each key
        (name,), (kind,), (array,) = names, key.values(), arrays
        return f"select array_agg({name}) from {kept} where {name} = any({array}::{kind}[])"  # noqa: S608
    columns = [f"k{number}" for number in range(1, len(key) + 1)]
    given = f"unnest({', '.join(arrays)}) with ordinality as given({', '.join(columns)}, place)"
    same = " and ".join(f"{name} = given.{column}" for name, column in zip(names, columns, strict=True))
    return f"select array_agg(given.place) from {given} join {kept} on {same}"  # noqa: S608


def index_query(table: str, index: str) -> tuple[str, list[Any]]:
    """Return PostgreSQL's query for the columns and expressions of a unique index and for its condition, as SQL."""
    return _INDEX, [quote_name(table, Dialect.POSTGRES), index]


_INDEX: Final = """
select (select string_agg(pg_get_indexdef(i.indexrelid, n, false), ', ' order by n)
        from generate_series(1, i.indnkeyatts::int) n),
       pg_get_expr(i.indpred, i.indrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = $1::text::regclass and c.relname = $2::text and i.indisunique and i.indisvalid and i.indimmediate
"""


def conflict_target(columns: str, condition: str | None) -> str:
    """Write PostgreSQL's conflict target; a comment at the end of the condition ends with its line."""
    return f"({columns})" if condition is None else f"({columns}) where ({condition}\n)"


def drop_staging() -> str:
    """Remove the temporary table, for the next insert of the same transaction."""
    return f"drop table {STAGING}"


def postgres_values(insertion: Insertion) -> str:
    """Return the statement that inserts one row."""
    names, table = _names(insertion, Dialect.POSTGRES), quote_name(insertion.table, Dialect.POSTGRES)
    markers = ", ".join(f"${number}" for number in range(1, len(insertion.columns) + 1))
    return f"insert into {table} ({names}) values ({markers}) {_postgres_conflict(insertion)}"  # noqa: S608


def _later(insertion: Insertion) -> str:
    # COPY into a table created in the same transaction only appends, so the rows' ctid gives their order.
    same = " and ".join(f"later.{name} = given.{name}" for name in _quoted(insertion.key))
    return f"select from {STAGING} as later where {same} and later.ctid > given.ctid"


def _postgres_conflict(insertion: Insertion) -> str:
    if insertion.on_conflict is None:
        return ""
    key = ", ".join(_quoted(insertion.key))
    which = insertion.target or (f"({key})" if key else "")
    target = f"on conflict {which}".rstrip()
    updated = _quoted(insertion.updated)
    if not updated:
        return f"{target} do nothing"
    return f"{target} do update set {', '.join(f'{name} = excluded.{name}' for name in updated)}"


def _quoted(names: Sequence[str]) -> list[str]:
    return [quote_part(name, Dialect.POSTGRES) for name in names]


# -- MySQL and MariaDB -------------------------------------------------------------------------------------------------


def mysql_values(insertion: Insertion, rows: int) -> str:
    """Return the statement that inserts a number of rows.

    For several rows the server reports how many existed ("Records: 3  Duplicates: 1"). For one row it reports nothing,
    and counts an existing row like a new one. So a single row with ``ignore`` has no conflict clause, and the caller
    catches the duplicate key error.
    """
    names, table = _names(insertion, Dialect.MYSQL), quote_name(insertion.table, Dialect.MYSQL)
    values = f"({', '.join('?' * len(insertion.columns))})"
    refused = rows == 1 and insertion.on_conflict == "ignore"
    conflict = "" if refused else _mysql_conflict(insertion)
    return f"insert into {table} ({names}) values {', '.join([values] * rows)}{conflict}"  # noqa: S608


def _mysql_conflict(insertion: Insertion) -> str:
    if insertion.on_conflict is None:
        return ""
    table = quote_name(insertion.table, Dialect.MYSQL)
    updated = [quote_part(name, Dialect.MYSQL) for name in insertion.updated]
    # Both servers support `values(…)`; MariaDB does not support MySQL's newer row alias.
    changes = [f"{table}.{name} = values({name})" for name in updated]
    # INSERT IGNORE would suppress every error. A column that is set to itself ignores only duplicates.
    first = quote_part(insertion.columns[0], Dialect.MYSQL)
    return f" on duplicate key update {', '.join(changes) or f'{table}.{first} = {table}.{first}'}"


def _names(insertion: Insertion, dialect: Dialect) -> str:
    return ", ".join(quote_part(name, dialect) for name in insertion.columns)
