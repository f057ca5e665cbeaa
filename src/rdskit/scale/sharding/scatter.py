"""Queries over all shards, or over those of some keys: at the same time, with one deadline, merged into one result."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.api import DEFAULT, dialect_of, statement_of
from rdskit.errors import ConfigError
from rdskit.kernel.sql import one_mapping
from rdskit.scale.sharding.policy import bucket_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence

    from rdskit.client.api import Database
    from rdskit.kernel.ports import Params, Row
    from rdskit.scale.sharding.context import ShardContext
    from rdskit.scale.sharding.merge import Merge
    from rdskit.scale.sharding.model import ShardMap

T = TypeVar("T")


class Scatter:
    """What ``shards.everywhere()`` and ``shards.among(…)`` return: it reads, and never writes."""

    def __init__(self, shards: ShardContext, name: str | None = None, keys: Sequence[Any] = ()) -> None:
        """Begin; called by ``Shards``.

        Args:
            shards: which.
            name: the list parameter that is split by shard; None for all shards.
            keys: its values.
        """
        self._shards = shards
        self._name = name
        self._keys = keys

    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        colocated: bool = False,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> list[Row]:
        """Run a query on the shards and return all rows of the merged result.

        When one shard fails, the others are cancelled, and the error is raised.

        Args:
            sql: one SELECT with ``:name`` parameters.
            params: its parameters as a mapping, instead of keywords.
            colocated: joins and sub-queries only meet rows with one shard key.
            timeout: seconds for all of it.
            named: its parameters.

        Raises:
            ConfigError: the query cannot be merged; the error says why.
            ResultError: the values cannot be ordered as the server orders them.
        """
        deadline = self._shards.limit(timeout)
        reader = await self._shards.opened()
        given = dict(one_mapping(params, named))
        while True:
            known = await reader.open(None, deadline)
            merge = self._planned(sql, colocated=colocated)
            parts = self._parts(known, merge.parameters(given))
            if not parts:
                return []
            calls = [db.fetch_all(merge.text, values, timeout=deadline.remaining()) for db, values in parts]
            found = await _together(calls)
            # Rows move only after every lease has ended: if the map still counts, each row was on one shard.
            if reader.still(known) or (await reader.refreshed(deadline.remaining())).epoch == known.epoch:
                return merge.rows(found, given)

    async def fetch_one(self, sql: str, params: Params | None = None, /, **options: Any) -> Row | None:
        """Run a query on the shards and return the first row of the merged result, or None."""
        rows = await self.fetch_all(sql, params, **options)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, params: Params | None = None, /, **options: Any) -> Any:
        """Run a query on the shards and return the first column of the first row of the merged result, or None."""
        row = await self.fetch_one(sql, params, **options)
        return None if row is None else row[0]

    async def stream(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        colocated: bool = False,
        batch: int = 1000,
        timeout: float | None = DEFAULT,
        **named: Any,
    ) -> AsyncGenerator[Row, None]:
        """Read a query over the shards row by row, in order, from a cursor on each; no aggregates and no LIMIT.

        A move that ends in between ends the stream with ``ResultError``: a row could be there twice, or be missed.

        Args:
            sql: as for ``fetch_all``.
            params: as for ``fetch_all``.
            colocated: as for ``fetch_all``.
            batch: rows fetched at a time from each shard.
            timeout: seconds for the whole stream.
            named: as for ``fetch_all``.
        """
        from rdskit.errors import ResultError  # noqa: PLC0415 - with the first stream

        deadline = self._shards.limit(timeout)
        reader = await self._shards.opened()
        known = await reader.open(None, deadline)
        merge = self._planned(sql, colocated=colocated)
        if merge.aggregates or merge.limit is not None or merge.offset is not None or merge.distinct:
            raise ConfigError("stream() over shards takes no aggregates, DISTINCT, LIMIT or OFFSET: use fetch_all")
        parts = self._parts(known, dict(one_mapping(params, named)))
        async with contextlib.AsyncExitStack() as stack:
            cursors = [
                await stack.enter_async_context(contextlib.aclosing(db.stream(merge.text, values, batch=batch)))
                for db, values in parts
            ]
            async for row in _in_order(cursors, merge):
                if not reader.still(known) and (await reader.refreshed(deadline.remaining())).epoch != known.epoch:
                    raise ResultError("buckets were moved while they were streamed: read them again")
                yield row

    def _planned(self, sql: str, *, colocated: bool) -> Merge:
        from rdskit.scale.sharding.merge import planned  # noqa: PLC0415 - needs an extra

        shards = self._shards
        key = (sql, colocated)
        found = shards.merges.get(key)
        if found is None:
            db = shards.database(shards.config.map_at)
            found = planned(sql, dialect_of(db), shards.config.reference, colocated=colocated)
            if not statement_of(db, found.text).repeatable:
                raise ConfigError("a query over shards only reads, and calls only functions that are known to read")
            shards.keep(key, found)
        return found

    def _parts(self, known: ShardMap, values: Mapping[str, Any]) -> list[tuple[Database, Mapping[str, Any]]]:
        """Return which shards are asked, and what each gets."""
        if self._name is None:
            return [(self._shards.database(name), values) for name in sorted(known.counts())]
        if self._name in values:
            raise ConfigError(f"parameter {self._name!r} is given to among() and to the query: give it once")
        split: dict[str, list[Any]] = {}
        for key in dict.fromkeys(self._keys):
            split.setdefault(known.owners[bucket_of(key)], []).append(key)
        return [(self._shards.database(name), {**values, self._name: keys}) for name, keys in sorted(split.items())]


async def _together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all calls; the first error cancels the others and is raised as it is."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _in_order(cursors: Sequence[AsyncGenerator[Row, None]], merge: Merge) -> AsyncGenerator[Row, None]:
    """Yield the rows of several cursors in the order of the whole result; without ORDER BY one cursor after another."""
    if not merge.order:
        for cursor in cursors:
            async for row in cursor:
                yield row
        return
    heads: list[tuple[Any, int, Row]] = []
    for place, cursor in enumerate(cursors):
        async for row in cursor:
            heads.append((merge.key(row), place, row))
            break
    heapq.heapify(heads)
    while heads:
        _, place, row = heads[0]
        yield row
        following = await anext(cursors[place], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (merge.key(following), place, following))
