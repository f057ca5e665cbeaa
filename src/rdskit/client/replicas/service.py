"""The readers of a cluster: watched by one task, lent by what they have replayed and by what they cost."""

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

_WATCH_EVERY = 0.5  # seconds between two looks at each reader
_WATCH_SOON = 0.05  # seconds between two looks while a reader is in quarantine
_WATCH_TIMEOUT = 1.0  # seconds for one look
_CATCH_UP = 0.05  # seconds that a read waits for a reader to catch up, before it goes to the writer
_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.008  # seconds between two questions while it waits


_LOSSES = frozenset({Failure.LOST, Failure.UNWELL})


class Told(NamedTuple):
    """An answer of the writer's.

    Attributes:
        position: where it is; None where it keeps no positions.
    """

    position: Position | None


class Reader:
    """What is known of one reader."""

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
        """Keep what the reader said of itself when it was asked."""
        self.progress = progress
        self.noted_at = asked_at
        self.lagging = lags(progress.lag, was_lagging=self.lagging)

    def can_serve(self) -> bool:
        """Whether it is a replica of our writer, within reach, and not too far behind."""
        known = self.progress
        return known is not None and known.replays and self.admission.admitted and not self.lagging

    def has_replayed(self, position: Position) -> bool:
        """Whether it was seen to have replayed a position."""
        return self.progress is not None and (position is START or self.progress.position.covers(position))

    def shows(self, position: Position) -> bool:
        """Whether it can serve, and was seen to have replayed a position."""
        known = self.progress
        return (
            known is not None
            and known.replays
            and self.admission.admitted
            and not self.lagging
            and (position is START or known.position.covers(position))
        )

    def may_catch_up(self, now: float) -> bool:
        """Whether it is worth waiting for; not just after that was in vain."""
        return now - self.waited_until >= pause_after_misses(self.misses)

    def is_near(self, now: float) -> bool:
        """Whether it follows so closely that it most likely shows in time whatever was written."""
        return self.progress is not None and self.progress.lag <= _CATCH_UP and self.may_catch_up(now)

    def missed(self, now: float) -> None:
        """Somebody waited for it in vain."""
        self.misses += 1
        self.waited_until = now

    def expected_wait(self, now: float) -> float:
        """What one more call costs here, in seconds."""
        return expected_wait(self.latency, self.in_flight, now - self.sampled_at)

    def is_ahead_of(self, other: Reader) -> bool:
        """Whether it was seen to have replayed at least what another reader has."""
        return other.progress is None or self.has_replayed(other.progress.position)

    def vouches_for(self, lease: Lease) -> bool:
        """Whether what is known of the reader holds for this connection.

        A replica that restarts serves again from its last consistent point, which may lie before what it showed
        earlier. Restarting ends every connection, so what it said holds for those that are older than its words.
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
        """Return the connection of a call that its caller gave up: it was not answered, and that is no error."""
        reader, now = self.reader, asyncio.get_running_loop().time()
        reader.in_flight -= 1
        reader.latency = peak_ewma(reader.latency, now - self._started, now - reader.sampled_at)
        reader.sampled_at = now
        self._end()

    def give_back(self) -> None:
        """Return the connection of a call that was answered, and count what it took."""
        reader, now = self.reader, asyncio.get_running_loop().time()
        reader.in_flight -= 1
        reader.served += 1
        if reader.record.errors:
            reader.record = reader.record.succeeded()
        reader.latency = peak_ewma(reader.latency, now - self._started, now - reader.sampled_at)
        reader.sampled_at = now
        self._end()

    def unused(self) -> None:
        """Return the connection without a call: nothing was served, and nothing learned of the latency."""
        self.reader.in_flight -= 1
        self._end()

    def failed(self, failure: Failure) -> None:
        """Return the connection after an error.

        A reader that lost the call gets no more reads until it was seen again; one that only ran out of time, or
        cancelled the query because replaying was in its way, stays in use.
        """
        reader = self.reader
        reader.in_flight -= 1
        if failure in _LOSSES:
            reader.progress = None
            reader.pool.suspect()
        if failure in _LOSSES or failure is Failure.TIMEOUT:
            self._readers.blame(reader)
        self._end()


class Borrowed(ReaderCall):
    """A reader's connection on loan, and the clock of the call."""

    __slots__ = ("lease",)

    def __init__(self, readers: Readers, reader: Reader, lease: Lease) -> None:
        super().__init__(readers, reader)
        self.lease = lease

    @override
    def _end(self) -> None:
        self.lease.give_back()


