"""Enforce the deadlines of running calls with one timer per pool instead of one per call.

The timer is armed for the earliest deadline. Nearly all calls end in time, and do not touch the timer. When it fires,
it looks for overdue calls, and arms itself for the next deadline.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, TypeVar

from rdskit.errors import ConfigError, QueryTimeout
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.runtime.running import running_task

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from typing import Any

    from rdskit.client.pool.lease import Lease

T = TypeVar("T")
_ACKNOWLEDGED_WITHIN: Final = 0.5
"""Seconds that a write past its deadline waits for the server to confirm the cancellation."""
_BUSY: Final = (
    "another task runs a statement on this transaction's connection, which takes one at a time: "
    "await them one after the other, or give each task a transaction of its own"
)


class Watchdog:
    """Cancels calls whose deadline has passed.

    Attributes:
        armed_for: when the timer fires next, on the loop's clock.
    """

    def __init__(self, leases: Collection[Lease]) -> None:
        self._leases = leases
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.armed_for = math.inf

    async def guard(self, lease: Lease, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False) -> T:
        """Run a call on a lease, and end it at its deadline.

        Args:
            lease: the connection.
            call: the call.
            due: its deadline on the loop's clock.
            settles: at the deadline, first ask the server to cancel the call, and wait a moment for its answer. The
                answer tells whether a write took effect.

        Raises:
            DriverError: with ``Failure.TIMEOUT``, if the deadline passed.
            ConfigError: called from another event loop than the pool's, or while another task's call is under way. The
                protocols carry one call at a time; on MySQL one caller would get the other's answer.
        """
        try:
            self._begin_alone(lease, due)
            lease.settles = settles
        except ConfigError:
            call.close()  # otherwise Python warns that the coroutine was never awaited
            raise
        try:
            return await call
        except asyncio.CancelledError as error:
            raise self.verdict(lease, error) from None
        finally:
            lease.due = math.inf
            lease.busy = False
            # The block ended before this call did, and left the check-in to it: see `leave`.
            if lease.left:
                lease.left = False
                lease.give_back()

    def leave(self, lease: Lease) -> None:
        """End the call that another task has under way on a lease whose block has ended.

        The lease goes back when that call has ended, and not sooner: of two readers of one socket, one would wait
        forever.
        """
        lease.left = True
        # An overdue call was cancelled before. A second cancellation would outlive the single `uncancel` in `verdict`,
        # and cancel the application's task.
        if not lease.overdue:
            assert lease.caller is not None, lease
            lease.overdue = True
            lease.caller.cancel()

    def _begin_alone(self, lease: Lease, due: float) -> None:
        if lease.busy:
            raise ConfigError(_BUSY)
        self.begin(lease, due)
        lease.busy = True

    def begin(self, lease: Lease, due: float) -> None:
        """Note that the current task begins a call on a lease.

        The hot path calls this instead of ``guard``, which saves a coroutine per query. In return it resets
        ``lease.due`` to infinity after a success, and calls ``verdict`` after an error.

        Raises:
            ConfigError: called from another event loop than the pool's.
        """
        caller = running_task(self._loop)
        if caller is None:
            raise ConfigError("the database belongs to another event loop; connect once in each loop")
        lease.caller = caller
        lease.cancelling = caller.cancelling()
        lease.due = due
        if due < self.armed_for:
            self._arm(due)

    def extend(self, lease: Lease, due: float) -> None:
        """Set a new deadline, earlier or later, for the call under way on a lease."""
        lease.due = due
        if due < self.armed_for:
            self._arm(due)

    def verdict(self, lease: Lease, error: BaseException) -> BaseException:
        """Return the error of a failed call: a timeout if the watchdog cancelled it, else what was raised."""
        overdue, lease.due, lease.overdue = lease.overdue, math.inf, False
        if overdue and isinstance(error, asyncio.CancelledError):
            assert lease.caller is not None, lease
            # As in `asyncio.timeout`: take back the watchdog's own cancellation. If another one is pending beyond those
            # from before the call, the application cancelled the task too, and that must reach it.
            if lease.caller.uncancel() <= lease.cancelling:
                return _left_error() if lease.left else _timeout_error(lease)
        return error

    def close(self) -> None:
        """Cancel the timer; no call may be under way."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.armed_for = moment
        self._timer = None if moment == math.inf else self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        for lease in self._leases:
            if lease.due > now or lease.overdue or lease.caller is None:
                continue
            if lease.settles and lease.connection.stop():
                # The server has been asked to cancel. `stop` is false the second time, so the next round cancels here.
                lease.due = now + _ACKNOWLEDGED_WITHIN
            else:
                # The caller is suspended in this call, so the cancellation arrives there and nowhere else.
                lease.overdue = True
                lease.caller.cancel()
        self._arm(min((lease.due for lease in self._leases if not lease.overdue), default=math.inf))


def _timeout_error(lease: Lease) -> DriverError:
    message = f"{lease.connection.endpoint} did not answer before the deadline; the server was asked to cancel the call"
    return DriverError(Failure.TIMEOUT, QueryTimeout(message))


def _left_error() -> DriverError:
    message = (
        "the transaction's block ended while this statement was under way, so the statement was ended and the "
        "transaction rolled back: await each statement, and each task that runs one, inside the block"
    )
    return DriverError(Failure.REFUSED, ConfigError(message))
