"""Open connections in background tasks, so that a cancelled caller neither leaks nor aborts one."""

from __future__ import annotations

import asyncio
import copy
import math
import random
from typing import TYPE_CHECKING, Protocol

from rdskit.errors import CircuitOpen, ConnectError, PoolTimeout, RdskitError, TooManyConnections
from rdskit.kernel.breaker import Breaker
from rdskit.kernel.events import BreakerClosed, BreakerOpened, ConnectionFailed, ConnectionOpened
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.client.pool.model import PoolLimits
    from rdskit.kernel.backoff import OutageBackoff
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.runtime.observers import Observers
    from rdskit.runtime.tasks import TaskOwner


class Demand(Protocol):
    """The pool, as the opener sees it: its callers need connections."""

    endpoint: Endpoint
    limits: PoolLimits
    generation: int

    def has_waiters(self) -> bool:
        """Return whether a caller waits for a connection."""
        ...

    def admit(self, connection: Connection, generation: int) -> None:
        """Add a new connection; ``generation`` is the pool's when the attempt began."""
        ...

    def refuse(self, error: Exception) -> None:
        """Fail every waiting caller: no further attempt can help."""
        ...

    def unreached(self) -> None:
        """Note the first failed attempt after a success: the host may be unreachable."""
        ...

    def grow(self, *, for_minimum: bool = False) -> None:
        """Start further attempts after one has ended; up to the minimum size only if it succeeded."""
        ...


class Opener:
    """Opens connections to one host. While the host is unreachable, a single task retries.

    Attributes:
        opening: tasks that are opening a connection.
        failed: attempts that failed so far.
        error: why the last attempt failed; None if it succeeded.
    """

    def __init__(
        self,
        demand: Demand,
        open_one: Callable[[], Awaitable[Connection]],
        tasks: TaskOwner,
        pace: OutageBackoff,
        observers: Observers,
    ) -> None:
        self._demand = demand
        self._pace = pace
        self._open_one = open_one
        self._tasks = tasks
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        self._breaker = Breaker()
        self._is_failing = False
        self._failed_at = -math.inf
        self._open_reported = False
        self._closed = False
        self.opening = 0
        self.failed = 0
        self.error: Exception | None = None

    def begin(self) -> None:
        """Start a task that opens one more connection."""
        # Without any attempt since the last failure, the breaker knows nothing about the present: start over, so that
        # the next caller waits for a real attempt instead of getting `CircuitOpen` for an old outage.
        if self.opening == 0 and self._loop.time() - self._failed_at > self._demand.limits.outage_timeout:
            self._breaker = Breaker()
        self.opening += 1
        self._tasks.spawn(self._open_for_callers(), "open")

    def close(self) -> None:
        """Stop retrying; attempts under way end by themselves."""
        self._closed = True

    @property
    def breaker_is_open(self) -> bool:
        """Return whether attempts have failed for ``outage_timeout``, and a task still retries.

        Without a task that retries, the last failure says nothing about now: the next caller waits for an attempt.
        """
        return self._is_failing and self._breaker.is_open(self._loop.time(), self._demand.limits.outage_timeout)

    def raise_if_open(self) -> None:
        """Refuse a caller at once while the breaker is open.

        Raises:
            CircuitOpen: the host has been unreachable for ``outage_timeout``.
        """
        if self.breaker_is_open:
            raise CircuitOpen(
                f"{self._demand.endpoint} has been unreachable for over {self._demand.limits.outage_timeout:g} s; the "
                f"pool retries about twice a second; the last attempt failed with: {self.error}"
            ) from self.error

    def overdue(self, budget: float, otherwise: str) -> Exception:
        """Return the error for a caller whose deadline has passed: why there was no connection.

        Args:
            budget: seconds that the caller had.
            otherwise: the message if connection attempts did not fail.
        """
        error = self.error
        if error is None:
            return PoolTimeout(otherwise)
        if isinstance(error, TooManyConnections):
            return copied_error(error, f"{error}; {otherwise}")
        return copied_error(error, f"{error} (tried for {budget:g} s)")

    async def _open_for_callers(self) -> None:
        """Open one connection, and retry while a caller waits for it."""
        try:
            started = self._loop.time()
            while not await self._try():
                # Of several tasks whose attempts fail, all but the last end here: one task retries, so that an
                # unreachable host does not get one attempt per waiting caller.
                if self._closed or self.opening > 1 or not self._is_wanted():
                    return
                away = self._loop.time() - started
                await asyncio.sleep(self._pace.delay(away, random.random()))  # noqa: S311 - jitter, not a secret
        finally:
            # Count down before `grow`: it starts a new task only where this one has made room.
            self.opening -= 1
            self._is_failing = self._is_failing and self.opening > 0
            self._demand.grow(for_minimum=self.error is None)

    def _is_wanted(self) -> bool:
        # An open breaker refuses new callers, so no one waits; still, only a successful attempt can close it.
        return self._demand.has_waiters() or self.breaker_is_open

    async def _try(self) -> bool:
        """Make one attempt; return True if it succeeded, or if no further one can help."""
        # The generation before the attempt counts: if the host changes its role while the login is under way, the pool
        # discards this connection.
        generation, started = self._demand.generation, self._loop.time()
        try:
            connection = await self._open_one()
        except DriverError as error:
            error.public.__cause__ = error.__cause__
            return self._note_failure(error.public, started, final=error.failure is Failure.REFUSED)
        except RdskitError as error:
            # Credentials or topology are unavailable. That is no fault of the host, so a retry would not help.
            return self._note_failure(error, started, final=True)
        except Exception as error:  # noqa: BLE001 - credentials are the application's own code: every caller gets it
            raised = ConnectError(f"opening a connection to {self._demand.endpoint} raised {type(error).__name__}")
            raised.__cause__ = error
            return self._note_failure(raised, started, final=True)
        self._note_success(started)
        self._demand.admit(connection, generation)
        return True

    def _note_failure(self, error: Exception, started: float, *, final: bool) -> bool:
        self.failed += 1
        self.error = error
        # "Too many connections" comes from a server that is up and serves those it has: that is no outage.
        if not isinstance(error, TooManyConnections):
            if self._breaker.failing_since is None and not final:
                self._demand.unreached()
            self._failed_at, self._is_failing = self._loop.time(), True
            self._breaker = self._breaker.failed(self._failed_at)
        if self._observers:
            self._report_failure(type(error).__name__, started)
        if final:
            self._demand.refuse(error)
        return final

    def _note_success(self, started: float) -> None:
        self.error = None
        self._breaker, self._is_failing = Breaker(), False
        if self._observers:
            endpoint = str(self._demand.endpoint)
            self._observers.notify(ConnectionOpened(endpoint, self._loop.time() - started))
            if self._open_reported:
                self._open_reported = False
                self._observers.notify(BreakerClosed(endpoint))

    def _report_failure(self, error: str, started: float) -> None:
        endpoint = str(self._demand.endpoint)
        self._observers.notify(ConnectionFailed(endpoint, self._loop.time() - started, error))
        if not self._open_reported and self.breaker_is_open:
            self._open_reported = True
            self._observers.notify(BreakerOpened(endpoint))


def copied_error(error: Exception, message: str | None = None) -> Exception:
    """Return a copy of an error for one more caller.

    A single exception that several tasks raise would collect all their tracebacks.

    Args:
        error: the error.
        message: replaces the error's own message.
    """
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    if message is not None:
        copied.args = (message,)
    return copied
