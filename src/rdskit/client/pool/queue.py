"""Queue callers without a connection in order of arrival, with one timer for all their deadlines."""

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
    """Gives each free connection to the caller that has waited longest.

    Attributes:
        waiters: the waiting callers' futures in order, each with its deadline.
    """

    def __init__(self, expired: Callable[[Deadline], Exception]) -> None:
        """Create an empty queue.

        Args:
            expired: builds the error for a caller whose deadline has passed.
        """
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self.waiters: OrderedDict[asyncio.Future[Lease], Deadline] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self, deadline: Deadline, *, first: bool) -> asyncio.Future[Lease]:
        """Add a caller; the returned future gets a connection that the caller then owns, or an error.

        Args:
            deadline: when waiting ends.
            first: wait ahead of all others, because the connection that the caller got before was unusable.
        """
        waiter: asyncio.Future[Lease] = self._loop.create_future()
        self.waiters[waiter] = deadline
        if first:
            self.waiters.move_to_end(waiter, last=False)
        if deadline.due < self._armed_for:
            self._arm(deadline.due)
        return waiter

    def leave(self, waiter: asyncio.Future[Lease]) -> None:
        """Remove a caller; no error if it was served or removed before."""
        self.waiters.pop(waiter, None)

    def serve(self, lease: Lease) -> bool:
        """Give a connection to the first caller; return False if no caller waits."""
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            # A cancelled caller's future is done at once, but the caller's task leaves the queue one turn later.
            if not waiter.done():
                waiter.set_result(lease)
                return True
        return False

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Fail all waiting callers, each with an exception object of its own."""
        waiters, self.waiters = self.waiters, OrderedDict()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error())

    def close(self) -> None:
        """Cancel the timer; no caller may wait at this point."""
        self._arm(math.inf)

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = moment
        self._timer = None if moment == math.inf else self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        # A caller that leaves does not disarm the timer, so this may find no expired deadline, and arms the next one.
        now = self._loop.time()
        for waiter in [waiter for waiter, deadline in self.waiters.items() if deadline.due <= now]:
            # Build the error before the caller leaves: its message counts the waiting callers.
            error = self._expired(self.waiters[waiter])
            self.leave(waiter)
            if not waiter.done():
                waiter.set_exception(error)
        self._arm(min((deadline.due for deadline in self.waiters.values()), default=math.inf))
