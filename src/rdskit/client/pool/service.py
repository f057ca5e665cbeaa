"""The pool itself. Single-threaded: every decision is made between two awaits, so it needs no lock."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from rdskit.client.pool.deadlock_guard import holds
from rdskit.client.pool.lease import Lease
from rdskit.client.pool.model import PoolLimits, PoolStats
from rdskit.client.pool.opener import Opener, again
from rdskit.client.pool.policy import expiry, is_due, needs_check, openings_wanted
from rdskit.client.pool.queue import WaitingQueue
from rdskit.client.pool.watchdog import Watchdog
from rdskit.errors import ConnectError, PoolTimeout
from rdskit.kernel.backoff import CONNECT, OutageBackoff
from rdskit.kernel.events import ConnectionClosed, PoolWaited
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.scope import NO_SCOPE, Scope
from rdskit.runtime.observers import NOBODY, Observers
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.runtime.deadlines import Deadline

_CLOSE_TIMEOUT = 2.0  # seconds for one connection to say goodbye, then its socket is cut
_CHECK_TIMEOUT = 1.0  # seconds for a sign of life
_SHORTEST_CHECK = 0.05  # seconds that a caller whose time is over waits for it: a healthy connection is not to be lost
_TIDY_EVERY = 5.0  # seconds between two looks for old and idle connections
_LAST_LOAN = -1  # the generation of a connection that is not to be lent once more


class Retired(Exception):  # noqa: N818 - a signal to whoever waits, not a failure
    """The host is no longer what callers want: ask the cluster again. Never reaches the application."""


class Pool:
    """Connections to one host."""

    def __init__(
        self,
        endpoint: Endpoint,
        open_one: Callable[[], Awaitable[Connection]],
        limits: PoolLimits,
        *,
        on_failure: Callable[[], None] = lambda: None,
        on_reached: Callable[[], None] = lambda: None,
        on_unreached: Callable[[], None] = lambda: None,
        after_reset: Callable[[Connection], Awaitable[None]] | None = None,
        pace: OutageBackoff = CONNECT,
        observers: Observers = NOBODY,
    ) -> None:
        """Make an empty pool; it opens its minimum by itself.

        Args:
            endpoint: the host.
            open_one: opens one connection to it.
            limits: how large the pool grows, and how long its connections live.
            on_failure: called when a connection was lost, under a call or while it was idle.
            on_reached: called when the host has shown a sign of life after that.
            on_unreached: called when a connection cannot be opened, for the first time in a row.
            after_reset: called with a connection whose session was reset, before the next caller gets it; it may raise
                ``DriverError``.
            pace: how often a host that is away is asked for a connection.
            observers: who hears of connections and of waiting.
        """
        self.endpoint = endpoint
        self.limits = limits
        self.generation = 0
        self._check_after = limits.check_after
        self._on_failure = on_failure
        self._on_reached = on_reached
        self.unreached = on_unreached
        self._after_reset = after_reset
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        self._idle: list[Lease] = []
        self._all: set[Lease] = set()
        self._queue = WaitingQueue(self._overdue)
        self._nested = 0
        self._epoch = 0
        self._closing = False
        self._emptied: asyncio.Future[None] | None = None
        self._opened = self._closed = 0
        self.watchdog = Watchdog(self._all)
        self._tasks = TaskOwner(f"pool {endpoint}")
        self._doubted = False
        self._opener = Opener(self, open_one, self._tasks, pace, observers)
        self._tidying = self._tasks.spawn(self._tidy_forever(), "tidy")

    # -- lending ---------------------------------------------------------------------------------------------------

    def take(self, now: float) -> Lease | None:
        """Lend a free connection without waiting; None when there is none that is surely alive.

        Args:
            now: the loop's clock.
        """
        if not self._idle:
            return None
        lease = self._idle[-1]
        # `needs_check` written out: every query comes by here.
        if lease.connection.broken or now - lease.used_at > self._check_after or lease.epoch != self._epoch:
            return None
        lease.used_at = now
        return self._idle.pop()

    async def acquire(self, deadline: Deadline, scope: Scope = NO_SCOPE) -> Lease:
        """Check out a connection, waiting for one in order of arrival.

        Args:
            deadline: when waiting ends.
            scope: the tenant, role and schema that its session is to be set up for.

        Raises:
            RdskitError: the server refused the scope.
            PoolTimeout: none became free before the deadline, or too many wait already.
            ConnectError: none could be opened before the deadline; the last reason is its cause.
            Retired: the host was taken out of use meanwhile.
        """
        wait = self._wait_observed if self._observers else self._wait
        first = False
        while True:
            tried_in_vain = first and deadline.passed
            lease = self._idle.pop() if self._idle and not tried_in_vain else await wait(deadline, first=first)
            first = True  # who was handed something of no use does not go to the end of the queue
            now = self._loop.time()
            if now >= lease.expires_at:
                lease.generation = _LAST_LOAN
            if lease.connection.broken:
                self._discard(lease)
            elif not needs_check(lease, self.limits, now, self._epoch) or await self._is_alive(lease, deadline):
                lease.used_at = now
                if lease.scope is scope or await self._enters(lease, scope, deadline):
                    return lease

    def give_back(self, lease: Lease) -> None:
        """Take a connection back; what is not usable by the next caller is cleaned or closed in the background."""
        connection = lease.connection
        if connection.broken or lease.generation != self.generation or self._closing:
            self._discard(lease)
        elif lease.dirty or connection.interrupted:
            self._tasks.spawn(self._clean(lease), "clean")
        elif not (self._queue.waiters and self._queue.serve(lease)):
            self._idle.append(lease)  # an idle connection means that nobody waits

    def suspect(self) -> None:
        """Something failed at this host: every connection must show a sign of life before it is lent again."""
        self._epoch += 1
        self._doubted = True

    def retire(self) -> None:
        """The host changed its role: no connection opened so far is lent again."""
        self.generation += 1
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)

    def cut(self) -> None:
        """The host is gone, and nobody is told: cut every connection, under the calls that wait on it too."""
        self.retire()
        for lease in tuple(self._all):
            lease.connection.broken = True
            lease.connection.abort()

    @property
    def is_empty(self) -> bool:
        """Whether it has no connection."""
        return not self._all

    @property
    def used_at(self) -> float:
        """Return when a connection was last checked out, on the loop's clock; 0 if none is open."""
        return max((lease.used_at for lease in self._all), default=0.0)

    def waits_since(self) -> float:
        """When the connection that has been on loan for longest was lent, on the loop's clock; infinite for none."""
        idle = set(self._idle)
        return min((lease.used_at for lease in self._all if lease not in idle), default=math.inf)

    def stats(self) -> PoolStats:
        """What the pool holds now."""
        size, idle = len(self._all), len(self._idle)
        return PoolStats(
            endpoint=str(self.endpoint),
            size=size,
            idle=idle,
            in_use=size - idle,
            waiting=len(self._queue),
            opened=self._opened,
            closed=self._closed,
            failed_connects=self._opener.failed,
            breaker_is_open=self._opener.breaker_is_open,
        )

    async def close(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """Close every connection; those in use get ``timeout`` seconds to come back, then their sockets are cut."""
        self._closing = True
        self._tidying.cancel()
        self._opener.close()
        self._queue.refuse(Retired)
        self._queue.close()
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)
        await self._all_returned(timeout)
        self.watchdog.close()  # and not sooner: calls that may go on keep their deadlines
        for lease in tuple(self._all):
            lease.connection.broken = True
            lease.connection.abort()
            self._all.discard(lease)
        if self._opened:  # a host that never gave a connection is owed no farewell, and may answer nobody
            await self._tasks.join(_CLOSE_TIMEOUT)
        await self._tasks.close()

    # -- waiting and growing ---------------------------------------------------------------------------------------

    async def _wait(self, deadline: Deadline, *, first: bool) -> Lease:
        self._require_hope()
        nested = holds(self)
        if nested:
            self._refuse_deadlock()
        waiter = self._queue.join(deadline, first=first)
        self._nested += nested
        self.grow()
        try:
            return await waiter
        except asyncio.CancelledError:
            # The connection may have been handed over in the very moment of the cancellation: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise
        finally:
            self._nested -= nested
            self._queue.leave(waiter)

    async def _wait_observed(self, deadline: Deadline, *, first: bool) -> Lease:
        started, error = self._loop.time(), None
        try:
            return await self._wait(deadline, first=first)
        except BaseException as failed:
            error = type(failed).__name__
            raise
        finally:
            self._observers.notify(PoolWaited(str(self.endpoint), self._loop.time() - started, error))

    def _require_hope(self) -> None:
        """Tell a caller at once who would wait for nothing, or for too long."""
        if self._closing:
            raise Retired
        self._opener.refuse_in_vain()
        if len(self._queue) >= self.limits.max_waiting:
            raise PoolTimeout(
                f"{len(self._queue)} callers already wait for a connection to {self.endpoint} (max_waiting); "
                "send less at once, or raise max_size if the server has room"
            )

    def _refuse_deadlock(self) -> None:
        """Refuse the wait that would leave every connection in the hands of a block that waits for another one."""
        if self._nested + 1 >= self.limits.max_size:
            raise PoolTimeout(
                f"all {self.limits.max_size} connections to {self.endpoint} are held by transaction blocks, and each "
                "waits for one more: inside such a block use its transaction instead of the database, or raise max_size"
            )

    def _overdue(self, deadline: Deadline) -> Exception:
        assert deadline.budget is not None, deadline
        if not self._all and self._opener.opening and self._opener.error is None:
            return ConnectError(
                f"{self.endpoint} gave no connection within {deadline.budget:g} s, and none is open: check the "
                "security group and the network, or raise timeout"
            )
        return self._opener.overdue(
            deadline.budget,
            f"no connection to {self.endpoint} became free within {deadline.budget:g} s: {len(self._all)} of "
            f"{self.limits.max_size} are open and {len(self._queue)} callers wait; raise max_size or timeout, "
            "or look for a call that keeps its connection",
        )

    def is_waited_for(self) -> bool:
        """Whether a caller waits for a connection."""
        return len(self._queue) > 0

    def grow(self, *, for_minimum: bool = False) -> None:
        """Begin to open what is missing."""
        size = len(self._all) + self._opener.opening
        if size >= self.limits.max_size or self._closing:
            return
        wanted = openings_wanted(
            self.limits,
            size=size,
            opening=self._opener.opening,
            waiting=len(self._queue),
            failing=self._doubted or self._opener.error is not None,
            for_minimum=for_minimum,
        )
        for _ in range(wanted):
            self._opener.begin()

    def admit(self, connection: Connection, generation: int) -> None:
        """Take a new connection into the pool."""
        self._opened += 1
        now = self._loop.time()
        expires_at = expiry(self.limits, now, random.random())  # noqa: S311 - jitter, not a secret
        lease = Lease(connection, self, now=now, expires_at=expires_at, epoch=self._epoch, generation=generation)
        self._all.add(lease)
        self._doubted = False
        self._on_reached()
        self.give_back(lease)

    def refuse(self, error: Exception) -> None:
        """Give everybody who waits the reason why there is no connection."""
        self._queue.refuse(lambda: again(error))

    async def _enters(self, lease: Lease, scope: Scope, deadline: Deadline) -> bool:
        """Set a session up for a scope; False if the connection was lost, so that another one is to be taken."""
        if lease.scope != scope:
            lease.dirty = True  # until all of it is done
            try:
                await lease.run(lease.connection.enter(lease.scope, scope, None), deadline.due)
            except DriverError as error:
                self.give_back(lease)
                if error.failure is Failure.LOST and not deadline.passed:
                    return False
                raise error.public from error.__cause__
            except BaseException:
                self.give_back(lease)
                raise
            lease.dirty = False
        lease.scope = scope
        return True

    # -- cleaning and closing --------------------------------------------------------------------------------------

    async def _is_alive(self, lease: Lease, deadline: Deadline) -> bool:
        epoch = self._epoch
        try:
            await lease.connection.ping(max(deadline.bounded(_CHECK_TIMEOUT), _SHORTEST_CHECK))
        except DriverError:
            lease.connection.broken = True
            self.give_back(lease)
            return False
        except BaseException:
            self.give_back(lease)
            raise
        lease.epoch = epoch
        self._doubted = False
        self._on_reached()
        return True

    async def _clean(self, lease: Lease) -> None:
        """Make a connection as good as new, which costs less than a new one."""
        connection = lease.connection
        try:
            if connection.interrupted:
                await self._calm(connection)
            if connection.in_transaction:
                await connection.control("rollback", _CLOSE_TIMEOUT)
            if lease.dirty or lease.scope is not NO_SCOPE:
                await self._reset(lease)
        except DriverError:
            connection.broken = True
        except BaseException:
            connection.broken = True
            self.give_back(lease)
            raise
        self.give_back(lease)

    async def _reset(self, lease: Lease) -> None:
        if self.limits.resets:
            await lease.connection.reset(_CLOSE_TIMEOUT)
            lease.dirty = False
            lease.scope = NO_SCOPE
        else:
            lease.generation = _LAST_LOAN
        if self._after_reset is not None:
            await self._after_reset(lease.connection)

    async def _calm(self, connection: Connection) -> None:
        # The server may deliver the cancel of the last call to the one that follows it: that one is ours, and repeated.
        try:
            await connection.ping(_CHECK_TIMEOUT)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                raise
            if connection.in_transaction:
                await connection.control("rollback", _CLOSE_TIMEOUT)
            await connection.ping(_CHECK_TIMEOUT)

    def _discard(self, lease: Lease) -> None:
        self._all.discard(lease)
        if not self._all and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)
        self._closed += 1
        if lease.connection.broken and not self._closing:
            self._on_failure()
        if self._observers:
            self._observers.notify(ConnectionClosed(str(self.endpoint), lease.connection.broken))
        self._tasks.spawn(lease.connection.close(_CLOSE_TIMEOUT), "close")
        self.grow()

    async def _all_returned(self, timeout: float) -> None:
        if not self._all:
            return
        self._emptied = self._loop.create_future()
        await asyncio.wait([self._emptied], timeout=timeout)

    async def _tidy_forever(self) -> None:
        while True:
            self.grow(for_minimum=True)
            await asyncio.sleep(_TIDY_EVERY)
            self._tidy()

    def _tidy(self) -> None:
        now, kept = self._loop.time(), []
        for lease in self._idle:
            # A connection that the server has ended tells that the host may be gone, also where no call is made.
            if lease.connection.broken or is_due(lease, self.limits, now, spare=len(self._all) > self.limits.min_size):
                self._discard(lease)
            else:
                kept.append(lease)
        self._idle = kept
