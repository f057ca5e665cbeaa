"""Choose a pipelined connection for each read, and move reads when one is late or lost.

Only statements that change nothing are pipelined, so a read can be sent twice without harm. The reads behind a slow one
are sent again on another connection, and their first answers are discarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.pool.lanes.lane import Lane
from rdskit.client.pool.lanes.model import LaneLimits, LaneStats
from rdskit.errors import QueryTimeout, RdskitError
from rdskit.kernel.failures import Failure
from rdskit.kernel.pipelining import Elsewhere, Read
from rdskit.kernel.ports import DriverError
from rdskit.runtime.running import clock_of, running_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from rdskit.client.pool.lanes.policy import Standings
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.pipelining import Pipeline
    from rdskit.runtime.tasks import TaskOwner

_CLOSE_TIMEOUT: Final = 2.0  # seconds for one connection to close; then its socket is closed
_SPARES: Final = 2  # connections under load, so that the reads behind a slow one find the second one open
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 30.0  # seconds between two failed attempts to open a connection
_LIFETIME_JITTER: Final = 0.2
_log = logging.getLogger("rdskit.pool")


class Lanes:
    """Carries reads on few connections.

    Attributes:
        hot: so many reads come at once that they are pipelined even while pooled connections are free.
        standings: what is known of the statements.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        open_one: Callable[[], Awaitable[Pipeline]],
        standings: Standings,
        tasks: TaskOwner,
        *,
        on_lost: Callable[[], None] = lambda: None,
        limits: LaneLimits | None = None,
    ) -> None:
        """Create the object without a connection; the first read that finds no free pooled one opens it.

        Args:
            endpoint: the host.
            open_one: opens a pipelined connection to it.
            standings: the measured costs of the statements.
            tasks: owns the tasks that open and close connections.
            on_lost: called when a connection was lost.
            limits: how many there are, and how long they live.
        """
        self.hot = False
        self.standings = standings
        self._endpoint = endpoint
        self._open_one = open_one
        self._tasks = tasks
        self._on_lost = on_lost
        self._limits = limits or LaneLimits()
        self._loop = asyncio.get_running_loop()
        self._clock = clock_of(self._loop)
        self._lanes: list[Lane] = []
        self._leaving: set[Lane] = set()  # they answer the reads in flight, and get no new ones
        self._emptied = asyncio.Event()
        self._opening = 0
        self._closing = False
        self._pause, self._try_after = _FIRST_PAUSE, -math.inf
        self._look_at = 0.0
        self._patrol: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._armed_for = math.inf
        self._answered = self._moved = self._to_pool = self._late = self._closed = 0

    # -- reads -----------------------------------------------------------------------------------------------------

    def submit(
        self, text: str, args: Sequence[Any], due: float, *, one: bool, opened_by: float = math.inf
    ) -> asyncio.Future[Any] | None:
        """Send a read; None if it is to go to a pooled connection.

        Args:
            text: a statement that has earned it.
            args: its arguments.
            due: the moment on the loop's clock by which it must be answered; infinite for no limit.
            one: only the first row is wanted.
            opened_by: the connection must have been open at this moment on the loop's clock.

        Returns:
            A future of the first row or None, or of the list of rows. It raises ``Elsewhere`` if a pooled connection
            has to run the read, and ``DriverError`` for an error of the server.
        """
        lane = self._free(opened_by)
        if lane is None or running_task(self._loop) is None:
            return None
        pipeline = lane.pipeline
        self.hot = pipeline.batch >= self._limits.warm
        if not pipeline.knows(text):
            self._prepare(lane, text)
            return None
        answer: asyncio.Future[Any] = self._loop.create_future()
        if not pipeline.send(Read(text, args, answer, due, one=one)):
            self._to_pool += 1
            return None
        if due < self._armed_for:
            self._arm(due)
        if self._patrol is None:
            self._watch()
        return answer

    def _free(self, opened_by: float) -> Lane | None:
        """Return the connection for the next read: the first that is neither late nor full."""
        # Always the first one, rather than the least loaded: many reads in one packet are what makes pipelining cheap.
        too_young = False
        for lane in self._lanes:
            if lane.late or not lane.pipeline.writable or lane.pipeline.in_flight >= self._limits.in_flight:
                continue
            if lane.opened_at <= opened_by:
                return lane
            too_young = True
        if not too_young:
            self._grow()
        return None

    def _prepare(self, lane: Lane, text: str) -> None:
        if text not in lane.preparing:
            lane.preparing.add(text)
            self._tasks.spawn(self._prepared(lane, text), "prepare")

    async def _prepared(self, lane: Lane, text: str) -> None:
        try:
            if not await lane.pipeline.prepare(text) and not lane.pipeline.broken:
                self.standings.of(text).bar()
        except DriverError as error:
            if error.failure is not Failure.LOST:
                self.standings.of(text).demote()
        finally:
            lane.preparing.discard(text)

    # -- late answers ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Set the timer that checks the connections; it is set again while there are reads in flight."""
        self._look_at = self._clock() + self._limits.late / 2
        self._patrol = self._loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        self._patrol = None
        now = self._clock()
        lagged = now - self._look_at > self._limits.late
        for lane in [*self._lanes, *self._leaving]:
            lane.note(now, loop_lagged=lagged)
            if lane.pipeline.in_flight and lane.waited(now) >= self._limits.late:
                self._hold_up(lane, now)
            elif lane in self._leaving and not lane.pipeline.in_flight:
                self._close(lane)
        if self.hot and len(self._lanes) < _SPARES:
            self._grow()
        if self._leaving or any(lane.pipeline.in_flight for lane in self._lanes):
            self._watch()

    def _hold_up(self, lane: Lane, now: float) -> None:
        """Send the reads behind a late one again on another connection."""
        head = lane.pipeline.head
        # The caller of the late read has given up: end the connection, so that the server stops working on it.
        if head is not None and head.future.done() and lane.waited(now) >= self._limits.given_up:
            self._closed += 1
            self._again(self._end(lane, cancel=True))
            return
        if not lane.late:
            lane.late = True
            self._late += 1
            if head is not None:
                self.standings.of(head.text).demote()
        if self._other(lane) is None:
            self._grow()
        else:
            self._again(lane.pipeline.release())

    def _other(self, lane: Lane | None) -> Lane | None:
        return next((each for each in self._lanes if each is not lane and not each.late), None)

    def _again(self, reads: Iterable[Read]) -> None:
        """Send reads again on another connection; those that cannot be sent go to the pool."""
        # Each read moves once at most, so that a read that is slow everywhere does not travel from lane to lane.
        for read in reads:
            lane = self._other(None)
            if lane is not None and not read.moved and lane.pipeline.knows(read.text) and lane.pipeline.send(read):
                read.moved = True
                self._moved += 1
            else:
                self._to_pool += 1
                read.refuse(Elsewhere(str(self._endpoint)))

    # -- deadlines -------------------------------------------------------------------------------------------------

    def _arm(self, moment: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._armed_for = moment
        self._deadline = None if moment == math.inf else self._loop.call_at(moment, self._look_at_deadlines)

    def _look_at_deadlines(self) -> None:
        now, next_due = self._loop.time(), math.inf
        for lane in [*self._lanes, *self._leaving]:
            for read in lane.pipeline.reads():
                if read.due <= now:
                    message = f"{self._endpoint} did not answer before the deadline"
                    read.refuse(DriverError(Failure.TIMEOUT, QueryTimeout(message)))
                elif read.due < next_due:
                    next_due = read.due
        self._arm(next_due)

    # -- connections -----------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        if self._closing or self._opening or len(self._lanes) >= self._limits.most:
            return
        if self._clock() >= self._try_after:
            self._opening += 1
            self._tasks.spawn(self._open(), "open a pipelined connection")

    async def _open(self) -> None:
        try:
            pipeline = await self._open_one()
            try:
                await self._join(Lane(pipeline, self._clock(), self._lifetime()))
            except BaseException:
                pipeline.end()
                self._tasks.spawn(pipeline.close(_CLOSE_TIMEOUT), "close a pipelined connection")
                raise
        except (DriverError, RdskitError) as error:
            _log.info("no pipelined connection to %s: %s", self._endpoint, error)
            self._try_after = self._clock() + self._pause
            self._pause = min(2 * self._pause, _LAST_PAUSE)
        else:
            self._pause = _FIRST_PAUSE
        finally:
            self._opening -= 1

    async def _join(self, lane: Lane) -> None:
        """Prepare the pipelined statements on a new connection, and add it."""
        # Before it is added: a read of an unprepared statement would go to the pool.
        for text in self.standings.earned():
            await self._prepared(lane, text)
        if self._closing or lane.pipeline.broken:
            await lane.pipeline.close(_CLOSE_TIMEOUT)
            return
        lane.pipeline.watch(lambda: self._ended(lane), lambda read: self._too_large(lane, read))
        self._lanes.append(lane)

    def _lifetime(self) -> float:
        return self._limits.lifetime * (1.0 - _LIFETIME_JITTER * random.random())  # noqa: S311 - jitter, not a secret

    def _ended(self, lane: Lane) -> None:
        """Remove a lost connection, and send its reads again."""
        self._closed += 1
        reads = self._end(lane)
        if not self._closing:
            self._on_lost()
        self._again(reads)

    def _too_large(self, lane: Lane, read: Read) -> None:
        """Let the pool run a read with a large result, and send the others again."""
        self.standings.of(read.text).demote()
        self._closed += 1
        read.moved = True  # which sends it to the pool
        self._again(self._end(lane, cancel=True))

    def _end(self, lane: Lane, *, cancel: bool = False) -> list[Read]:
        """End a connection at once, and return its unanswered reads."""
        reads = lane.pipeline.end(cancel=cancel)
        self._close(lane)
        return reads

    def _close(self, lane: Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)
        self._leaving.discard(lane)
        if not self._leaving:
            self._emptied.set()
        self._answered += lane.pipeline.answered
        self._tasks.spawn(lane.pipeline.close(_CLOSE_TIMEOUT), "close a pipelined connection")

    def suspect(self) -> None:
        """Use no connection until it has answered again, because something failed at the host."""
        # Without a read in flight there is no answer to wait for, so close the connection.
        for lane in tuple(self._lanes):
            if lane.pipeline.in_flight:
                lane.doubt()
            else:
                self._close(lane)

    def retire(self) -> None:
        """Send no further reads on the current connections; they answer those in flight."""
        self.hot = False
        leaving, self._lanes = self._lanes, []
        self._leaving.update(leaving)
        if leaving and self._patrol is None:
            self._watch()

    def cut(self) -> None:
        """Abort every connection at once, because the host is gone."""
        self.hot = False
        reads = [read for lane in (*self._lanes, *self._leaving) for read in self._end(lane)]
        self._again(reads)

    def tidy(self) -> None:
        """Close connections that are too old, or were idle for too long."""
        now = self._clock()
        for lane in tuple(self._lanes):
            if now >= lane.expires_at or lane.is_unused(now, self._limits.idle_time):
                self._lanes.remove(lane)
                self._leaving.add(lane)
        if self._leaving and self._patrol is None:
            self._watch()

    def stats(self) -> LaneStats:
        """Return sizes and counters of the connections."""
        lanes = [*self._lanes, *self._leaving]
        return LaneStats(
            connections=len(lanes),
            in_flight=sum(lane.pipeline.in_flight for lane in lanes),
            statements=len(self.standings.earned()),
            answered=self._answered + sum(lane.pipeline.answered for lane in lanes),
            moved=self._moved,
            sent_to_pool=self._to_pool,
            late=self._late,
            closed=self._closed,
        )

    async def close(self, timeout: float) -> None:
        """Close all connections; reads in flight get ``timeout`` seconds to be answered."""
        self._closing = True
        self.retire()
        if self._leaving:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._emptied.wait()
        self._arm(math.inf)
        if self._patrol is not None:
            self._patrol.cancel()
        self.cut()
