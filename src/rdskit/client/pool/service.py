"""Lease connections to one host. All code runs on one event loop, and decides between two awaits: no lock is needed."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from rdskit.client.pool.deadlock_guard import holds
from rdskit.client.pool.lanes import Lanes, Standings
from rdskit.client.pool.lease import Lease
from rdskit.client.pool.model import PoolLimits, PoolStats
from rdskit.client.pool.opener import Opener, copied_error
from rdskit.client.pool.policy import expiry, is_due, needs_check, openings_wanted
from rdskit.client.pool.queue import WaitingQueue
from rdskit.client.pool.watchdog import Watchdog
from rdskit.errors import ConnectError, PoolTimeout
from rdskit.kernel.backoff import CONNECT, OutageBackoff
from rdskit.kernel.events import ConnectionClosed, PoolWaited
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.scope import NO_SCOPE, Scope
from rdskit.runtime.observers import NO_OBSERVERS, Observers
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.pipelining import Pipeline
    from rdskit.kernel.ports import Connection
    from rdskit.runtime.deadlines import Deadline

_CLOSE_TIMEOUT = 2.0  # seconds for a connection to close in the protocol's way; then its socket is closed
_CHECK_TIMEOUT = 1.0  # seconds for the answer to a ping
# Seconds for a ping if the caller's deadline has passed: with less, the pool would close a healthy connection.
_MIN_CHECK_TIMEOUT = 0.05
_TIDY_EVERY = 5.0  # seconds between two searches for old and idle connections
_NEVER_REUSE = -1  # the generation of a connection that is closed when it comes back


class Retired(Exception):  # noqa: N818 - a signal to waiting callers, not a failure
    """The pool was closed, because the host left or changed its role: ask the cluster again. Never reaches users."""


class Pool:
    """Leases connections to one host."""

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
        observers: Observers = NO_OBSERVERS,
        open_pipeline: Callable[[], Awaitable[Pipeline]] | None = None,
        standings: Standings | None = None,
    ) -> None:
        """Create an empty pool; a background task opens ``min_size`` connections.

        Args:
            endpoint: the host.
            open_one: opens one connection to it.
            limits: how large the pool grows, and how long its connections live.
            on_failure: called when a connection was lost, under a call or while it was idle.
            on_reached: called when the host has answered, to a login or a ping.
            on_unreached: called at the first failed connection attempt after a success.
            after_reset: called with a connection whose session was reset, before the next caller gets it; it may raise
                ``DriverError``.
            pace: delays between attempts while the host is unreachable.
            observers: are notified of connections and of waiting.
            open_pipeline: opens one pipelined connection to it; None where reads are not pipelined.
            standings: what is known of the statements that may be.
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
        self._is_suspect = False
        self._opener = Opener(self, open_one, self._tasks, pace, observers)
        self.lanes: Lanes | None = None
        if open_pipeline is not None:
            known = Standings() if standings is None else standings
            self.lanes = Lanes(endpoint, open_pipeline, known, self._tasks, on_lost=on_failure)
        self._tidying = self._tasks.spawn(self._tidy_forever(), "tidy")

    # -- check-out and check-in ------------------------------------------------------------------------------------

    def take(self, now: float) -> Lease | None:
        """Check out an idle connection without waiting; return None unless one is known to be alive.

        Args:
            now: the loop's clock.
        """
        if not self._idle:
            return None
        lease = self._idle[-1]
        # `needs_check` written out: every query passes here.
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
            Retired: the pool was closed, before or while the caller waited.
        """
        wait = self._wait_observed if self._observers else self._wait
        first = False
        while True:
            # After its deadline a caller takes no further idle connection. In the queue it gets the error of a timeout;
            # otherwise it could ping a dead host's connections one by one, long after the deadline.
            must_queue = first and deadline.passed
            lease = self._idle.pop() if self._idle and not must_queue else await wait(deadline, first=first)
            first = True  # a caller that got an unusable connection keeps its place at the head of the queue
            now = self._loop.time()
            if now >= lease.expires_at:
                lease.generation = _NEVER_REUSE
            if lease.connection.broken:
                self._discard(lease)
            elif not needs_check(lease, self.limits, now, self._epoch) or await self._is_alive(lease, deadline):
                lease.used_at = now
                if lease.scope is scope or await self._enter_scope(lease, scope, deadline):
                    return lease

    def give_back(self, lease: Lease) -> None:
        """Check a connection in; a background task cleans or closes one that the next caller cannot use."""
        connection = lease.connection
        if connection.broken or lease.generation != self.generation or self._closing:
            self._discard(lease)
        elif lease.dirty or connection.interrupted:
            self._tasks.spawn(self._clean(lease), "clean")
        elif not (self._queue.waiters and self._queue.serve(lease)):
            self._idle.append(lease)  # invariant: while a connection is idle, no caller waits

    def suspect(self) -> None:
        """Note a failure at the host: from now on, each connection is pinged before its next check-out."""
        self._epoch += 1
        self._is_suspect = True
        if self.lanes is not None:
            self.lanes.suspect()

    def retire(self) -> None:
        """Discard every connection opened so far, because the host changed its role; those in use when they return."""
        self.generation += 1
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)
        if self.lanes is not None:
            self.lanes.retire()

    def cut(self) -> None:
        """Abort every connection, also under running calls: a dead host sends neither an answer nor a reset."""
        self.retire()
        if self.lanes is not None:
            self.lanes.cut()
        for lease in tuple(self._all):
            lease.connection.broken = True
            lease.connection.abort()

    @property
    def has_idle(self) -> bool:
        """Return whether a connection is idle."""
        return bool(self._idle)

    @property
    def is_empty(self) -> bool:
        """Whether the pool has no connection."""
        return not self._all

    @property
    def used_at(self) -> float:
        """Return when a connection was last checked out, on the loop's clock; 0 if none is open."""
        return max((lease.used_at for lease in self._all), default=0.0)

    def oldest_checkout(self) -> float:
        """Return when the connection in use for longest was checked out, on the loop's clock; infinite for none."""
        idle = set(self._idle)
        return min((lease.used_at for lease in self._all if lease not in idle), default=math.inf)

    def stats(self) -> PoolStats:
        """Return what the pool holds now."""
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
            lanes=None if self.lanes is None else self.lanes.stats(),
        )

    async def close(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """Close every connection; those in use get ``timeout`` seconds to return, then they are aborted."""
        self._closing = True
        self._tidying.cancel()
        self._opener.close()
        self._queue.refuse(Retired)
        self._queue.close()
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)
        await asyncio.gather(self._all_returned(timeout), self._lanes_closed(timeout))
        self.watchdog.close()  # not before: the calls that were still running keep their deadlines
        for lease in tuple(self._all):
            lease.connection.broken = True
            lease.connection.abort()
            self._all.discard(lease)
        # Wait for the connections' quit messages. Without any connection, the tasks only try to reach a host that may
        # never answer.
        if self._opened:
            await self._tasks.join(_CLOSE_TIMEOUT)
        await self._tasks.close()

    # -- waiting and growing ---------------------------------------------------------------------------------------

    async def _wait(self, deadline: Deadline, *, first: bool) -> Lease:
        self._check_wait_allowed()
        nested = holds(self)
        if nested:
            self._refuse_deadlock()
        # Join before `grow`, which counts the waiting callers.
        waiter = self._queue.join(deadline, first=first)
        self._nested += nested
        self.grow()
        try:
            return await waiter
        except asyncio.CancelledError:
            # The queue may have set the result in the same turn of the loop as the cancellation: pass the lease on.
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

    def _check_wait_allowed(self) -> None:
        """Refuse a caller at once who would wait without success, or for too long."""
        if self._closing:
            raise Retired
        self._opener.raise_if_open()
        if len(self._queue) >= self.limits.max_waiting:
            raise PoolTimeout(
                f"{len(self._queue)} callers already wait for a connection to {self.endpoint} (max_waiting); "
                "run fewer queries at once, or raise max_size if the server has room"
            )

    def _refuse_deadlock(self) -> None:
        """Refuse the wait that would make every connection's holder wait for another connection."""
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

    def has_waiters(self) -> bool:
        """Return whether a caller waits for a connection."""
        return len(self._queue) > 0

    def grow(self, *, for_minimum: bool = False) -> None:
        """Start to open missing connections."""
        size = len(self._all) + self._opener.opening
        if size >= self.limits.max_size or self._closing:
            return
        wanted = openings_wanted(
            self.limits,
            size=size,
            opening=self._opener.opening,
            waiting=len(self._queue),
            failing=self._is_suspect or self._opener.error is not None,
            for_minimum=for_minimum,
        )
        for _ in range(wanted):
            self._opener.begin()

    def admit(self, connection: Connection, generation: int) -> None:
        """Add a new connection to the pool."""
        self._opened += 1
        now = self._loop.time()
        expires_at = expiry(self.limits, now, random.random())  # noqa: S311 - jitter, not a secret
        lease = Lease(connection, self, now=now, expires_at=expires_at, epoch=self._epoch, generation=generation)
        self._all.add(lease)
        self._is_suspect = False
        self._on_reached()
        self.give_back(lease)

    def refuse(self, error: Exception) -> None:
        """Fail every waiting caller with the reason why there is no connection."""
        self._queue.refuse(lambda: copied_error(error))

    async def _enter_scope(self, lease: Lease, scope: Scope, deadline: Deadline) -> bool:
        """Set a session up for a scope; return False if the connection was lost, so that the caller takes another."""
        if lease.scope != scope:
            lease.dirty = True  # a half-done set-up must not reach another tenant: reset the session if this fails
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
        # The epoch before the ping counts: a failure during the ping leaves this connection suspect.
        epoch = self._epoch
        try:
            await lease.connection.ping(max(deadline.bounded(_CHECK_TIMEOUT), _MIN_CHECK_TIMEOUT))
        except DriverError:
            lease.connection.broken = True
            self.give_back(lease)
            return False
        except BaseException:
            self.give_back(lease)
            raise
        lease.epoch = epoch
        self._is_suspect = False
        self._on_reached()
        return True

    async def _clean(self, lease: Lease) -> None:
        """Roll back and reset a session, which costs less than a new connection, and check it in."""
        connection = lease.connection
        try:
            if connection.interrupted:
                await self._absorb_late_cancel(connection)
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
            lease.generation = _NEVER_REUSE
        if self._after_reset is not None:
            await self._after_reset(lease.connection)

    async def _absorb_late_cancel(self, connection: Connection) -> None:
        # A cancel request travels on a connection of its own, and may arrive after the call that it was meant for. The
        # server then cancels the next statement: let that be this ping, and ping again.
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

    async def _lanes_closed(self, timeout: float) -> None:
        if self.lanes is not None:
            await self.lanes.close(timeout)

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
        if self.lanes is not None:
            self.lanes.tidy()
        for lease in self._idle:
            # A connection that the server closed hints that the host may be gone, even without traffic.
            if lease.connection.broken or is_due(lease, self.limits, now, spare=len(self._all) > self.limits.min_size):
                self._discard(lease)
            else:
                kept.append(lease)
        self._idle = kept
