"""One tenant's database, as the application uses it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdskit.client.api import DEFAULT
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from rdskit.client.api import Database, Source, Transaction
    from rdskit.kernel.choices import Isolation
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.scale.tenancy.share import Share

T = TypeVar("T")


class Tenant:
    """What ``tenants.use(id)`` yields; for use by many tasks until its block ends.

    Methods, parameters and errors are those of ``rdskit.Database``. Each call first waits for the tenant's share of the
    connections, which counts as part of its timeout.

    Attributes:
        id: the tenant's id.
    """

    def __init__(self, tenant: str, database: Database, share: Share) -> None:
        """Begin; called by ``Tenants``.

        Args:
            tenant: its id.
            database: sees this tenant only.
            share: bounds what the tenant uses.
        """
        self.id = tenant
        self._database: Database | None = database
        self._share = share

    def __repr__(self) -> str:
        return f"<rdskit.scale.Tenant {self.id}{'' if self._database else ' (ended)'}>"

    @property
    def database(self) -> Database:
        """Return the database that sees this tenant only, for a cache or a migration; its calls are not bounded.

        Raises:
            ConfigError: the block of ``use`` has ended.
        """
        if self._database is None:
            raise ConfigError(f"the block of tenants.use({self.id!r}) has ended: open another one")
        return self._database

    def end(self) -> None:
        """Refuse further calls; called when the block of ``use`` ends."""
        self._database = None

    @overload
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> Row | None: ...
    @overload
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> T | None: ...
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Run a statement and return its first row, or None."""
        async with self._bounded(timeout) as (db, left):
            return await db.fetch_one(sql, params, into=into, timeout=left, after=after, **named)

    @overload
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> list[Row]: ...
    @overload
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: type[T],
        timeout: float | None = ...,
        after: str | None = ...,
        **named: Any,
    ) -> list[T]: ...
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Run a statement and return all its rows."""
        async with self._bounded(timeout) as (db, left):
            return await db.fetch_all(sql, params, into=into, timeout=left, after=after, **named)

    async def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        after: str | None = None,
        **named: Any,
    ) -> Any:
        """Return the first column of a statement's first row, or None."""
        async with self._bounded(timeout) as (db, left):
            return await db.fetch_value(sql, params, into=into, timeout=left, after=after, **named)

    async def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and return the number of rows that it matched."""
        async with self._bounded(timeout) as (db, left):
            return await db.execute(sql, params, timeout=left, **named)

    async def insert_many(self, table: str, rows: Source, *, timeout: float | None = DEFAULT, **options: Any) -> Result:
        """Insert many rows, all or none; ``options`` as for the database."""
        async with self._bounded(timeout) as (db, left):
            return await db.insert_many(table, rows, timeout=left, **options)

    async def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all or none."""
        async with self._bounded(timeout) as (db, left):
            return await db.execute_many(sql, sets, timeout=left)

    async def stream(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        batch: int = 1000,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> AsyncGenerator[Row, None]:
        """Read a query row by row: ``async for row in tenant.stream("select …")``."""
        async with self._bounded(timeout) as (db, _):
            rows = db.stream(sql, params, batch=batch, timeout=timeout, **named)
            async with contextlib.aclosing(rows):
                async for row in rows:
                    yield row

    @contextlib.asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        exactly_once: bool | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction; it commits when the block ends, and rolls back when it raises."""
        async with (
            self._bounded(timeout if timeout is not None else DEFAULT) as (db, left),
            db.transaction(
                isolation=isolation,
                read_only=read_only,
                exactly_once=exactly_once,
                timeout=None if timeout is None else left,
            ) as tx,
        ):
            yield tx

    async def run(
        self,
        closure: Callable[..., Awaitable[T]],
        *,
        args: tuple[Any, ...] = (),
        isolation: Isolation | None = None,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args)`` in a transaction, as a whole again after a conflict or a failover."""
        async with self._bounded(timeout) as (db, left):
            return await db.run(
                closure, args=args, kwargs={}, isolation=isolation, exactly_once=exactly_once, timeout=left
            )

    @contextlib.asynccontextmanager
    async def _bounded(self, timeout: float | None) -> AsyncIterator[tuple[Database, float | None]]:
        database = self.database
        seconds = database.context.shared.timeout if timeout is DEFAULT else timeout
        async with self._share.taken(seconds) as deadline:
            yield database, deadline.remaining()
