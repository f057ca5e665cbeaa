"""Callers without a connection, in order of arrival; one timer for all of their deadlines."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.pool.lease import Lease
    from rdskit.runtime.deadlines import Deadline


class WaitingQueue:
    """Hands each connection that comes free to whoever has waited longest.

    Attributes:
        waiters: who waits, in order, with their deadlines.
    """

    def __init__(self, expired: Callable[[Deadline], Exception]) -> None:
        """Make an empty queue.

        Args:
            expired: makes the error for a caller whose deadline has passed.
        """
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self.waiters: OrderedDict[asyncio.Future[Lease], Deadline] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self, deadline: Deadline, *, first: bool) -> asyncio.Future[Lease]:
        """Wait in line; the future gives a connection, which then belongs to the caller, or raises.

        Args:
            deadline: when waiting ends.
            first: come before all others: what the caller was handed turned out to be of no use.
        """
        waiter: asyncio.Future[Lease] = self._loop.create_future()
        self.waiters[waiter] = deadline
        if first:
            self.waiters.move_to_end(waiter, last=False)
        if deadline.due < self._armed_for:
            self._arm(deadline.due)
        return waiter

    def leave(self, waiter: asyncio.Future[Lease]) -> None:
        """Wait no longer. To leave twice, or after being served, is fine."""
        self.waiters.pop(waiter, None)

    def serve(self, lease: Lease) -> bool:
        """Hand a connection to the first in line; False when nobody waits."""
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(lease)
                return True
        return False

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Tell everybody in line that there is nothing to wait for; each gets an error of its own."""
        waiters, self.waiters = self.waiters, OrderedDict()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error())

    def close(self) -> None:
        """End the timer; nobody waits any more."""
        self._arm(math.inf)

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = moment
        self._timer = None if moment == math.inf else self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        for waiter in [waiter for waiter, deadline in self.waiters.items() if deadline.due <= now]:
            error = self._expired(self.waiters[waiter])
            self.leave(waiter)
            if not waiter.done():
                waiter.set_exception(error)
        self._arm(min((deadline.due for deadline in self.waiters.values()), default=math.inf))
