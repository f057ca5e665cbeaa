"""The catalog of MySQL and MariaDB.

Sources: MySQL manual, "INFORMATION_SCHEMA Tables"; MariaDB documentation, "Information Schema". A user without the
privilege TRIGGER on a table sees none of its triggers, so such a table counts as one with triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, compile_statement
from rdskit.scale.cache.catalog.stored_code import changes_only_its_row
from rdskit.scale.cache.model import Facts, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.api import Database

_IDENTITY: Final = "select database() as name, current_user() as login"
_SYSTEM: Final = frozenset({"mysql", "sys", "information_schema", "performance_schema"})
# Tables of other engines change by themselves, or are made of others.
_ENGINES: Final = frozenset({"innodb", "myisam", "aria", "memory", "rocksdb"})
_TABLES: Final = """
select lower(concat(table_schema, '.', table_name)) as name, lower(table_type) as kind, lower(engine) as engine
from information_schema.tables where table_schema in :schemas and table_name in :tables
"""
_VIEWS: Final = """
select lower(concat(table_schema, '.', table_name)) as name, view_definition as definition
from information_schema.views where table_schema in :schemas and table_name in :tables
"""
_CASCADES: Final = """
select lower(concat(unique_constraint_schema, '.', referenced_table_name)) as name,
       lower(concat(constraint_schema, '.', table_name)) as changed
from information_schema.referential_constraints
where unique_constraint_schema in :schemas and referenced_table_name in :tables
  and (delete_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT') or update_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT'))
"""
_TRIGGERS: Final = """
select lower(concat(event_object_schema, '.', event_object_table)) as name, action_statement as code
from information_schema.triggers where event_object_schema in :schemas and event_object_table in :tables
"""
_ME: Final = (
    "concat('''', substring_index(current_user(), '@', 1), '''@''', substring_index(current_user(), '@', -1), '''')"
)
_MAY: Final = f"privilege_type = 'TRIGGER' and grantee = {_ME}"
_MAY_SEE_TRIGGERS: Final = f"""
select lower(concat(t.table_schema, '.', t.table_name)) as name from information_schema.tables t
where t.table_schema in :schemas and t.table_name in :tables
  and (exists (select 1 from information_schema.user_privileges where {_MAY})
    or exists (select 1 from information_schema.schema_privileges p
               where {_MAY} and t.table_schema like p.table_schema)
    or exists (select 1 from information_schema.table_privileges p
               where {_MAY} and p.table_schema = t.table_schema and p.table_name = t.table_name))
"""  # noqa: S608 - our own constants


class MysqlCatalog:
    """Asks the writer of a MySQL or MariaDB database.

    Args:
        db: the database, in the scope that the statements run with.
        fresh: a token that sends reads to the writer.
    """

    def __init__(self, db: Database, fresh: str) -> None:
        self._db = db
        self._fresh = fresh

    async def identity(self) -> Identity:
        """Return the database and the user that statements run as."""
        row = await self._db.fetch_one(_IDENTITY, after=self._fresh)
        assert row is not None
        return Identity(row.name or "", row.login)

    async def canonical(self, spelled: Iterable[str]) -> dict[str, str]:
        """Return the full name of each relation that exists, by the name that a statement uses."""
        schema = (await self.identity()).database
        asked = {name: _full(name, schema) for name in spelled}
        known = {row.name for row in await self._ask(_TABLES, {name for name in asked.values() if name})}
        return {name: full for name, full in asked.items() if full in known}

    async def facts(self, names: Iterable[str]) -> dict[str, Facts]:
        """Return what the catalog says of relations, by canonical name."""
        wanted = set(names)
        if not wanted:
            return {}
        tables = {row.name: row for row in await self._ask(_TABLES, wanted) if row.name in wanted}
        views = {row.name: row.definition for row in await self._ask(_VIEWS, wanted)}
        changed = _grouped(await self._ask(_CASCADES, wanted), "changed")
        triggers = _grouped(await self._ask(_TRIGGERS, wanted), "code")
        visible = {row.name for row in await self._ask(_MAY_SEE_TRIGGERS, wanted)}
        found = {}
        for name, table in tables.items():
            view = table.kind == "view"
            sources = _read_by(views.get(name), name) if view else frozenset()
            plain = table.kind in {"base table", "system versioned"} and table.engine in _ENGINES
            harmless = all(code and changes_only_its_row(code, Dialect.MYSQL) for code in triggers.get(name, ()))
            found[name] = Facts(
                kept=name.partition(".")[0] not in _SYSTEM and sources is not None and (view or plain),
                sources=sources or frozenset(),
                changes=frozenset(changed.get(name, ())) | (sources or frozenset()),
                certain=sources is not None if view else harmless and name in visible,
            )
        return found

    async def _ask(self, sql: str, names: set[str]) -> list[Any]:
        if not names:
            return []
        pairs = [name.split(".", 1) for name in names]
        params = {"schemas": sorted({pair[0] for pair in pairs}), "tables": sorted({pair[1] for pair in pairs})}
        return await self._db.fetch_all(sql, params, after=self._fresh)


def _full(name: str, schema: str) -> str:
    """Return a name with its schema; empty where a part holds a dot, which is not supported."""
    if '"' in name:
        return ""
    return (name if "." in name else f"{schema}.{name}").lower()


def _read_by(definition: str | None, name: str) -> frozenset[str] | None:
    """Return the tables of a view; None where its text is hidden, or calls functions of the user's own."""
    if not definition:
        return None
    try:
        reads = compile_statement(definition, Dialect.MYSQL).tables.reads
    except ConfigError:
        return None
    if reads is None:
        return None
    return frozenset(_full(each, name.partition(".")[0]) for each in reads)


def _grouped(rows: list[Any], column: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row[column])
    return found
