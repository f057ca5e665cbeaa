"""Decide which readers may serve a read, and choose one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.kernel.ports import ReaderProgress
    from rdskit.kernel.positions import Position

LAG_LIMIT = 10.0  # seconds of lag above which a reader gets no reads, until it has less than half of that
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds for which reads do not wait for a reader that failed to catch up
_TIME_CONSTANT = 1.0  # seconds in which a latency decays to 1/e


class Admission(NamedTuple):
    """Whether a reader is known to replicate from the current writer.

    After a failover a reader may have received log records that the new writer never had. Its LSN or MariaDB position
    then looks far ahead, although the reader stands still. A single position cannot reveal that, but two can: once the
    new writer has written beyond everything that the reader had received, only a reader that replicates from it gets
    there. (On MariaDB the new writer refuses a reader whose last transaction it never had.) A MySQL GTID set reveals it
    at once: the writer's set never covers what the reader has received.
    Aurora's readers share the writer's storage, so they cannot have other data. One is admitted as soon as it shows
    what the new writer showed.

    Attributes:
        admitted: it replicates from the current writer.
        received: the end of its log when it was last asked, after the new writer had answered.
        target: a position of the new writer beyond ``received``; the reader is admitted once it has replayed it.
    """

    admitted: bool
    received: Position | None = None
    target: Position | None = None


QUARANTINED = Admission(admitted=False)
ADMITTED = Admission(admitted=True)


def next_admission(before: Admission, writer_position: Position | None, progress: ReaderProgress) -> Admission:
    """Return a reader's admission after one more probe of the writer and the reader.

    Without positions, a reader is admitted once its replication is running. That suffices, because such a reader gets
    no reads that must show a certain write.

    Args:
        before: the admission so far.
        writer_position: the writer's position, read after the failover and before ``progress``; None if the writer
            keeps no positions.
        progress: the reader's progress.
    """
    if before.admitted or not progress.replays:
        return before
    if writer_position is None:
        return ADMITTED if math.isfinite(progress.lag) else before
    target = _target(before, writer_position)
    if target is not None and progress.position.covers(target):
        return ADMITTED
    return Admission(admitted=False, received=progress.received, target=target)


def _target(before: Admission, writer_position: Position) -> Position | None:
    """Return what the reader must replay to be admitted; None while it may hold data that the writer never had."""
    if before.received is None or not writer_position.covers(before.received):
        return None
    if before.target is None and before.received.covers(writer_position):
        return None
    return before.target or writer_position


def lags(lag: float, *, was_lagging: bool) -> bool:
    """Return whether a reader is too far behind; with hysteresis, so that it does not alternate."""
    return lag > (LAG_LIMIT / 2 if was_lagging else LAG_LIMIT)


def peak_ewma(average: float, sample: float, elapsed: float) -> float:
    """Return a reader's latency average after one more sample, in seconds.

    A sample above the average replaces it at once; one below lowers it with a time constant of one second (Finagle's
    peak EWMA). So a reader that becomes slow gets fewer reads immediately.
    """
    if sample >= average:
        return sample
    weight = math.exp(-elapsed / _TIME_CONSTANT)
    return average * weight + sample * (1.0 - weight)


def expected_wait(latency: float, in_flight: int, elapsed: float) -> float:
    """Return the cost of one more call at a reader in seconds: its latency times its queue, the new call included.

    The latency of an idle reader decays, as in Finagle. Otherwise one slow call could keep all reads away for good,
    because an idle reader gives no new samples. While calls are in flight, it does not decay.

    Args:
        latency: its latency average, in seconds.
        in_flight: calls that it has not answered.
        elapsed: seconds since its last answer.
    """
    if in_flight:
        return latency * (in_flight + 1)
    return latency * math.exp(-elapsed / _TIME_CONSTANT)


T = TypeVar("T")


def pause_after_misses(misses: int) -> float:
    """Return for how many seconds no read waits for a reader that failed to catch up in time.

    In this time the reader still serves reads of positions that it is known to show.

    Args:
        misses: how often in a row a read waited for it without success.
    """
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(misses - 1, 10)) if misses else 0.0


def two_of(count: int, first: float, second: float) -> tuple[int, int]:
    """Return two different numbers below ``count``, each pair with equal probability; (0, 0) if ``count`` is 1.

    Args:
        count: at least 1.
        first: a random number from [0, 1).
        second: another one.
    """
    one = int(first * count)
    return one, (one + 1 + int(second * (count - 1))) % count if count > 1 else one


def choose(candidates: Sequence[T], wait: Callable[[T], float], first: float, second: float) -> T:
    """Return the cheaper one of two random readers ("power of two choices").

    Args:
        candidates: at least one.
        wait: returns a reader's cost, as ``expected_wait`` does; called for two readers only.
        first: a random number from [0, 1).
        second: another one.
    """
    one, other = two_of(len(candidates), first, second)
    mine, theirs = candidates[one], candidates[other]
    return mine if wait(mine) <= wait(theirs) else theirs
