"""Choose a cluster's readers by what they have replayed and by their load, as one background task observes it."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.pool import Lease, Pool, Retired
from rdskit.client.replicas.ejection import Record, not_ejected
from rdskit.client.replicas.history import History
from rdskit.client.replicas.policy import (
    ADMITTED,
    QUARANTINED,
    Admission,
    choose,
    expected_wait,
    lags,
    next_admission,
    pause_after_misses,
    peak_ewma,
    two_of,
)
from rdskit.client.replicas.spill import SpillBudget
from rdskit.errors import RdskitError, StaleReadError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError, ReaderProgress
from rdskit.kernel.positions import START
from rdskit.kernel.scope import NO_SCOPE, Scope
from rdskit.kernel.typing import override
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.periodic import every

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from typing import Any

    from rdskit.client.failover import Cluster
    from rdskit.kernel.positions import Position
    from rdskit.runtime.tasks import TaskOwner

_WATCH_EVERY = 0.5  # seconds between two probes of each reader
_WATCH_SOON = 0.05  # seconds between two probes while a reader is in quarantine
_WATCH_TIMEOUT = 1.0  # seconds for one probe
_CATCH_UP = 0.05  # seconds that a read waits for a reader to catch up, before it goes to the writer
_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.008  # seconds between two queries while it waits


_LOSSES = frozenset({Failure.LOST, Failure.UNWELL})


class WriterAnswer(NamedTuple):
    """An answer of the writer.

    Attributes:
        position: its position; None if it keeps no positions.
    """

    position: Position | None


class Reader:
    """One reader: its pool, its last known progress, and its load."""

    def __init__(self, identifier: str, pool: Pool) -> None:
        self.identifier = identifier
        self.pool = pool
        self.progress: ReaderProgress | None = None
        self.admission: Admission = ADMITTED
        self.lagging = False
        self.latency = 0.001
        self.sampled_at = 0.0
        self.in_flight = 0
        self.served = 0
        self.record = Record()
        self.misses = 0
        self.waited_until = 0.0
        self.noted_at = 0.0

    def note(self, progress: ReaderProgress, asked_at: float) -> None:
        """Record the progress that the reader reported; ``asked_at`` is when the query was sent."""
        self.progress = progress
        self.noted_at = asked_at
        self.lagging = lags(progress.lag, was_lagging=self.lagging)

    def can_serve(self) -> bool:
        """Return whether it is reachable, replicates from the current writer, and is not too far behind."""
        known = self.progress
        return known is not None and known.replays and self.admission.admitted and not self.lagging

    def has_replayed(self, position: Position) -> bool:
        """Return whether it is known to have replayed a position."""
        return self.progress is not None and (position is START or self.progress.position.covers(position))

    def shows(self, position: Position) -> bool:
        """Return whether it can serve, and is known to have replayed a position."""
        # `can_serve` and `has_replayed` written out: every read calls this twice.
        known = self.progress
        return (
            known is not None
            and known.replays
            and self.admission.admitted
            and not self.lagging
            and (position is START or known.position.covers(position))
        )

    def may_catch_up(self, now: float) -> bool:
        """Return whether a read may wait for it; not shortly after a read waited without success."""
        return now - self.waited_until >= pause_after_misses(self.misses)

    def is_near(self, now: float) -> bool:
        """Return whether its lag is so small that it most likely shows a recent write in time."""
        return self.progress is not None and self.progress.lag <= _CATCH_UP and self.may_catch_up(now)

    def missed(self, now: float) -> None:
        """Note that a read waited for it without success."""
        self.misses += 1
        self.waited_until = now

    def expected_wait(self, now: float) -> float:
        """Return the cost of one more call here, in seconds."""
        return expected_wait(self.latency, self.in_flight, now - self.sampled_at)

    def is_ahead_of(self, other: Reader) -> bool:
        """Return whether it is known to have replayed at least what another reader has."""
        return other.progress is None or self.has_replayed(other.progress.position)

    def knows_connection(self, lease: Lease) -> bool:
        """Return whether the known progress of the reader holds on this connection.

        A replica that restarts serves from its last consistent point, which may lie before what it showed earlier.
        A restart ends every connection, so the known progress holds on connections opened before it was read.
        """
        return lease.opened_at <= self.noted_at


class ReaderCall:
    """One call of a reader, which has no connection to itself: what it tells of the reader's load and health."""

    __slots__ = ("_readers", "_started", "reader")

    def __init__(self, readers: Readers, reader: Reader) -> None:
        self._readers = readers
        self.reader = reader
        self._started = asyncio.get_running_loop().time()
        reader.in_flight += 1

    def _end(self) -> None:
        """Do what is left to do after the call."""

    def given_up(self) -> None:
        """Check the connection in after its caller was cancelled: no answer, but no error of the reader either."""
        reader, now = self.reader, asyncio.get_running_loop().time()
        reader.in_flight -= 1
        reader.latency = peak_ewma(reader.latency, now - self._started, now - reader.sampled_at)
        reader.sampled_at = now
        self._end()

    def give_back(self) -> None:
        """Check the connection in after an answer, and record the latency."""
        reader, now = self.reader, asyncio.get_running_loop().time()
        reader.in_flight -= 1
        reader.served += 1
        if reader.record.errors:
            reader.record = reader.record.succeeded()
        reader.latency = peak_ewma(reader.latency, now - self._started, now - reader.sampled_at)
        reader.sampled_at = now
        self._end()

    def unused(self) -> None:
        """Check the connection in without a call: there is no latency to record."""
        self.reader.in_flight -= 1
        self._end()

    def failed(self, failure: Failure) -> None:
        """Check the connection in after an error.

        A reader that lost the connection gets no more reads until a probe has reached it. It stays in use after a
        timeout, and after it cancelled the query because of a recovery conflict.
        """
        reader = self.reader
        reader.in_flight -= 1
        if failure in _LOSSES:
            reader.progress = None
            reader.pool.suspect()
        if failure in _LOSSES or failure is Failure.TIMEOUT:
            self._readers.count_error(reader)
        self._end()


