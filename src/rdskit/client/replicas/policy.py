"""Which reader may answer, and which one shall."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.kernel.ports import ReaderProgress
    from rdskit.kernel.positions import Position

LAG_LIMIT = 10.0  # seconds behind at which a reader of RDS gets no more reads; it comes back at half of that
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds for which a reader that did not catch up is not waited for
_TIME_CONSTANT = 1.0  # seconds over which a latency is forgotten


class Admission(NamedTuple):
    """Whether a reader follows the writer that we write to.

    After a failover a reader may have received log that the new writer never had. A log sequence number and a MariaDB
    position then look far ahead while the reader stands still; one alone cannot show that, but two of them can: once
    the new writer has written beyond everything the reader had, only a reader that really follows it gets there.
    (MariaDB has the new writer refuse a reader whose last transaction it never had.) A MySQL set shows it at once: the
    writer's set never comes to cover what the reader has received.
    Readers of Aurora share the writer's storage and receive nothing that could differ from it: one is admitted as soon
    as it shows what the new writer showed.

    Attributes:
        admitted: it follows.
        received: how far its log reached when it was last asked, after the new writer had answered.
        target: a position of the new writer beyond ``received``, which it must replay to be admitted.
    """

    admitted: bool
    received: Position | None = None
    target: Position | None = None


QUARANTINED = Admission(admitted=False)
ADMITTED = Admission(admitted=True)


def next_admission(before: Admission, writer_position: Position | None, progress: ReaderProgress) -> Admission:
    """Decide after one more look at writer and reader.

    Without positions all that can be seen is that replication goes on. That is enough for what such a reader is asked:
    nothing that has to show a write.

    Args:
        before: the state so far.
        writer_position: the writer's position, taken since the failover and before ``progress``; None if it said that
            it keeps none.
        progress: the reader's.
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
    """What the reader must replay; None as long as it may hold what the writer never had."""
    if before.received is None or not writer_position.covers(before.received):
        return None
    if before.target is None and before.received.covers(writer_position):
        return None
    return before.target or writer_position


def lags(lag: float, *, was_lagging: bool) -> bool:
    """Whether a reader is too far behind, with hysteresis so that it does not come and go."""
    return lag > (LAG_LIMIT / 2 if was_lagging else LAG_LIMIT)


def peak_ewma(average: float, sample: float, elapsed: float) -> float:
    """Fold one latency into a reader's average, in seconds.

    A sample above the average replaces it at once, one below pulls it down with a time constant of one second
    (Finagle's peak EWMA), so that a reader that turns slow is left alone immediately.
    """
    if sample >= average:
        return sample
    weight = math.exp(-elapsed / _TIME_CONSTANT)
    return average * weight + sample * (1.0 - weight)


def expected_wait(latency: float, in_flight: int, elapsed: float) -> float:
    """What one more call costs at a reader, in seconds: its latency times the queue, oneself included.

    A reader that has nothing to do is forgiven with time, as by Finagle: it gives no samples that could pull its
    latency down, and one slow call would keep it from all others for good. One that owes an answer is not forgiven.

    Args:
        latency: its average, in seconds.
        in_flight: calls that it has not answered.
        elapsed: seconds since its last answer.
    """
    if in_flight:
        return latency * (in_flight + 1)
    return latency * math.exp(-elapsed / _TIME_CONSTANT)


T = TypeVar("T")


def pause_after_misses(misses: int) -> float:
    """How long nobody waits for a reader that did not catch up in time, in seconds; it may serve whatever it shows.

    Args:
        misses: how often in a row somebody waited for it in vain.
    """
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(misses - 1, 10)) if misses else 0.0


def two_of(count: int, first: float, second: float) -> tuple[int, int]:
    """Two different numbers below ``count``, each pair as likely as any other; the same one twice if there is but one.

    Args:
        count: at least 1.
        first: a random number from [0, 1).
        second: another one.
    """
    one = int(first * count)
    return one, (one + 1 + int(second * (count - 1))) % count if count > 1 else one


def choose(candidates: Sequence[T], wait: Callable[[T], float], first: float, second: float) -> T:
    """Power of two choices: of two readers taken at random, the one that costs less.

    Args:
        candidates: at least one.
        wait: what one costs, as ``expected_wait`` says; asked for two of them only.
        first: a random number from [0, 1).
        second: another one.
    """
    one, other = two_of(len(candidates), first, second)
    mine, theirs = candidates[one], candidates[other]
    return mine if wait(mine) <= wait(theirs) else theirs
