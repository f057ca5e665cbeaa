"""``Tenants``: one application, many tenants, by database, by schema or by row."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

from rdskit.client.api import DEFAULT, connect, dialect_of, rewriting, scoped
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_seconds, require_whole
from rdskit.kernel.scope import Scope
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import quote_part
from rdskit.scale.tenancy.policy import SCHEMA, checked_id, checked_template, rendered
from rdskit.scale.tenancy.pools import DatabasePools
from rdskit.scale.tenancy.share import Shares
from rdskit.scale.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.sql import StatementCache
    from rdskit.scale.tenancy.rows import RowGuard
    from rdskit.scale.tenancy.table import KnownTenant, TenantTable

By = Literal["database", "schema", "row"]


class TenantTarget(NamedTuple):
    """Where the database of one tenant is.

    Attributes:
        url: as for ``rdskit.connect``.
        options: further arguments of ``rdskit.connect``, for this tenant only.
    """

    url: str
    options: Mapping[str, Any] = {}


class TenantsStats(NamedTuple):
    """What tenants use at one moment.

    Attributes:
        in_use: tenants with an open block of ``use``.
        open: databases that are open; 0 where tenants share one.
        evicted: databases that were closed to make room since the beginning.
    """

    in_use: int
    open: int
    evicted: int


Place = str | TenantTarget
Lookup = Callable[[str], "Place | Awaitable[Place]"]
Provision = Callable[[str], "Awaitable[None]"]
_SHARE: Final = 4  # a tenant gets a quarter of a shared pool, where the application does not say
_KEPT: Final = 4096  # tenants whose row of the table is remembered


class Tenants:
    """Keeps tenants apart: each block of ``use`` sees one of them.

    Args:
        db: the database that tenants share; None where each has a database of its own.
        by: ``database``, ``schema`` or ``row``.
        target: by database: where a tenant's database is: a URL or a secret with ``{id}`` in it, such as
            ``secretsmanager:tenant-{id}-db-credentials``, or a function of the id, which may be async.
        schema: by schema, and by database on one MySQL or MariaDB server: its name, with ``{id}`` in it.
        role: the role that statements run as, with or without ``{id}``; None for the login's own.
        column: by row: the column that says whose a row is.
        shared: by row: tables that all tenants may read.
        table: the tenants that exist; ``use`` refuses all others. It also says where their databases are.
        provision: an async function of the id that makes what a new tenant needs; it must be harmless to repeat.
        max_connections: by database of its own: connections to all tenants together.
        per_tenant: connections of one tenant at once; by default a quarter of a shared pool, and else 2.
        idle: seconds after which a database that no block uses is closed.
        connect: further arguments of ``rdskit.connect`` for databases of their own.

    Raises:
        ConfigError: the arguments do not fit together.
    """

    def __init__(
        self,
        db: Database | None = None,
        *,
        by: By,
        target: str | Lookup | None = None,
        schema: str = SCHEMA,
        role: str | None = None,
        column: str = "tenant_id",
        shared: Iterable[str] = (),
        table: TenantTable | None = None,
        provision: Provision | None = None,
        max_connections: int = 20,
        per_tenant: int | None = None,
        idle: float = 30.0,
        **connect: Any,
    ) -> None:
        if by not in {"database", "schema", "row"}:
            raise ConfigError(f"by={by!r} is not known; choose 'database', 'schema' or 'row'")
        self._by = by
        self._db = db
        self._own = by == "database" and (target is not None or db is None)
        self._target = target
        self._schema = checked_template("schema", schema)
        self._role = checked_template("role", role) if role is not None and "{" in role else role
        if by == "row" and role is not None and "{" in role:
            raise ConfigError(f"role={role!r}: by row all tenants have one role, as policies are checked for it once")
        self._column = column
        self._shared = frozenset(shared)
        self._table = table
        self._provision = provision
        self._connect = connect
        self._known: dict[str, KnownTenant] = {}
        self._current: ContextVar[str | None] = ContextVar("rdskit_tenant", default=None)
        self._closed = False
        self._statements: StatementCache | None = None
        self._guard: RowGuard | None = None
        self._checking = asyncio.Lock()
        most = self._most(db, per_tenant, max_connections)
        self._shares = Shares(most)
        self._most_open = require_whole("max_connections", max_connections, least=1) // most
        self._idle = require_seconds("idle", idle, or_none=False)
        self._pools: DatabasePools | None = None  # made with the first use, where an event loop runs

    def _most(self, db: Database | None, per_tenant: int | None, max_connections: int) -> int:
        """Return how many connections one tenant may use, after a look at how the arguments fit together."""
        if per_tenant is not None:
            require_whole("per_tenant", per_tenant, least=1)
        if self._own:
            if self._target is None and self._table is None:
                raise ConfigError("by='database' needs target= or table=: where the database of a tenant is")
            if isinstance(self._target, str):
                checked_template("target", self._target)
            if "max_size" in self._connect:
                raise ConfigError("max_size= is not for tenants: give per_tenant= and max_connections=")
            most = per_tenant or min(2, max_connections)
            if most > max_connections:
                raise ConfigError(f"per_tenant={most} is more than max_connections={max_connections}: give less")
            return most
        if db is None:
            raise ConfigError(
                f"by={self._by!r} needs the database that the tenants share: Tenants(db, by={self._by!r})"
            )
        if self._target is not None or self._connect:
            extra = "target" if self._target is not None else min(self._connect)
            raise ConfigError(f"{extra}= is for tenants with databases of their own: by='database'")
        if self._by == "database" and dialect_of(db) is Dialect.POSTGRES:
            raise ConfigError(
                "a connection of PostgreSQL cannot change its database: give target= with {id} in it, or by='schema'"
            )
        size = db.context.shared.cluster.writer.limits.max_size
        return per_tenant or max(1, size // _SHARE)

    @contextlib.asynccontextmanager
    async def use(self, tenant: str | int, *, timeout: float | None = DEFAULT) -> AsyncIterator[Tenant]:
        """Use one tenant for the length of the block: ``async with tenants.use("acme") as t``.

        Args:
            tenant: its id.
            timeout: seconds to wait for room, where tenants have databases of their own.

        Raises:
            ConfigError: the id cannot be one, the tenant does not exist, or the block of another tenant is open in this
                task.
            PoolTimeout: there was no room before the deadline.
        """
        if self._closed:
            raise ConfigError("these tenants are closed: make another Tenants")
        name = checked_id(tenant)
        before = self._current.get()
        if before not in {None, name}:
            raise ConfigError(
                f"tenant {name!r} is used inside the block of tenant {before!r}, which is a mistake in most cases: end "
                "that block first, or use a task of its own that is started outside it"
            )
        limit = 30.0 if timeout is DEFAULT else require_seconds("timeout", timeout)
        async with contextlib.AsyncExitStack() as stack:
            share = stack.enter_context(self._shares.of(name))
            if self._own:
                if self._pools is None:
                    self._pools = DatabasePools(self._most_open, self._idle, self._open)
                database = await stack.enter_async_context(self._pools.use(name, limit))
                database = scoped(database, Scope(tenant=name, role=self._role_of(name)))
            else:
                database = await self._shared_view(name)
            used = Tenant(name, database, share)
            self._current.set(name)
            try:
                yield used
            finally:
                self._current.set(before)
                used.end()

    @contextlib.asynccontextmanager
    async def transaction(self, tenant: str | int, **options: Any) -> AsyncIterator[Transaction]:
        """Use one tenant for one transaction; it commits when the block ends, and rolls back when it raises.

        Args:
            tenant: its id.
            options: as for ``Tenant.transaction``.
        """
        async with self.use(tenant) as used, used.transaction(**options) as tx:
            yield tx

    @property
    def current(self) -> str | None:
        """Return the id of the tenant whose block is open in this task, or None."""
        return self._current.get()

    def stats(self) -> TenantsStats:
        """Return what tenants use now."""
        pools = self._pools
        return TenantsStats(len(self._shares), len(pools) if pools else 0, pools.evicted if pools else 0)

    async def add(self, tenant: str | int, *, target: str | None = None) -> None:
        """Make what a new tenant needs; may be called again after it was interrupted.

        By schema its schema is created, by database on one MySQL or MariaDB server its database; before that,
        ``provision`` is called. With ``table=`` the tenant is usable only after all of that.

        Args:
            tenant: its id.
            target: where its database is, for the table.

        Raises:
            ConfigError: the tenant is known with another place, or nothing could tell what to make.
        """
        name = checked_id(tenant)
        schema = None if self._own or self._by == "row" else rendered(self._schema, name)
        if self._own and self._provision is None and self._table is None:
            raise ConfigError("a tenant with a database of its own is made by the application: give provision=")
        if self._table is not None:
            await self._table.begin(name, target=target, schema=schema)
        if self._provision is not None:
            await self._provision(name)
        if schema is not None and self._db is not None:
            await self._db.execute(f"create schema if not exists {quote_part(schema, dialect_of(self._db))}")
        if self._table is not None:
            await self._table.finish(name)
            self._known.pop(name, None)

    async def forget(self, tenant: str | int) -> None:
        """Look again where a tenant is when it is used next; blocks that are open go on with what they have.

        Args:
            tenant: its id.
        """
        name = checked_id(tenant)
        self._known.pop(name, None)
        if self._pools is not None:
            await self._pools.drop(name)

    async def refresh(self) -> None:
        """By row: look again which tables there are, and whether they keep tenants apart.

        Raises:
            ConfigError: they do not; the error names the table.
        """
        self._statements = None
        if self._by == "row":
            await self._guarded()

    async def close(self) -> None:
        """Close the databases of the tenants; one that they share stays open. May be called twice."""
        self._closed = True
        if self._pools is not None:
            await self._pools.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- where a tenant is -----------------------------------------------------------------------------------------

    async def _shared_view(self, tenant: str) -> Database:
        assert self._db is not None, "_most checks it"
        known = await self._require_known(tenant)
        role = self._role_of(tenant)
        if self._by == "row":
            statements = await self._guarded()
            self._require_fit(tenant)
            return scoped(self._db, Scope(tenant=tenant, role=role), statements=statements)
        schema = (known.schema if known else None) or rendered(self._schema, tenant)
        return scoped(self._db, Scope(tenant=tenant, role=role, schema=schema))

    def _require_fit(self, tenant: str) -> None:
        """Refuse an id that is no value of the tables' columns."""
        assert self._guard is not None, "_guarded has made it"
        self._guard.admit(tenant)

    def _role_of(self, tenant: str) -> str | None:
        return None if self._role is None else rendered(self._role, tenant)

    async def _guarded(self) -> StatementCache:
        """Return what compiles statements by row, after a look at whether the database keeps tenants apart."""
        if self._statements is None:
            async with self._checking:  # one look for all who wait
                if self._statements is None:
                    from rdskit.scale.tenancy.rows import inspected  # noqa: PLC0415 - needs an extra on MySQL

                    assert self._db is not None, "_most checks it"
                    view = self._db if self._role is None else scoped(self._db, Scope(role=self._role))
                    self._guard = await inspected(view, self._column, self._shared)
                    self._statements = rewriting(self._db, self._guard)
        return self._statements

    async def _require_known(self, tenant: str) -> KnownTenant | None:
        """Return what the table says of a tenant; None without a table.

        Raises:
            ConfigError: it is not there, or not ready.
        """
        if self._table is None:
            return None
        known = self._known.get(tenant)
        if known is None:
            known = await self._table.get(tenant)
            if known is None:
                raise ConfigError(f"there is no tenant {tenant!r}: add it with `rdskit tenants add`, or tenants.add()")
            if not known.ready:
                raise ConfigError(f"tenant {tenant!r} is not ready: adding it was interrupted, so add it again")
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[tenant] = known
        return known

    async def _open(self, tenant: str) -> Database:
        known = await self._require_known(tenant)
        place = known.target if known else None
        found: Any = place or self._target
        if callable(found):
            found = found(tenant)
            found = await found if inspect.isawaitable(found) else found
        elif isinstance(found, str) and place is None:
            found = rendered(found, tenant)
        if isinstance(found, str):
            found = TenantTarget(found)
        if not isinstance(found, TenantTarget):
            raise ConfigError(
                f"target= gave {type(found).__name__} for tenant {tenant!r}: return a URL, or a TenantTarget"
            )
        options = {"min_size": 0, "readers": "off", **self._connect, **found.options}
        return await connect(found.url, max_size=self._shares.most, **options)
