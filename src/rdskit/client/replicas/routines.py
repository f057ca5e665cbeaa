"""Find out from the server's catalog which user-defined functions only read.

Sources: PostgreSQL manual, ``pg_proc.provolatile`` and "Function Volatility Categories" (a STABLE or IMMUTABLE function
may not change the database), ``pg_aggregate``; MySQL manual, "CREATE PROCEDURE and CREATE FUNCTION Statements" (NO SQL
and READS SQL DATA are the declaration that it does not write; DETERMINISTIC says nothing about that).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.client.pool import Retired
from rdskit.errors import RdskitError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rdskit.client.failover import Cluster
    from rdskit.kernel.sql import Statement, StatementCache
    from rdskit.runtime.tasks import TaskOwner

# All functions that a name may refer to must be read-only, and so must all parts of an aggregate. Built-in functions do
# not qualify: those that kernel.sql does not list as harmless may depend on the host or the session.
_POSTGRES: Final = """
select called.name
from (select name, nullif(regexp_replace(name, '\\.?[^.]*$', ''), '') as schema,
             regexp_replace(name, '^.*\\.', '') as last
      from unnest($1::text[]) as name) as called
join pg_proc as p on p.proname = called.last
join pg_namespace as s on s.oid = p.pronamespace
     and (s.nspname = called.schema or called.schema is null and s.nspname = any (current_schemas(true)))
left join pg_aggregate as a on a.aggfnoid::oid = p.oid
left join pg_proc as step on step.oid = a.aggtransfn::oid
left join pg_proc as final on final.oid = a.aggfinalfn::oid
group by called.name
having bool_and(s.nspname <> 'pg_catalog' and p.provolatile <> 'v'
                and coalesce(step.provolatile <> 'v', true) and coalesce(final.provolatile <> 'v', true))
"""
_MYSQL: Final = """
select lower(routine_name) from information_schema.routines
where routine_type = 'FUNCTION' and sql_data_access in ('NO SQL', 'READS SQL DATA')
  and routine_schema = database() and find_in_set(lower(routine_name), ?)
union
select lower(concat(routine_schema, '.', routine_name)) from information_schema.routines
where routine_type = 'FUNCTION' and sql_data_access in ('NO SQL', 'READS SQL DATA')
  and find_in_set(lower(concat(routine_schema, '.', routine_name)), ?)
"""
_QUERIES: Final[Mapping[Dialect, str]] = {Dialect.POSTGRES: _POSTGRES, Dialect.MYSQL: _MYSQL}
_TIMEOUT: Final = 5.0  # seconds for the answer, including the wait for a connection
_log = logging.getLogger("rdskit.replicas")


class Routines:
    """Looks up the functions that statements call, in the background; no call waits for it.

    A statement goes to the writer until all its functions are known to be read-only. If a function is changed later and
    writes, every reader refuses it, and its statement runs on the writer.
    """

    def __init__(self, cluster: Cluster, statements: StatementCache, owner: TaskOwner) -> None:
        self._cluster = cluster
        self._statements = statements
        self._owner = owner
        self._asked: frozenset[str] = frozenset()

    def learn(self, statement: Statement) -> None:
        """Start to look up a statement's unknown functions, unless that was done before."""
        names = statement.unknown - self._asked
        if names:
            self._asked |= names
            self._owner.spawn(self._learn(names), "ask which functions only read")

    async def ask(self, statement: Statement) -> None:
        """Ask the server about what is unknown of a statement, and return when the answer is there."""
        names = statement.unknown - self._asked
        if names:
            self._asked |= names
            await self._learn(names)

    async def _learn(self, names: frozenset[str]) -> None:
        try:
            self._statements.learn(await self._read_only_names(names))
        except (RdskitError, Retired) as error:
            self._forget(names, error)
        except DriverError as error:
            # A refusal would be repeated for each statement: the names count as writing from now on.
            if error.failure is not Failure.REFUSED:
                self._forget(names, error)

    def _forget(self, names: frozenset[str], error: Exception) -> None:
        """Let the next statement look the names up again."""
        self._asked -= names
        _log.debug("the functions %s could not be looked up: %s", ", ".join(sorted(names)), error)

    async def _read_only_names(self, names: frozenset[str]) -> Iterable[str]:
        dialect = self._statements.dialect
        deadline = Deadline.after(_TIMEOUT)
        lease = await self._cluster.acquire_writer(deadline)
        try:
            call = lease.connection.fetch_all(_QUERIES[dialect], _arguments(dialect, sorted(names)), None)
            return [row[0] for row in await lease.run(call, deadline.due)]
        finally:
            lease.give_back()


class KnownRoutines(Routines):
    """Looks nothing up, for a scope whose schema differs from that of the look-up's connection."""

    def learn(self, statement: Statement) -> None:
        """Do nothing, so that the statement goes to the writer unless its functions are known."""

    async def ask(self, statement: Statement) -> None:
        """Leave the statement as it is."""


def _arguments(dialect: Dialect, names: Sequence[str]) -> Sequence[object]:
    return [names] if dialect is Dialect.POSTGRES else [",".join(names)] * 2