class Borrowed(ReaderCall):
    """A checked-out connection to a reader, which measures the latency of its call."""

    __slots__ = ("lease",)

    def __init__(self, readers: Readers, reader: Reader, lease: Lease) -> None:
        super().__init__(readers, reader)
        self.lease = lease

    @override
    def _end(self) -> None:
        self.lease.give_back()


class Readers:
    """Checks out connections to readers that have replayed what a read must see.

    Attributes:
        sent_to_writer: reads that a reader might have served, but that went to the writer.
    """

    def __init__(self, cluster: Cluster, owner: TaskOwner, spill: float | None = None) -> None:
        """Start the task that probes the readers.

        Args:
            cluster: the cluster.
            owner: owns that task.
            spill: the largest share of reads that may go to the writer, from 0 to 1; None for no limit.
        """
        self._cluster = cluster
        self._budget = SpillBudget(spill)
        self._ejected_until = -math.inf  # when the last ejection ends
        self._pools: Mapping[str, Pool] = {}
        self._known: dict[str, Reader] = {}
        self._all: tuple[Reader, ...] = ()
        self._failures = cluster.failures
        self._history = History()
        self._wake = asyncio.Event()
        self.sent_to_writer = 0
        owner.spawn(every(_WATCH_EVERY, self._watch, self._wake), "watch readers")

    def known(self) -> Sequence[Reader]:
        """Return every reader of the cluster, whether or not it can serve now."""
        self._follow_topology()
        return self._all

    async def borrow(
        self, position: Position | None, deadline: Deadline, avoid: Reader | None = None, scope: Scope = NO_SCOPE
    ) -> Borrowed | None:
        """Check out a connection to a reader that has replayed a position; None sends the read to the writer.

        Args:
            position: what the read must see; ``START`` for any state, None for what only the writer shows.
            deadline: deadline of the whole call.
            avoid: a reader not to use.
            scope: the tenant, role and schema that the session is to be set up for.

        Raises:
            StaleReadError: the writer has reached its share of reads.
        """
        self._budget = self._budget.read()
        borrowed = None if position is None else await self._borrow_current(position, deadline, avoid, scope)
        if borrowed is None:
            self._spill()
        return borrowed

    def pipelines(self, position: Position) -> Reader | None:
        """Return a reader that shows a position and whose pipelined connections are to be used now.

        They are where many reads come at once, and where no pooled connection is free.
        """
        reader, is_fresh = self.pick(position, asyncio.get_running_loop().time())
        if reader is None or not is_fresh or (lanes := reader.pool.lanes) is None:
            return None
        return reader if lanes.hot or not reader.pool.has_idle else None

    def call(self, reader: Reader) -> ReaderCall:
        """Count a call that is pipelined to a reader."""
        self._budget = self._budget.read()
        return ReaderCall(self, reader)

    def can_tell(self, position: Position) -> bool:
        """Return whether a position from another process can be compared with the readers' positions.

        It cannot if it belongs to another history than the one known for the writer: from before a failover, or from
        after one that this process has not noticed. The writer's history is then read again.
        """
        return not self._cluster.takes_writes or self._history.holds(position)

    def count_error(self, reader: Reader) -> None:
        """Count an error against a reader; several in a row eject it."""
        now = asyncio.get_running_loop().time()
        others = sum(other.record.is_ejected(now) for other in self._known.values() if other is not reader)
        reader.record = reader.record.failed(now, others_ejected=others, fleet=len(self._known))
        self._ejected_until = max(self._ejected_until, reader.record.until)

    def _spill(self) -> None:
        left = self._budget.spilled()
        if left is None:
            raise StaleReadError(
                "no reader shows what this read must see, and the writer takes no more than "
                f"{self._budget.share:.0%} of all reads: retry in a moment, read with consistency='eventual', or "
                "connect with a higher spill="
            )
        self._budget = left

    async def _borrow_current(
        self, position: Position, deadline: Deadline, avoid: Reader | None, scope: Scope
    ) -> Borrowed | None:
        now = asyncio.get_running_loop().time
        reader, is_fresh = self.pick(position, now(), avoid)
        borrowed = (
            None if reader is None else await self._borrow_from(reader, position, deadline, scope, is_fresh=is_fresh)
        )
        if borrowed is None and reader is not None:  # in the meantime another one may be known to show it
            reader, is_fresh = self.pick(position, now(), avoid)
            if reader is not None and is_fresh:
                borrowed = await self._borrow_from(reader, position, deadline, scope, is_fresh=True)
        return borrowed

    async def _borrow_from(
        self, reader: Reader, position: Position, deadline: Deadline, scope: Scope, *, is_fresh: bool
    ) -> Borrowed | None:
        borrowed = await self._check_out(reader, deadline, scope)
        if borrowed is None or (is_fresh and reader.knows_connection(borrowed.lease)):
            return borrowed
        return borrowed if await _wait_for_position(borrowed, position, deadline) else None

    def pick(self, position: Position, now: float, avoid: Reader | None = None) -> tuple[Reader | None, bool]:
        """Choose a reader by the known progress and load of all of them.

        A reader that is not known to show the position is as good as one that is, if its lag was small at its last
        probe: one query will tell. Otherwise all reads after a write would go to the first reader that caught up.

        Args:
            position: what the read must see.
            now: seconds on the loop's clock.
            avoid: a reader not to use.

        Returns:
            The reader, and whether it is known to show the position; if not, it is likely to show it in a moment.
        """
        readers, first, second = self.known(), random.random(), random.random()  # noqa: S311 - balancing, not a secret
        ejects = now < self._ejected_until
        if readers and not ejects:  # fast path: usually two random readers will do, without a scan of all
            one, other = two_of(len(readers), first, second)
            mine, theirs = readers[one], readers[other]
            if mine is not avoid and theirs is not avoid and mine.shows(position) and theirs.shows(position):
                return mine if mine.expected_wait(now) <= theirs.expected_wait(now) else theirs, True
        serving = [reader for reader in readers if reader.can_serve() and reader is not avoid]
        if ejects:
            serving = not_ejected(serving, _record, now)
        ready = [reader for reader in serving if reader.has_replayed(position) or reader.is_near(now)]
        if ready:
            chosen = choose(ready, lambda reader: reader.expected_wait(now), first, second)
            return chosen, chosen.has_replayed(position)
        return _furthest([reader for reader in serving if reader.may_catch_up(now)]), False

    async def _check_out(self, reader: Reader, deadline: Deadline, scope: Scope) -> Borrowed | None:
        lease = reader.pool.take(asyncio.get_running_loop().time())
        # `take` neither pings nor sets a scope up: that is for `acquire`.
        if lease is None or lease.scope is not scope:
            if lease is not None:
                lease.give_back()
            try:
                lease = await reader.pool.acquire(Deadline.after(deadline.bounded(_WATCH_TIMEOUT)), scope)
            except (RdskitError, Retired):
                reader.progress = None  # do not choose it again until a probe has reached it
                self.count_error(reader)
                return None
        return Borrowed(self, reader, lease)

    def _follow_topology(self) -> None:
        if self._failures != self._cluster.failures:
            # The writer failed: until proven otherwise, each reader may hold data that the next writer never had.
            self._failures = self._cluster.failures
            self._quarantine()
            self._wake.set()
        if self._pools is not self._cluster.readers:  # each refresh of the topology creates a new mapping
            self._pools = self._cluster.readers
            self._follow_pools()

    def _follow_pools(self) -> None:
        known = {name: self._reader(name, pool) for name, pool in self._pools.items()}
        if known != self._known:
            self._known, self._all = known, tuple(known.values())
            self._wake.set()

    def _reader(self, name: str, pool: Pool) -> Reader:
        """Return the reader of a pool; a new pool gets a new reader, because the old pool is closed."""
        before = self._known.get(name)
        if before is not None and before.pool is pool:
            return before
        reader = Reader(name, pool)
        if before is not None:  # a new endpoint does not end a quarantine
            reader.admission, reader.served = before.admission, before.served
        return reader

    def _quarantine(self) -> None:
        for reader in self._known.values():
            reader.admission = QUARANTINED

    async def _watch(self) -> None:
        readers = self.known()
        suspects = [reader for reader in readers if not reader.admission.admitted]
        asks = suspects or (readers and self._history.is_open and self._cluster.takes_writes)
        # The writer before the readers: `next_admission` compares a position with progress that was read later.
        answer = await self._ask_writer() if asks else None
        await asyncio.gather(*(self._probe(reader, answer) for reader in readers))
        if any(not reader.admission.admitted for reader in readers):
            await asyncio.sleep(_WATCH_SOON)
            self._wake.set()

    async def _ask_writer(self) -> WriterAnswer | None:
        """Read the writer's position; return None if the writer does not answer."""
        pool = self._cluster.writer
        try:
            lease = await pool.acquire(Deadline.after(_WATCH_TIMEOUT))
        except (RdskitError, Retired):
            return None
        try:
            position = await lease.connection.written_position(_WATCH_TIMEOUT)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                return None
            position = None  # the user may not read it, so it is as if the writer kept none
        finally:
            lease.give_back()
        if self._history.note(position):
            self._quarantine()
        return WriterAnswer(position)

    async def _probe(self, reader: Reader, answer: WriterAnswer | None) -> None:
        try:
            lease = await reader.pool.acquire(Deadline.after(_WATCH_TIMEOUT))
        except (RdskitError, Retired):
            reader.progress = None
            return
        try:
            progress = await _read_progress(reader, lease.connection.reader_progress(_WATCH_TIMEOUT))
        except DriverError:
            reader.progress = None
            return
        finally:
            lease.give_back()
        if answer is None:
            reader.admission = reader.admission if reader.admission.admitted else QUARANTINED
        else:
            reader.admission = next_admission(reader.admission, answer.position, progress)


