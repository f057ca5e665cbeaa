"""PostgreSQL's catalog.

Source: PostgreSQL manual, "System Catalogs": ``pg_depend`` names the relations and functions of views and policies;
built-in functions are pinned and have no rows there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.sql import Dialect
from rdskit.scale.cache.catalog.stored_code import changes_only_its_row
from rdskit.scale.cache.model import Facts, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.api import Database

_IDENTITY: Final = "select current_database() as database, current_user as login"
_NAMES: Final = """
select spelled, format('%I.%I', s.nspname, c.relname) as name
from unnest(:spelled::text[], :quoted::text[]) as asked (spelled, quoted)
join pg_catalog.pg_class c on c.oid = to_regclass(quoted)::oid
join pg_catalog.pg_namespace s on s.oid = c.relnamespace
"""
# Tables whose rows change without a statement that we see (foreign, temporary, of the system) are not kept, and neither
# is a view or a row policy that calls functions: they may read anything.
_FACTS: Final = """
with asked as (
    select c.*, format('%I.%I', s.nspname, c.relname) as name, s.nspname
    from unnest(:names::text[]) as given (name)
    join pg_catalog.pg_class c on c.oid = to_regclass(given.name)::oid
    join pg_catalog.pg_namespace s on s.oid = c.relnamespace),
code as (
    select ev_class as oid, 'pg_catalog.pg_rewrite'::regclass as class, oid as code from pg_catalog.pg_rewrite
    union all select polrelid, 'pg_catalog.pg_policy'::regclass, oid from pg_catalog.pg_policy),
used as (
    select code.oid, d.refclassid, d.refobjid from code
    join pg_catalog.pg_depend d on d.classid = code.class and d.objid = code.code
    where code.oid in (select oid from asked))
select a.name, a.relkind::text as kind,
    a.relkind in ('r', 'p', 'v', 'm') and a.relpersistence <> 't' and a.nspname <> 'information_schema'
        and a.nspname not like 'pg\\_%' and (a.relkind = 'm' or not exists (
            select 1 from used where used.oid = a.oid and used.refclassid = 'pg_catalog.pg_proc'::regclass)) as kept,
    array(select distinct used.refobjid::regclass::oid from used
          where used.oid = a.oid and used.refclassid = 'pg_catalog.pg_class'::regclass and used.refobjid <> a.oid
              and a.relkind <> 'm') as sources,
    array(select conrelid from pg_catalog.pg_constraint f where f.confrelid = a.oid and f.contype = 'f'
              and (f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd'))
          union select inhrelid from pg_catalog.pg_inherits where inhparent = a.oid
          union select inhparent from pg_catalog.pg_inherits where inhrelid = a.oid) as changes,
    exists (select 1 from pg_catalog.pg_rewrite r where r.ev_class = a.oid and r.ev_type <> '1') as rules,
    array(select case when n.nspname = 'pg_catalog' then '' when l.lanname = 'plpgsql' then p.prosrc else 'execute' end
          from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
          join pg_catalog.pg_namespace n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang
          where t.tgrelid = a.oid and not t.tgisinternal and t.tgenabled <> 'D') as triggers
from asked a
"""
_SPELLINGS: Final = """
select c.oid, format('%I.%I', s.nspname, c.relname) as name
from pg_catalog.pg_class c join pg_catalog.pg_namespace s on s.oid = c.relnamespace where c.oid = any(:oids::oid[])
"""


class PostgresCatalog:
    """Asks the writer of a PostgreSQL database.

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
        return Identity(row.database, row.login)

    async def canonical(self, spelled: Iterable[str]) -> dict[str, str]:
        """Return the full name of each relation that exists, by the name that a statement uses."""
        names = list(spelled)
        found = await self._ask(_NAMES, spelled=names, quoted=[_quoted(name) for name in names])
        return {row.spelled: row.name for row in found}

    async def facts(self, names: Iterable[str]) -> dict[str, Facts]:
        """Return what the catalog says of relations, by canonical name."""
        rows = await self._ask(_FACTS, names=list(names))
        oids = {oid for row in rows for oid in (*row.sources, *row.changes)}
        spelled = {row.oid: row.name for row in await self._ask(_SPELLINGS, oids=list(oids))} if oids else {}
        return {row.name: _facts_of(row, spelled) for row in rows}

    async def _ask(self, sql: str, **named: Any) -> list[Any]:
        return await self._db.fetch_all(sql, named, after=self._fresh)


def _facts_of(row: Any, spelled: dict[int, str]) -> Facts:
    sources = frozenset(spelled[oid] for oid in row.sources if oid in spelled)
    changes = frozenset(spelled[oid] for oid in row.changes if oid in spelled)
    return Facts(
        kept=row.kept,
        sources=sources,
        changes=changes | sources if row.kind == "v" else changes,
        certain=not row.rules and all(changes_only_its_row(code, Dialect.POSTGRES) for code in row.triggers),
    )


def _quoted(name: str) -> str:
    """Return a name as the statement reader spells it, with every part in quotes."""
    if '"' in name:  # a part with a dot is in quotes already, and then the others are left as they are
        return name
    return ".".join(f'"{part}"' for part in name.split("."))
