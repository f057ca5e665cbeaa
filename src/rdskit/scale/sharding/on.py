"""Statements for one shard key."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from rdskit.client.api import DEFAULT, statement_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Params, Result, Row
    from rdskit.runtime.deadlines import Deadline
    from rdskit.scale.sharding.context import ShardContext

T = TypeVar("T")
_PAUSE: Final = 0.02  # seconds before the map is read again


class _MovedError(Exception):
    """The shard does not own the bucket any more: the router's map is old. Never leaves this module."""


class OnKey:
    """What ``shards.on(key)`` returns. Statements see the whole shard: they name the key, as ``where id = :id``.

    Attributes:
        key: the shard key.
        bucket: its bucket; a statement with ``:bucket`` in it gets it by itself.
    """

    __slots__ = ("_shards", "bucket", "key")

    def __init__(self, shards: ShardContext, key: Any, bucket: int) -> None:
        """Begin; called by ``Shards.on``."""
        self._shards = shards
        self.key = key
        self.bucket = bucket

    @overload
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = ...,
        **named: Any,
    ) -> Row | None: ...
    @overload
    async def fetch_one(
        self, sql: str, params: Params | None = None, /, *, into: type[T], timeout: float | None = ..., **named: Any
    ) -> T | None: ...
    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any:
        """Run a statement and return its first row, or None."""
        return await self._run("fetch_one", sql, params, named, timeout, {"into": into})

    @overload
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: None = None,
        timeout: float | None = ...,
        **named: Any,
    ) -> list[Row]: ...
    @overload
    async def fetch_all(
        self, sql: str, params: Params | None = None, /, *, into: type[T], timeout: float | None = ..., **named: Any
    ) -> list[T]: ...
    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        into: Any = None,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> Any:
        """Run a statement and return all its rows."""
        return await self._run("fetch_all", sql, params, named, timeout, {"into": into})

    async def fetch_value(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        return await self._run("fetch_value", sql, params, named, timeout, {})

    async def execute(
        self, sql: str, params: Params | None = None, /, *, timeout: float | None = DEFAULT, **named: Any
    ) -> Result:
        """Run a statement and return the number of rows that it matched."""
        found: Result = await self._run("execute", sql, params, named, timeout, {})
        return found

    async def run(
        self,
        closure: Callable[[Transaction], Awaitable[T]],
        *,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx)`` in a transaction on the key's shard, again after a conflict, a failover or a move.

        Args:
            closure: as for ``Database.run``.
            exactly_once: as for ``Database.run``.
            timeout: seconds for all attempts together.
        """
        deadline = self._shards.limit(timeout)

        async def work(tx: Transaction) -> T:
            await self._hold(tx)
            return await closure(tx)

        while True:
            db = await self._writer(deadline)
            try:
                return await db.run(work, exactly_once=exactly_once, timeout=deadline.remaining())
            except _MovedError:
                await self._learn(deadline)

    @contextlib.asynccontextmanager
    async def transaction(self, *, timeout: float | None = None, **options: Any) -> AsyncIterator[Transaction]:
        """Open a transaction on the key's shard; it holds the bucket there until it ends.

        Args:
            timeout: seconds for the whole transaction.
            options: as for ``Database.transaction``.
        """
        deadline = self._shards.limit(DEFAULT if timeout is None else timeout)
        while True:
            db = await self._writer(deadline)
            async with contextlib.AsyncExitStack() as stack:
                tx = await stack.enter_async_context(
                    db.transaction(timeout=None if timeout is None else deadline.remaining(), **options)
                )
                if await self._holds(tx):
                    yield tx
                    return
            await self._learn(deadline)

    async def _run(
        self,
        method: str,
        sql: str,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        options: dict[str, Any],
    ) -> Any:
        shards = self._shards
        deadline = shards.limit(timeout)
        known = await (await shards.opened()).open(self.bucket, deadline)
        db = shards.database(known.owners[self.bucket])
        statement = statement_of(db, sql)
        if "bucket" in statement.parameters:
            if params is None:
                named.setdefault("bucket", self.bucket)
            else:
                params = {"bucket": self.bucket, **params}
        if statement.repeatable:  # a read: the lease of the map covers it
            return await getattr(db, method)(sql, params, timeout=deadline.remaining(), **options, **named)

        async def work(tx: Transaction) -> Any:
            return await getattr(tx, method)(sql, params, **options, **named)

        return await self.run(work, timeout=deadline.remaining())

    async def _writer(self, deadline: Deadline) -> Database:
        known = await (await self._shards.opened()).open(self.bucket, deadline)
        return self._shards.database(known.owners[self.bucket])

    async def _hold(self, tx: Transaction) -> None:
        if not await self._holds(tx):
            raise _MovedError

    async def _holds(self, tx: Transaction) -> bool:
        """Hold the bucket until the transaction ends; False if this shard does not own it."""
        return bool(await tx.fetch_value(self._shards.fence, b=self.bucket))

    async def _learn(self, deadline: Deadline) -> None:
        """Read the map again after a moment: the fence of a move falls just before its map changes."""
        await asyncio.sleep(deadline.bounded(_PAUSE))
        await (await self._shards.opened()).refreshed(deadline.remaining())
