"""Look up which names in statements refer to stored code that changes the session (functions, triggers, views…).

A statement with unknown names counts as one that changes its session. So its connection is reset after the answer. The
catalog is queried on that connection, before the next caller gets it. Statements with known names cost nothing. Changes
through this database object are noticed at once, those of other clients within a minute.

Sources: PostgreSQL manual, "System Catalogs"; MySQL manual, "INFORMATION_SCHEMA Tables"; MariaDB, "Information Schema".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.session_code import Code, read_code, session_changing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.failover import Cluster
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.sql import StatementCache

_TIMEOUT: Final = 5.0  # seconds for one catalog query
_CURRENT_FOR: Final = 60.0  # seconds after which known names are looked up again
_MAX_DEPTH: Final = 12  # levels of code that refers to other code; deeper code counts as changing the session
# Replaces code in other languages than SQL, or code that this user may not see: `read_code` takes it for dynamic SQL,
# which may change the session.
_UNREADABLE: Final = "execute"
_log = logging.getLogger("rdskit.statements")

# Each row: a name, whether the code runs on writes only, and the code. C functions are installed by the server's
# administrator and count as built in. Code in other languages counts as changing the session.
_POSTGRES: Final = f"""
with asked as (select unnest($1::text[]) as name),
spaces as (select oid from pg_catalog.pg_namespace
           where nspname not in ('pg_catalog', 'information_schema') and nspname not like 'pg\\_toast%'),
relations as (select c.oid, c.relname as name, c.relkind from pg_catalog.pg_class c join asked on c.relname = asked.name
              where c.relnamespace in (select oid from spaces) and c.relkind in ('r', 'p', 'v', 'm', 'f'))
select p.proname::text, false, case
           when p.prokind = 'a' then concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn)
           when l.lanname in ('internal', 'c') then ''
           when l.lanname not in ('sql', 'plpgsql') then '{_UNREADABLE}'
           when p.prosrc = '' then pg_get_functiondef(p.oid)
           else p.prosrc end
from pg_catalog.pg_proc p join asked on p.proname = asked.name
join pg_catalog.pg_language l on l.oid = p.prolang left join pg_catalog.pg_aggregate a on a.aggfnoid::oid = p.oid
where p.pronamespace in (select oid from spaces)
union all select name::text, false, pg_get_viewdef(oid) from relations where relkind = 'v'
union all select r.name::text, true, pg_get_ruledef(w.oid)
from relations r join pg_catalog.pg_rewrite w on w.ev_class = r.oid where w.rulename <> '_RETURN'
union all select r.name::text, true, regexp_replace(pg_get_triggerdef(t.oid), 'EXECUTE (FUNCTION|PROCEDURE) ', '')
from relations r join pg_catalog.pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal and t.tgenabled <> 'D'
union all select r.name::text, coalesce(to_jsonb(c) ->> 'attgenerated', '') <> 'v', pg_get_expr(d.adbin, d.adrelid)
from relations r join pg_catalog.pg_attrdef d on d.adrelid = r.oid
join pg_catalog.pg_attribute c on c.attrelid = d.adrelid and c.attnum = d.adnum
union all select r.name::text, true, pg_get_constraintdef(c.oid)
from relations r join pg_catalog.pg_constraint c on c.conrelid = r.oid where c.contype = 'c'
union all select r.name::text, true, quote_ident(o.relname)
from relations r join pg_catalog.pg_constraint c on c.confrelid = r.oid join pg_catalog.pg_class o on o.oid = c.conrelid
where c.contype = 'f' and (c.confdeltype in ('c', 'n', 'd') or c.confupdtype in ('c', 'n', 'd'))
union all select r.name::text, false,
                 concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from relations r join pg_catalog.pg_policy p on p.polrelid = r.oid
