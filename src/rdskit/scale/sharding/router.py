"""The map in memory, and how long it may be relied on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.errors import QueryTimeout, RdskitError
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.periodic import every
from rdskit.runtime.single_flight import SingleFlight
from rdskit.runtime.tasks import TaskOwner
from rdskit.scale.sharding.tables import read_epoch, read_map

if TYPE_CHECKING:
    from rdskit.client.api import Database
    from rdskit.scale.sharding.model import ShardMap

_CLOSED_PAUSE = 0.02  # seconds between two looks at whether a bucket that is being moved is open again


class MapReader:
    """Holds the map under a lease: it counts for ``lease`` seconds after the question that confirmed its epoch.

    A move waits for as long between closing buckets and changing their rows, so that no read goes to a former owner.
    """

    def __init__(self, db: Database, lease: float) -> None:
        """Begin without a map.

        Args:
            db: the database that keeps it.
            lease: seconds.
        """
        self._db = db
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._owner = TaskOwner("shards")
        self._asking = SingleFlight[None](self._owner, "ask for the map")
        self._map: ShardMap | None = None
        self._confirmed = -lease
        self._owner.spawn(every(lease / 3, self._keep, asyncio.Event()), "keep the map")

    async def current(self, timeout: float | None = None) -> ShardMap:
        """Return a map that counts now.

        Args:
            timeout: seconds to wait for it.

        Raises:
            RdskitError: the database that keeps it could not be asked.
        """
        found = self._map
        if found is not None and self._loop.time() - self._confirmed < self._lease:
            return found
        return await self.refreshed(timeout)

    async def refreshed(self, timeout: float | None = None) -> ShardMap:
        """Return the map after a question that begins now, or is under way.

        Args:
            timeout: seconds to wait for it.

        Raises:
            QueryTimeout: there was no answer in time.
        """
        deadline = Deadline.after(timeout)
        while True:
            try:
                async with asyncio.timeout(deadline.remaining()):
                    await self._asking.run(self._ask)
            except TimeoutError:
                raise QueryTimeout("the map of shards could not be read before the deadline; try again") from None
            found = self._map
            if found is not None and self._loop.time() - self._confirmed < self._lease:
                return found

    async def open(self, bucket: int | None, deadline: Deadline) -> ShardMap:
        """Return a map in which a bucket is not being moved; without one, in which none is.

        Args:
            bucket: the bucket, or None for all.
            deadline: when waiting ends.

        Raises:
            QueryTimeout: the move went on until then.
        """
        found = await self.current(deadline.remaining())
        while (bucket in found.closed) if bucket is not None else found.closed:
            await asyncio.sleep(deadline.bounded(_CLOSED_PAUSE))
            try:
                found = await self.refreshed(deadline.remaining())
            except QueryTimeout:
                what = "buckets are" if bucket is None else f"bucket {bucket} is"
                message = f"{what} being moved to another shard; try again, or see `rdskit shards status`"
                raise QueryTimeout(message) from None
        return found

    def still(self, found: ShardMap) -> bool:
        """Return whether a map counted all the time until now."""
        known = self._map
        return known is not None and known.epoch == found.epoch and self._loop.time() - self._confirmed < self._lease

    async def close(self) -> None:
        """End the task that keeps the map."""
        await self._owner.close()

    async def _keep(self) -> None:
        try:
            await self._asking.run(self._ask)
        except RdskitError:
            return  # the next call asks again, and its caller learns why

    async def _ask(self) -> None:
        begun = self._loop.time()
        if self._map is None or await read_epoch(self._db) != self._map.epoch:
            self._map = await read_map(self._db)
        self._confirmed = begun