class Readers:
    """Check out readers that have replayed what a read must see.

    Attributes:
        sent_to_writer: reads that a reader might have answered and that went to the writer.
    """

    def __init__(self, cluster: Cluster, owner: TaskOwner, spill: float | None = None) -> None:
        """Begin to watch.

        Args:
            cluster: whose readers.
            owner: of the task that watches.
            spill: the share of reads that the writer takes over at most, from 0 to 1; None for no limit.
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
        """Every reader of the cluster, whether it can serve now or not."""
        self._follow_topology()
        return self._all

    async def borrow(
        self, position: Position | None, deadline: Deadline, avoid: Reader | None = None, scope: Scope = NO_SCOPE
    ) -> Borrowed | None:
        """Lend a reader that has replayed a position; None sends the read to the writer.

        Args:
            position: what the read must see; ``START`` for whatever is there, None for what only the writer shows.
            deadline: of the whole call.
            avoid: a reader that is not to be asked (again).
            scope: the tenant, role and schema that the session is to be set up for.

        Raises:
            StaleReadError: the writer has taken over as many reads as it may.
        """
        self._budget = self._budget.read()
        borrowed = None if position is None else await self._fresh(position, deadline, avoid, scope)
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
        """Whether a position that another process gives can be compared with what the readers say.

        It cannot if it is of another history than the writer's, as we know it: from before a failover, or from after
        one that this process has not noticed. The writer is then asked which one is true.
        """
        return not self._cluster.takes_writes or self._history.holds(position)

    def blame(self, reader: Reader) -> None:
        """Count an error against a reader; several in a row eject it."""
        now = asyncio.get_running_loop().time()
        others = sum(other.record.is_ejected(now) for other in self._known.values() if other is not reader)
        reader.record = reader.record.failed(now, others_ejected=others, fleet=len(self._known))
        self._ejected_until = max(self._ejected_until, reader.record.until)

    def _spill(self) -> None:
        left = self._budget.spilled()
        if left is None:
            raise StaleReadError(
                "no reader shows what this read must see, and the writer takes over no more than "
                f"{self._budget.share:.0%} of all reads: try again in a moment, read with consistency='eventual', or "
                "connect with a higher spill="
            )
        self._budget = left

    async def _fresh(
        self, position: Position, deadline: Deadline, avoid: Reader | None, scope: Scope
    ) -> Borrowed | None:
        now = asyncio.get_running_loop().time
        reader, is_fresh = self.pick(position, now(), avoid)
        borrowed = (
            None if reader is None else await self._shown_by(reader, position, deadline, scope, is_fresh=is_fresh)
        )
        if borrowed is None and reader is not None:  # another one may have been seen to show it
            reader, is_fresh = self.pick(position, now(), avoid)
            if reader is not None and is_fresh:
                borrowed = await self._shown_by(reader, position, deadline, scope, is_fresh=True)
        return borrowed

    async def _shown_by(
        self, reader: Reader, position: Position, deadline: Deadline, scope: Scope, *, is_fresh: bool
    ) -> Borrowed | None:
        borrowed = await self._lend(reader, deadline, scope)
        if borrowed is None or (is_fresh and reader.vouches_for(borrowed.lease)):
            return borrowed
        return borrowed if await _catches_up(borrowed, position, deadline) else None

    def pick(self, position: Position, now: float, avoid: Reader | None = None) -> tuple[Reader | None, bool]:
        """Choose a reader, by what is known of all of them.

        One that was not yet seen to show the position counts as much as one that was, if it was near the writer when
        it last spoke: it need only be asked. Otherwise all reads after a write would go to whoever answered first.

        Args:
            position: what the read must see.
            now: seconds on the loop's clock.
            avoid: a reader that is not to be asked.

        Returns:
            The reader, and whether it was seen to show the position; if not, it is one that is likely to in a moment.
        """
        readers, first, second = self.known(), random.random(), random.random()  # noqa: S311 - balancing, not a secret
        ejects = now < self._ejected_until
        if readers and not ejects:  # most often any two will do, and the others need not be looked at
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

    async def _lend(self, reader: Reader, deadline: Deadline, scope: Scope) -> Borrowed | None:
        lease = reader.pool.take(asyncio.get_running_loop().time())
        if lease is None or lease.scope is not scope:
            if lease is not None:
                lease.give_back()
            try:
                lease = await reader.pool.acquire(Deadline.after(deadline.bounded(_WATCH_TIMEOUT)), scope)
            except (RdskitError, Retired):
                reader.progress = None  # not to be chosen again until the watch has reached it
                self.blame(reader)
                return None
        return Borrowed(self, reader, lease)

    def _follow_topology(self) -> None:
        if self._failures != self._cluster.failures:
            # The writer failed: until it is known better, each reader may hold a history that the next one never had.
            self._failures = self._cluster.failures
            self._quarantine()
            self._wake.set()
        if self._pools is not self._cluster.readers:  # each look at the topology makes another mapping
            self._pools = self._cluster.readers
            self._follow_pools()

    def _follow_pools(self) -> None:
        known = {name: self._reader(name, pool) for name, pool in self._pools.items()}
        if known != self._known:
            self._known, self._all = known, tuple(known.values())
            self._wake.set()

    def _reader(self, name: str, pool: Pool) -> Reader:
        """The reader of this pool. A pool that was left lends nothing any more, so another one needs another reader."""
        before = self._known.get(name)
        if before is not None and before.pool is pool:
            return before
        reader = Reader(name, pool)
        if before is not None:  # a quarantine is not left by moving
            reader.admission, reader.served = before.admission, before.served
        return reader

    def _quarantine(self) -> None:
        for reader in self._known.values():
            reader.admission = QUARANTINED

    async def _watch(self) -> None:
        readers = self.known()
        suspects = [reader for reader in readers if not reader.admission.admitted]
        asks = suspects or (readers and self._history.is_open and self._cluster.takes_writes)
        told = await self._asked_writer() if asks else None
        await asyncio.gather(*(self._look_at(reader, told) for reader in readers))
        if any(not reader.admission.admitted for reader in readers):
            await asyncio.sleep(_WATCH_SOON)
            self._wake.set()

    async def _asked_writer(self) -> Told | None:
        """What the writer says; None where it says nothing now."""
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
            position = None  # it keeps none that this user may see
        finally:
            lease.give_back()
        if self._history.told(position):
            self._quarantine()
        return Told(position)

    async def _look_at(self, reader: Reader, told: Told | None) -> None:
        try:
            lease = await reader.pool.acquire(Deadline.after(_WATCH_TIMEOUT))
        except (RdskitError, Retired):
            reader.progress = None
            return
        try:
            progress = await _ask(reader, lease.connection.reader_progress(_WATCH_TIMEOUT))
        except DriverError:
            reader.progress = None
            return
        finally:
            lease.give_back()
        if told is None:
            reader.admission = reader.admission if reader.admission.admitted else QUARANTINED
        else:
            reader.admission = next_admission(reader.admission, told.position, progress)


async def _ask(reader: Reader, question: Coroutine[Any, Any, ReaderProgress]) -> ReaderProgress:
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


async def _catches_up(borrowed: Borrowed, position: Position, deadline: Deadline) -> bool:
    """Wait for a borrowed reader; it is given back when it takes too long."""
    reader, lease, now = borrowed.reader, borrowed.lease, asyncio.get_running_loop().time
    end, pause, took = min(now() + _CATCH_UP, deadline.due), _FIRST_PAUSE, 0.0
    try:
        while (asked_at := now()) + took < end:  # a question that is given up costs the connection a cleaning
            await _ask(reader, lease.run(lease.connection.reader_progress(None), end))
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