union all select r.name::text, true,
                 concat_ws(' ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid))
from relations r join pg_catalog.pg_index i on i.indrelid = r.oid where i.indexprs is not null or i.indpred is not null
union all select r.name::text, false, quote_ident(o.relname)
from relations r join pg_catalog.pg_inherits h on h.inhparent = r.oid join pg_catalog.pg_class o on o.oid = h.inhrelid
union all select r.name::text, true, quote_ident(t.typname)
from relations r join pg_catalog.pg_attribute c on c.attrelid = r.oid join pg_catalog.pg_type t on t.oid = c.atttypid
where t.typtype = 'd' and t.typnamespace in (select oid from spaces)
union all select t.typname::text, false, concat_ws(' ', pg_get_constraintdef(c.oid), t.typdefault)
from pg_catalog.pg_type t join asked on t.typname = asked.name
join pg_catalog.pg_constraint c on c.contypid = t.oid
union all select t.typname::text, false, c.castfunc::regproc::text
from pg_catalog.pg_type t join asked on t.typname = asked.name
join pg_catalog.pg_cast c on t.oid in (c.castsource, c.casttarget)
where c.castfunc <> 0 and t.typnamespace in (select oid from spaces)
"""  # noqa: S608 - our own constants
_SYSTEM: Final = "('mysql', 'sys', 'information_schema', 'performance_schema')"
_ME: Final = (
    "concat('''', substring_index(current_user(), '@', 1), '''@''', substring_index(current_user(), '@', -1), '''')"
)
_MAY: Final = "privilege_type = 'TRIGGER' and grantee = me.grantee"
# Without the privilege TRIGGER on a table, a user sees none of its triggers. Without privileges on a routine or view,
# its text is NULL or empty.
_MYSQL: Final = f"""
select lower(r.routine_name), 0, coalesce(concat('declare ', coalesce(
           (select group_concat(p.parameter_name) from information_schema.parameters p
            where p.specific_schema = r.routine_schema and p.specific_name = r.specific_name), ''), '; ',
           r.routine_definition), '{_UNREADABLE}')
from information_schema.routines r where r.routine_schema not in {_SYSTEM} and r.routine_name in (ASKED)
union all select lower(event_object_table), 1, coalesce(nullif(action_statement, ''), '{_UNREADABLE}')
from information_schema.triggers where trigger_schema not in {_SYSTEM} and event_object_table in (ASKED)
union all select lower(table_name), 0, coalesce(nullif(view_definition, ''), '{_UNREADABLE}')
from information_schema.views where table_schema not in {_SYSTEM} and table_name in (ASKED)
union all select lower(t.table_name), 1, '{_UNREADABLE}'
from information_schema.tables t join (select {_ME} as grantee) me
where t.table_schema not in {_SYSTEM} and t.table_type = 'BASE TABLE' and t.table_name in (ASKED)
and not exists (select 1 from information_schema.user_privileges where {_MAY})
and not exists (select 1 from information_schema.schema_privileges p
                where {_MAY} and t.table_schema like p.table_schema)
and not exists (select 1 from information_schema.table_privileges p
                where {_MAY} and p.table_schema = t.table_schema and p.table_name = t.table_name)
"""  # noqa: S608 - our own constants


class StoredCode:
    """Looks up which names in the statements of one database refer to code that changes the session.

    Args:
        statements: the compiled statements, which receive the answers.
    """

    def __init__(self, statements: StatementCache) -> None:
        self._statements = statements
        # On the loop's clock. A definition was changed through this client, but its transaction may commit later. Until
        # then each look-up repeats all names.
        self._changing_until = 0.0
        self._asked_at = 0.0

    async def ask(self, connection: Connection) -> None:
        """Look up all unknown names in the catalog, and those that may have changed.

        Args:
            connection: a connection that no one else uses now.

        Raises:
            DriverError: the connection was lost. If the server refuses the query, the names stay unknown, and the
                statements that contain them reset their session each time.
        """
        now = asyncio.get_running_loop().time()
        if self._statements.defined:
            self._statements.defined = False
            self._changing_until = now + _CURRENT_FOR
        code = self._statements.session_code
        await self._ask(connection, code.pending | code.known if now < self._changing_until else set(code.pending))

    async def keep_current(self, cluster: Cluster) -> None:
        """Look up every known name again once a minute while the database is in use; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_CURRENT_FOR)
            known = set(self._statements.session_code.known)
            if not known or cluster.writer.used_at <= self._asked_at:
                continue
            lease = cluster.writer.take(loop.time())
            if lease is None:
                continue  # all connections are in use, and no caller should wait for this
            try:
                await self._ask(lease.connection, known)
            except DriverError as error:
                _log.debug("the catalog could not be asked for changed functions and triggers: %s", error)
            finally:
                lease.give_back()
            self._asked_at = loop.time()

    async def _ask(self, connection: Connection, names: set[str]) -> None:
        if not names:
            return
        try:
            codes, asked = await self._collect_code(connection, names)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                raise
            _log.debug("the server refused the catalog query for stored code: %s", error)
            return
        self._statements.settle(frozenset(asked), session_changing(codes, self._statements.dialect))

    async def _collect_code(self, connection: Connection, names: set[str]) -> tuple[list[Code], set[str]]:
        """Return the code that names refer to, directly and through other code, and all names that were looked up."""
        codes: list[Code] = []
        asked: set[str] = set()
        for _ in range(_MAX_DEPTH):
            found = await self._fetch_code(connection, sorted(names))
            codes += found
            asked |= names
            mentioned = (read_code(code.text, self._statements.dialect).names for code in found)
            names = set().union(*mentioned) - asked
            if not names:
                return codes, asked
        return [*codes, *(Code(name, False, _UNREADABLE) for name in names)], asked

    async def _fetch_code(self, connection: Connection, names: list[str]) -> Iterable[Code]:
        if self._statements.dialect is Dialect.POSTGRES:
            rows = await connection.fetch_all(_POSTGRES, [names], _TIMEOUT)
        else:
            # Pad to a power of two, so that there are few different texts in the cache of prepared statements.
            names += [names[0]] * ((1 << (len(names) - 1).bit_length()) - len(names))
            text = _MYSQL.replace("ASKED", ", ".join("?" * len(names)))
            rows = await connection.fetch_all(text, names * _MYSQL.count("ASKED"), _TIMEOUT)
        return [Code(str(name), bool(on_write), str(text)) for name, on_write, text in rows]
