"""Deadlines of running calls, for next to nothing: one timer a pool instead of one a call.

The timer is armed for the earliest deadline it knows of. A call that ends in time, which nearly all do, only leaves its
deadline behind; the timer finds out when it fires, and arms itself for the next one.
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
"""Seconds that a write past its deadline waits for the server to say that it was cancelled."""
_BUSY: Final = (
    "another task runs a statement on this transaction's connection, which takes one at a time: "
    "await them one after the other, or give each task a transaction of its own"
)


class Watchdog:
    """Cancels calls that are overdue.

    Attributes:
        armed_for: when it looks next, on the loop's clock.
    """

    def __init__(self, leases: Collection[Lease]) -> None:
        self._leases = leases
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.armed_for = math.inf

    async def guard(self, lease: Lease, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False) -> T:
        """Run a call on a lease and end it when it is due.

        Args:
            lease: the connection.
            call: the call.
            due: on the loop's clock.
            settles: first have the server cancel the call, and wait a moment for its answer, which says what happened.

        Raises:
            DriverError: with ``Failure.TIMEOUT``, when it was ended.
            ConfigError: called from another event loop than the pool's, or while another task's call is under way: the
                protocols carry one at a time, and MySQL's would give one caller the answer of the other.
        """
        try:
            self._begin_alone(lease, due)
            lease.settles = settles
        except ConfigError:
            call.close()
            raise
        try:
            return await call
        except asyncio.CancelledError as error:
            raise self.verdict(lease, error) from None
        finally:
            lease.due = math.inf
            lease.busy = False
            if lease.left:
                lease.left = False
                lease.give_back()

    def leave(self, lease: Lease) -> None:
        """End the call that another task has under way on a lease whose block has ended.

        The lease goes back when that call has ended, and not sooner: two readers of one connection would wait for ever.
        """
        lease.left = True
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

        Whoever asks for this, and not for ``guard``, saves a coroutine; it sets ``lease.due`` back to infinity when the
        call has ended well, and asks for the verdict when it has not.

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
        """Give the call under way on a lease another moment by which it must have ended, earlier or later."""
        lease.due = due
        if due < self.armed_for:
            self._arm(due)

    def verdict(self, lease: Lease, error: BaseException) -> BaseException:
        """End a call that failed: give the timeout if it was cancelled because it was due, else what was raised."""
        overdue, lease.due, lease.overdue = lease.overdue, math.inf, False
        if overdue and isinstance(error, asyncio.CancelledError):
            assert lease.caller is not None, lease
            if lease.caller.uncancel() <= lease.cancelling:
                return _left() if lease.left else _timeout(lease)
        return error

    def close(self) -> None:
        """Look no more."""
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
                lease.due = now + _ACKNOWLEDGED_WITHIN
            else:
                # The caller is suspended in this very call, so the cancellation arrives there and nowhere else.
                lease.overdue = True
                lease.caller.cancel()
        self._arm(min((lease.due for lease in self._leases if not lease.overdue), default=math.inf))


def _timeout(lease: Lease) -> DriverError:
    message = f"{lease.connection.endpoint} did not answer before the deadline; the server was told to stop"
    return DriverError(Failure.TIMEOUT, QueryTimeout(message))


def _left() -> DriverError:
    message = (
        "the transaction's block ended while this statement was under way, so the statement was ended and the "
        "transaction rolled back: await each statement, and each task that runs one, inside the block"
    )
    return DriverError(Failure.REFUSED, ConfigError(message))
