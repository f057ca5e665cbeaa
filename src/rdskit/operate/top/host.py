"""Poll one host of the cluster."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from rdskit.client.api import Retired
from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Role
from rdskit.operate.top.activity import activity_of, position_of, progress_of
from rdskit.operate.top.model import HostView, Level, Reading
from rdskit.operate.top.policy import distance, earlier, rate, smoothed
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.api import Pool
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.positions import Position
    from rdskit.kernel.targets import Engine
    from rdskit.kernel.topology import Host
    from rdskit.operate.top.journal import Journal

_ANSWER: Final = 2.0  # seconds for one response
_HISTORY: Final = 30  # polls whose rate is kept


class WatchedHost:
    """Poll one host and keep its recent readings.

    Args:
        host: the host in the current topology.
        pool: the pool of connections to it.
        engine: the server's engine.
        journal: receives an entry when the host is lost and when it is back.

    Attributes:
        host: the host in the last topology.
        pool: the pool for its current role.
        wake: set to poll now.
        problem: why it does not respond; None while it does.
        hidden: values that the user may not see, with the missing grants.
    """

    def __init__(self, host: Host, pool: Pool, engine: Engine, journal: Journal) -> None:
        self.host = host
        self.pool = pool
        self.wake = asyncio.Event()
        self._polls = 0
        self._polled = asyncio.Condition()
        self.problem: str | None = None
        self.hidden: tuple[str, ...] = ()
        self._engine = engine
        self._journal = journal
        self._since: float | None = None
        self._readings: deque[Reading] = deque(maxlen=_HISTORY)
        self._history: deque[float | None] = deque(maxlen=_HISTORY)
        self._latency: float | None = None

    @property
    def position(self) -> Position | None:
        """The end of a writer's log, or a reader's replayed position."""
        return self._readings[-1].position if self._readings and self.problem is None else None

    def update(self, host: Host, pool: Pool) -> None:
        """Update host and pool from the topology; readings in another role are dropped."""
        if host.role is not self.host.role:
            self._readings.clear()
        self.host, self.pool = host, pool
        self.wake.set()

    async def poll(self) -> DriverError | None:
        """Poll the host once; a failure is recorded, and returned if it cost a connection."""
        try:
            self._record(await self._read())
        except Retired:
            return None  # its role changes: the next poll goes by its next pool
        except RdskitError as error:
            self.lost(str(error))
        except DriverError as error:
            self.lost(str(error.public))
            return error
        finally:
            await self._count()
        return None

    async def compared(self) -> None:
        """Wait until two polls can be compared, at most until the second one has ended."""
        async with self._polled:
            await self._polled.wait_for(lambda: self._polls > 1)

    async def _count(self) -> None:
        self._polls += 1
        async with self._polled:
            self._polled.notify_all()

    def lost(self, problem: str) -> None:
        """Record that it does not respond."""
        if self.problem is None:
            self._since = time.time()
            if self.host.role is not Role.WRITER:  # the client itself reports the loss of a writer
                self._journal.note(self.host.identifier, f"does not respond: {problem}", Level.BAD)
        self.problem = problem
        self._readings.clear()
        self._history.append(None)

    async def _read(self) -> Reading:
        lease = await self.pool.acquire(Deadline.after(_ANSWER if self._polls else self._first_timeout))
        try:
            return await self._query(lease.connection)
        finally:
            lease.give_back()

    @property
    def _first_timeout(self) -> float:
        return self.pool.limits.connect_timeout

    async def _query(self, connection: Connection) -> Reading:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await connection.ping(_ANSWER)
        now = loop.time()
        activity = await activity_of(connection, self._engine, _ANSWER)
        self.hidden = activity.hidden
        if self.host.role is Role.WRITER:
            return Reading(now, now - started, activity, await position_of(connection, _ANSWER))
        progress = await progress_of(connection, self._engine, _ANSWER)
        self.hidden += (progress.hidden,) if progress.hidden else ()
        return Reading(now, now - started, activity, progress.position, progress.lag)

    def _record(self, reading: Reading) -> None:
        if self.problem is not None and self._since is not None:
            away = time.time() - self._since
            self._journal.note(self.host.identifier, f"answers again, after {away:.1f} s", Level.GOOD)
        self.problem = self._since = None
        elapsed = reading.at - self._readings[-1].at if self._readings else 0.0
        self._latency = smoothed(self._latency, reading.latency, elapsed)
        self._readings.append(reading)
        transactions, statements = self._rates()
        if len(self._readings) > 1:
            self._history.append((statements if transactions is None else transactions) or 0.0)

    def _rates(self) -> tuple[float | None, float | None]:
        before = earlier(tuple(self._readings))
        if before is None:
            return None, None
        last, then = self._readings[-1], before.activity
        seconds = last.at - before.at
        return (
            rate(then.transactions, last.activity.transactions, seconds),
            rate(then.statements, last.activity.statements, seconds),
        )

    def view(self, writer: Position | None, zone: str | None, status: str | None) -> HostView:
        """Return the host's data for display.

        Args:
            writer: the writer's position.
            zone: the zone from the RDS API.
            status: the status from the RDS API.
        """
        reading = self._readings[-1] if self._readings else None
        activity = reading.activity if reading else None
        transactions, statements = self._rates()
        is_reader = self.host.role is Role.READER
        return HostView(
            self.host.identifier,
            self.host.role,
            str(self.host.endpoint),
            zone=zone or self.host.zone,
            status=status,
            problem=self.problem,
            since=self._since,
            latency=self._latency if reading else None,
            transactions=transactions,
            statements=statements,
            connections=activity.connections if activity else None,
            max_connections=activity.max_connections if activity else None,
            oldest=activity.oldest if activity else None,
            lag=reading.lag if reading else None,
            behind=distance(writer, reading.position) if reading and is_reader else None,
            history=tuple(self._history),
            pool=self.pool.stats(),
        )