async def _read_progress(reader: Reader, question: Coroutine[Any, Any, ReaderProgress]) -> ReaderProgress:
    # The time before the query counts in `knows_connection`: the reader may restart while the answer is under way.
    asked_at = asyncio.get_running_loop().time()
    progress = await question
    reader.note(progress, asked_at)
    return progress


def _record(reader: Reader) -> Record:
    return reader.record


def _furthest(readers: Sequence[Reader]) -> Reader | None:
    furthest: Reader | None = None
    for reader in readers:
        furthest = reader if furthest is None or reader.is_ahead_of(furthest) else furthest
    return furthest


async def _wait_for_position(borrowed: Borrowed, position: Position, deadline: Deadline) -> bool:
    """Wait until a borrowed reader shows a position; if it takes too long, check it in and return False."""
    reader, lease, now = borrowed.reader, borrowed.lease, asyncio.get_running_loop().time
    end, pause, took = min(now() + _CATCH_UP, deadline.due), _FIRST_PAUSE, 0.0
    try:
        # Stop early rather than cut a query off: the pool would have to clean the connection.
        while (asked_at := now()) + took < end:
            await _read_progress(reader, lease.run(lease.connection.reader_progress(None), end))
            if reader.has_replayed(position) and reader.can_serve():
                reader.misses = 0
                return True
            took = now() - asked_at
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE)
    except DriverError as error:
        if error.failure is not Failure.TIMEOUT:
            borrowed.failed(error.failure)
            return False
    except BaseException:
        borrowed.unused()
        raise
    reader.missed(now())
    borrowed.unused()
    return False
