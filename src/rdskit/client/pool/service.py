"""The pool itself. Single-threaded: every decision is made between two awaits, so it needs no lock."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from rdskit.client.pool.holding import holds
from rdskit.client.pool.lease import Lease
from rdskit.client.pool.model import PoolLimits, PoolStats
from rdskit.client.pool.policy import expiry, is_due, needs_check, openings_wanted
from rdskit.client.pool.watchdog import Watchdog
from rdskit.errors import CircuitOpen, PoolTimeout, RdskitError
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.breaker import Breaker
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.runtime.deadlines import Deadline

_CLOSE_TIMEOUT = 2.0  # seconds for one connection to say goodbye, then its socket is cut
_CHECK_TIMEOUT = 1.0  # seconds for a sign of life
_TIDY_EVERY = 5.0  # seconds between two looks for old and idle connections


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
    ) -> None:
        self.endpoint = endpoint
        self._on_failure = on_failure
        self.limits = limits
        self._open_one = open_one
        self._loop = asyncio.get_running_loop()
        self._idle: list[Lease] = []
        self._all: set[Lease] = set()
        self._waiters: deque[asyncio.Future[Lease]] = deque()
        self._opening = 0
        self._nested = 0
        self._epoch = 0
        self._generation = 0
        self._closing = False
        self._emptied: asyncio.Future[None] | None = None
        self._last_error: Exception | None = None
        self._breaker = Breaker()
        self._opened = self._closed = self._failed = 0
        self.watchdog = Watchdog(self._all)
        self._tasks = TaskOwner(f"pool {endpoint}")
        self._tidying = self._tasks.spawn(self._tidy_forever(), "tidy")

    # -- lending ---------------------------------------------------------------------------------------------------

    def take(self, now: float) -> Lease | None:
        """Lend a free connection without waiting; None when there is none that is surely alive.

        Args:
            now: the loop's clock.
        """
        if not self._idle or self._waiters:
            return None
        lease = self._idle[-1]
        if lease.connection.broken or needs_check(lease, self.limits, now, self._epoch):
            return None
        lease.used_at = now
        return self._idle.pop()

    async def acquire(self, deadline: Deadline) -> Lease:
        """Lend a connection, waiting for one in order of arrival.

        Raises:
            PoolTimeout: none became free before the deadline, or too many wait already.
            ConnectError: none could be opened before the deadline; the last reason is its cause.
            Retired: the host was taken out of use meanwhile.
        """
        while True:
            free = self._idle and all(waiter.done() for waiter in self._waiters)
            lease = self._idle.pop() if free else await self._wait(deadline)
            now = self._loop.time()
            if lease.connection.broken or now >= lease.expires_at:
                self._discard(lease)
            elif not needs_check(lease, self.limits, now, self._epoch) or await self._is_alive(lease):
                lease.used_at = now
                return lease

    def give_back(self, lease: Lease) -> None:
        """Take a connection back; what is not usable by the next caller is cleaned or closed in the background."""
        connection = lease.connection
        if connection.broken or lease.generation != self._generation or self._closing:
            self._discard(lease)
        elif lease.dirty or connection.interrupted:
            self._tasks.spawn(self._clean(lease), "clean")
        else:
            self._lend_on(lease)

    def suspect(self) -> None:
        """Something failed at this host: every connection must show a sign of life before it is lent again."""
        self._epoch += 1

    def retire(self) -> None:
        """The host changed its role: no connection opened so far is lent again."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)

    def stats(self) -> PoolStats:
        """What the pool holds now."""
        size, idle = len(self._all), len(self._idle)
        return PoolStats(
            endpoint=str(self.endpoint),
            size=size,
            idle=idle,
            in_use=size - idle,
            waiting=self._waiting(),
            opened=self._opened,
            closed=self._closed,
            failed_connects=self._failed,
        )

    async def close(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """Close every connection; those in use get ``timeout`` seconds to come back, then their sockets are cut."""
        self._closing = True
        self._tidying.cancel()
        self.watchdog.close()
        self._fail_waiters(Retired())
        idle, self._idle = self._idle, []
        for lease in idle:
            self._discard(lease)
        await self._all_returned(timeout)
        for lease in tuple(self._all):
            lease.connection.broken = True
            lease.connection.abort()
            self._all.discard(lease)
        await self._tasks.join(_CLOSE_TIMEOUT)
        await self._tasks.close()

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def _wait(self, deadline: Deadline) -> Lease:
        self._refuse_in_vain()
        if len(self._waiters) >= self.limits.max_waiting:
            raise PoolTimeout(
                f"{len(self._waiters)} callers already wait for a connection to {self.endpoint} (max_waiting); "
                "send less at once, or raise max_size if the server has room"
            )
        nested = holds(self)
        if nested:
            self._refuse_deadlock()
        waiter: asyncio.Future[Lease] = self._loop.create_future()
        timer = None if deadline.at is None else self._loop.call_at(deadline.at, self._expire, waiter, deadline.budget)
        self._waiters.append(waiter)
        self._nested += nested
        self._grow()
        try:
            return await waiter
        except asyncio.CancelledError:
            # The connection may have been handed over in the very moment of the cancellation: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise
        finally:
            self._nested -= nested
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _refuse_in_vain(self) -> None:
        """Tell a caller at once who would wait for nothing."""
        if self._closing:
            raise Retired
        if self._breaker.is_open(self._loop.time(), self.limits.patience):
            raise CircuitOpen(
                f"{self.endpoint} has not been reached for over {self.limits.patience:g} s and is asked again every "
                f"second; the last attempt said: {self._last_error}"
            ) from self._last_error

    def _refuse_deadlock(self) -> None:
        """Refuse the wait that would leave every connection in the hands of a block that waits for another one."""
        if self._nested + 1 >= self.limits.max_size:
            raise PoolTimeout(
                f"all {self.limits.max_size} connections to {self.endpoint} are held by transaction blocks, and each "
                "waits for one more: inside such a block use its transaction instead of the database, or raise max_size"
            )

    def _expire(self, waiter: asyncio.Future[Lease], budget: float | None) -> None:
        if waiter.done() or budget is None:
            return
        error = self._last_error
        if error is not None:
            failure = type(error)(f"{error} (tried for {budget:g} s)")
            failure.__cause__ = error.__cause__
            waiter.set_exception(failure)
            return
        waiter.set_exception(
            PoolTimeout(
                f"no connection to {self.endpoint} became free within {budget:g} s: {len(self._all)} of "
                f"{self.limits.max_size} are open and {len(self._waiters)} callers wait; raise max_size or timeout, "
                "or look for a call that keeps its connection"
            )
        )

    def _waiting(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)

    def _next_waiter(self) -> asyncio.Future[Lease] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _lend_on(self, lease: Lease) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._idle.append(lease)
        else:
            waiter.set_result(lease)

    def _fail_waiters(self, error: Exception) -> None:
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(error)

    # -- opening ---------------------------------------------------------------------------------------------------

    def _grow(self, *, for_minimum: bool = False) -> None:
        wanted = openings_wanted(
            self.limits,
            size=len(self._all) + self._opening,
            opening=self._opening,
            waiting=self._waiting(),
            failing=self._last_error is not None,
            for_minimum=for_minimum,
        )
        for _ in range(0 if self._closing else wanted):
            self._opening += 1
            self._tasks.spawn(self._open_for_waiters(), "open")

    async def _open_for_waiters(self) -> None:
        """Open one connection, trying again for as long as somebody waits for it."""
        try:
            started = self._loop.time()
            while not await self._try_open():
                if self._closing or self._opening > 1 or not self._is_awaited():
                    return  # nobody waits, or another task asks already: a host that is away is asked by one
                away = self._loop.time() - started
                await asyncio.sleep(CONNECT.delay(away, random.random()))  # noqa: S311 - jitter, not a secret
        finally:
            self._opening -= 1
            self._grow()

    def _is_awaited(self) -> bool:
        return self._waiting() > 0 or self._breaker.is_open(self._loop.time(), self.limits.patience)

    async def _try_open(self) -> bool:
        generation = self._generation
        try:
            connection = await self._open_one()
        except DriverError as error:
            error.public.__cause__ = error.__cause__
            return self._note_failed_open(error.public, final=error.failure is Failure.REFUSED)
        except RdskitError as error:
            # Credentials or topology could not be had: nothing about the host that another attempt would change.
            return self._note_failed_open(error, final=True)
        self._admit(connection, generation)
        return True

    def _note_failed_open(self, error: Exception, *, final: bool) -> bool:
        self._failed += 1
        self._last_error = error
        self._breaker = self._breaker.failed(self._loop.time())
        if final:
            self._fail_waiters(error)
        return final

    def _admit(self, connection: Connection, generation: int) -> None:
        self._last_error = None
        self._breaker = Breaker()
        self._opened += 1
        now = self._loop.time()
        expires_at = expiry(self.limits, now, random.random())  # noqa: S311 - jitter, not a secret
        lease = Lease(connection, self, now=now, expires_at=expires_at, epoch=self._epoch, generation=generation)
        self._all.add(lease)
        self.give_back(lease)

    # -- cleaning and closing --------------------------------------------------------------------------------------

    async def _is_alive(self, lease: Lease) -> bool:
        epoch = self._epoch
        try:
            await lease.connection.ping(_CHECK_TIMEOUT)
        except DriverError:
            lease.connection.broken = True
            self.give_back(lease)
            return False
        except BaseException:
            self.give_back(lease)
            raise
        lease.epoch = epoch
        return True

    async def _clean(self, lease: Lease) -> None:
        """Make a connection as good as new, which costs less than a new one."""
        connection = lease.connection
        try:
            if connection.interrupted:
                await self._calm(connection)
            if connection.in_transaction:
                await connection.control("rollback", _CLOSE_TIMEOUT)
            if lease.dirty:
                await connection.reset(_CLOSE_TIMEOUT)
                lease.dirty = False
        except DriverError:
            connection.broken = True
        self.give_back(lease)

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
        self._tasks.spawn(lease.connection.close(_CLOSE_TIMEOUT), "close")
        self._grow()

    async def _all_returned(self, timeout: float) -> None:
        if not self._all:
            return
        self._emptied = self._loop.create_future()
        await asyncio.wait([self._emptied], timeout=timeout)

    async def _tidy_forever(self) -> None:
        while True:
            self._grow(for_minimum=True)
            await asyncio.sleep(_TIDY_EVERY)
            self._tidy()

    def _tidy(self) -> None:
        now, kept = self._loop.time(), []
        for lease in self._idle:
            if is_due(lease, self.limits, now, spare=len(self._all) > self.limits.min_size):
                self._discard(lease)
            else:
                kept.append(lease)
        self._idle = kept
