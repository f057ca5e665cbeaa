"""Whether entries of the cache may be served: not after an outage, until everything older is invalidated.

While the cache is away, a process cannot tell it of its writes, and cannot know what others could not tell. So each
process that sees an outage stops to serve entries, and serves them again after it has deleted the namespace's epoch
itself. A process that cannot tell of a write holds its caller for as long as every other process needs to see the
outage too: those ask twice within each silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from rdskit.kernel.key_value import KeyValueError, KeyValueRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.key_value import KeyValueStore
    from rdskit.runtime.tasks import TaskOwner
    from rdskit.scale.cache.model import CacheStats

# Silences since the last answer after which every other process has seen an outage: the answer may have come half of
# one before it began, the other process asks half of one later, and waits for one; the rest is for busy event loops.
_SEEN_BY_ALL: Final = 3.0
_RETRY: Final = 0.1  # seconds between two attempts to invalidate everything
_log = logging.getLogger("rdskit.cache")


class Trust:
    """Watches the store, and invalidates everything after an outage.

    Args:
        store: the store.
        everything: returns the key whose deletion invalidates every entry; the server must be known.
        silence: seconds without an answer that count as an outage.
        owner: of the background tasks.
        stats: counts outages.

    Attributes:
        whole: entries may be served; a plain attribute, as every read looks at it.
    """

    def __init__(
        self, store: KeyValueStore, everything: Callable[[], bytes], silence: float, owner: TaskOwner, stats: CacheStats
    ) -> None:
        self._store = store
        self._everything = everything
        self._silence = silence
        self._stats = stats
        self._owed = 0  # writes and outages that the store was not told of
        self._answered = asyncio.get_running_loop().time()  # when the store last took a write
        self._wake = asyncio.Event()
        self._mended = asyncio.Event()
        self._mended.set()
        self.whole = True
        store.on_outage(self.lose)
        owner.spawn(self._mend(), "invalidate after an outage")
        owner.spawn(self._watch(), "watch the cache")

    def lose(self, reason: str) -> None:
        """Serve no entry until everything is invalidated.

        Args:
            reason: what has happened, for the log.
        """
        self._owed += 1
        if self.whole:
            _log.warning("the cache is not used for now: %s", reason)
            self._stats.outages += 1
            self.whole = False
            self._mended.clear()
        self._wake.set()

    async def seen_by_all(self) -> None:
        """Wait until everything is invalidated, or every process has seen the outage."""
        left = self._answered + _SEEN_BY_ALL * self._silence - asyncio.get_running_loop().time()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._mended.wait()

    async def _mend(self) -> None:
        while True:
            await self._wake.wait()
            if await self._invalidated():
                self._wake.clear()
                self.whole = True
                self._mended.set()
                _log.warning("the cache is used again, and everything older is invalidated")
            else:
                await asyncio.sleep(_RETRY)

    async def _invalidated(self) -> bool:
        """Delete the namespace's epoch; whether that came after all that was owed."""
        if not await self._store.connected(self._silence):
            return False
        owed = self._owed
        try:
            await self._store.request(("del", self._everything()))
        except KeyValueError as error:
            _log.info("the cache cannot be invalidated yet: %s", error)
            return False
        self._answered = asyncio.get_running_loop().time()
        return owed == self._owed

    async def _watch(self) -> None:
        """Ask the server again and again, so that an outage is seen by idle processes too.

        DEL is refused where the server takes no writes, as an invalidation would be, and works where it is full.
        """
        while True:
            await asyncio.sleep(self._silence / 2)
            try:
                await self._store.request(("del", self._everything() + b"!"))
                self._answered = asyncio.get_running_loop().time()
            except KeyValueRefused as refused:
                self.lose(f"it refuses writes: {refused}")
            except KeyValueError:
                continue  # the connection tells of its loss and of silence by itself
