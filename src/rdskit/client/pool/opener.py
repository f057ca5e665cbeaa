"""Opening connections, in tasks of their own: a caller who gives up neither loses nor aborts one."""

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
    """Whom connections are opened for."""

    endpoint: Endpoint
    limits: PoolLimits
    generation: int

    def is_waited_for(self) -> bool:
        """Whether a caller waits for a connection."""
        ...

    def admit(self, connection: Connection, generation: int) -> None:
        """Take a new connection; ``generation`` is the one in which opening it began."""
        ...

    def refuse(self, error: Exception) -> None:
        """Hear that no further attempt can help."""
        ...

    def unreached(self) -> None:
        """Hear that the host is away: an attempt has failed, and the one before had not."""
        ...

    def grow(self, *, for_minimum: bool = False) -> None:
        """Hear that an attempt has ended, so that another may begin; for the minimum too while all goes well."""
        ...


class Opener:
    """Opens connections to one host; while it is away, one task asks and no more.

    Attributes:
        opening: connections being opened.
        failed: attempts that failed so far.
        error: why the last attempt failed; None when it did not.
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
        self._asks_in_vain = False
        self._failed_at = -math.inf
        self._told_open = False
        self._closed = False
        self.opening = 0
        self.failed = 0
        self.error: Exception | None = None

    def begin(self) -> None:
        """Open one more connection."""
        if self.opening == 0 and self._loop.time() - self._failed_at > self._demand.limits.patience:
            self._breaker = Breaker()  # nobody has asked for so long that an old failure is no part of an outage
        self.opening += 1
        self._tasks.spawn(self._open_for_callers(), "open")

    def close(self) -> None:
        """Try no more; attempts under way end by themselves."""
        self._closed = True

    @property
    def breaker_is_open(self) -> bool:
        """Whether the host has been away for longer than callers should wait for, and is being asked.

        Where nobody asks, what failed last says nothing about now: whoever comes next waits for an attempt.
        """
        return self._asks_in_vain and self._breaker.is_open(self._loop.time(), self._demand.limits.patience)

    def refuse_in_vain(self) -> None:
        """Tell a caller at once who would wait for nothing.

        Raises:
            CircuitOpen: the host has been away for too long.
        """
        if self.breaker_is_open:
            raise CircuitOpen(
                f"{self._demand.endpoint} has not been reached for over {self._demand.limits.patience:g} s and is "
                f"asked again about twice a second; the last attempt said: {self.error}"
            ) from self.error

    def overdue(self, budget: float, otherwise: str) -> Exception:
        """The error for a caller whose deadline has passed: why there was no connection.

        Args:
            budget: seconds that the caller had.
            otherwise: what to say when opening connections did not fail.
        """
        error = self.error
        if error is None:
            return PoolTimeout(otherwise)
        if isinstance(error, TooManyConnections):
            return again(error, f"{error}; {otherwise}")
        return again(error, f"{error} (tried for {budget:g} s)")

    async def _open_for_callers(self) -> None:
        """Open one connection, trying again for as long as somebody waits for it."""
        try:
            started = self._loop.time()
            while not await self._try():
                if self._closed or self.opening > 1 or not self._is_wanted():
                    return  # nobody waits, or another task asks already: a host that is away is asked by one
                away = self._loop.time() - started
                await asyncio.sleep(self._pace.delay(away, random.random()))  # noqa: S311 - jitter, not a secret
        finally:
            self.opening -= 1
            self._asks_in_vain = self._asks_in_vain and self.opening > 0
            self._demand.grow(for_minimum=self.error is None)

    def _is_wanted(self) -> bool:
        return self._demand.is_waited_for() or self.breaker_is_open

    async def _try(self) -> bool:
        """Make one attempt; True when no further one is needed, or none can help."""
        generation, started = self._demand.generation, self._loop.time()
        try:
            connection = await self._open_one()
        except DriverError as error:
            error.public.__cause__ = error.__cause__
            return self._note_failure(error.public, started, final=error.failure is Failure.REFUSED)
        except RdskitError as error:
            # Credentials or topology could not be had: nothing about the host that another attempt would change.
            return self._note_failure(error, started, final=True)
        except Exception as error:  # noqa: BLE001 - credentials are the application's own code: told to every caller
            told = ConnectError(f"opening a connection to {self._demand.endpoint} raised {type(error).__name__}")
            told.__cause__ = error
            return self._note_failure(told, started, final=True)
        self._note_success(started)
        self._demand.admit(connection, generation)
        return True

    def _note_failure(self, error: Exception, started: float, *, final: bool) -> bool:
        self.failed += 1
        self.error = error
        if not isinstance(error, TooManyConnections):  # a server that says so is there, and serves those it has
            if self._breaker.failing_since is None and not final:
                self._demand.unreached()
            self._failed_at, self._asks_in_vain = self._loop.time(), True
            self._breaker = self._breaker.failed(self._failed_at)
        if self._observers:
            self._tell_failure(type(error).__name__, started)
        if final:
            self._demand.refuse(error)
        return final

    def _note_success(self, started: float) -> None:
        self.error = None
        self._breaker, self._asks_in_vain = Breaker(), False
        if self._observers:
            endpoint = str(self._demand.endpoint)
            self._observers.notify(ConnectionOpened(endpoint, self._loop.time() - started))
            if self._told_open:
                self._told_open = False
                self._observers.notify(BreakerClosed(endpoint))

    def _tell_failure(self, error: str, started: float) -> None:
        endpoint = str(self._demand.endpoint)
        self._observers.notify(ConnectionFailed(endpoint, self._loop.time() - started, error))
        if not self._told_open and self.breaker_is_open:
            self._told_open = True
            self._observers.notify(BreakerOpened(endpoint))


def again(error: Exception, message: str | None = None) -> Exception:
    """The same error for one more caller: an exception that several tasks raise would collect all their tracebacks.

    Args:
        error: what there is to tell.
        message: what to say instead of the error's own words.
    """
    told = copy.copy(error)
    told.__cause__ = error.__cause__
    if message is not None:
        told.args = (message,)
    return told
