"""Check and resolve how an insert of many rows recognizes existing rows: by key, condition or index name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.errors import ConfigError, StatementError
from rdskit.kernel.arguments import require_text, require_texts
from rdskit.kernel.sql import Dialect, compile_statement
from rdskit.kernel.sql.insert import Conflict, conflict_target, index_query, primary_key_query, quote_part

if TYPE_CHECKING:
    from rdskit.client.pool import Lease


def checked_conflict(given: Conflict, dialect: Dialect) -> Conflict:
    """Check the options for existing rows, and return them with the key as a tuple.

    Raises:
        ConfigError: an option has a wrong type, does not fit another one, or is not supported on this engine.
    """
    given = given._replace(key=require_texts("key", given.key))
    if given.where is None and given.by_index is None:
        return given
    require_text("conflict_where", given.where, or_none=True)
    require_text("index", given.by_index, or_none=True)
    name = "index" if given.where is None else "conflict_where"
    if dialect is Dialect.MYSQL:
        raise ConfigError(
            f"{name}= is for PostgreSQL: MySQL and MariaDB have no partial indexes, and recognize an existing row by "
            "any unique key; leave it out, and create a unique key over a generated column"
        )
    if given.on_conflict is None:
        raise ConfigError(f"{name}= identifies existing rows: it needs on_conflict='ignore' or 'update'")
    if given.by_index is not None and (given.key or given.where is not None):
        raise ConfigError("index= names an index with its columns and condition: leave key= and conflict_where= out")
    if given.where is not None:
        if not given.key:
            raise ConfigError("conflict_where= is the condition of a partial index: name the index's columns with key=")
        if compile_statement(f"select ({given.where}\n)", dialect).names:
            raise ConfigError("conflict_where= takes no parameters: write the condition as the index has it")
    return given


async def conflict_key(lease: Lease, dialect: Dialect, table: str, conflict: Conflict) -> tuple[tuple[str, ...], str]:
    """Return the key that identifies existing rows, and PostgreSQL's conflict target if the key is not enough.

    Raises:
        StatementError: the table has no primary key, or no such index.
    """
    if conflict.by_index is not None:
        text, args = index_query(table, conflict.by_index)
        found = await lease.connection.fetch_one(text, args, None)
        if found is None:
            raise StatementError(
                f"table {table!r} has no unique index {conflict.by_index!r} that is valid and checked at once: "
                "give the index's name in exact spelling, without its schema"
            )
        return (), conflict_target(found[0], found[1])
    if conflict.where is not None:
        columns = ", ".join(quote_part(name, dialect) for name in conflict.key)
        return tuple(conflict.key), conflict_target(columns, conflict.where)
    if conflict.on_conflict == "update" and not conflict.key:
        return await _primary_key(lease, dialect, table), ""
    return tuple(conflict.key), ""


async def _primary_key(lease: Lease, dialect: Dialect, table: str) -> tuple[str, ...]:
    text, args = primary_key_query(dialect, table)
    rows = await lease.connection.fetch_all(text, args, None)
    if not rows:
        raise StatementError(
            f"table {table!r} has no primary key, or does not exist: name the columns of a unique key with key="
        )
    return tuple(row[0] for row in rows)
