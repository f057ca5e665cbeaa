"""Compute the figures of a run from its observations, by pure functions."""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from rdskit.demo.model import Figures, Outcome, Pulse, Read, Report, Slice, Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.demo.model import Books, Failover, Journal

SLICE = 0.1  # seconds of a slice of the timeline, longer when there would be more than MOST_SLICES
MOST_SLICES = 300
CLOSE_UP = (0.4, 0.9)  # seconds before and after the failover for which the report keeps each write

_Call = TypeVar("_Call", Write, Read)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed (nearest rank); 0 for no values."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def longest_gap(moments: Sequence[float], end: float) -> tuple[float, float]:
    """Return the longest interval without a write, from the first one to ``end``.

    Args:
        moments: when writes were acknowledged, in any order.
        end: when the load ended; an interval that lasts until then counts too.

    Returns:
        Where the interval starts and ends; two equal moments where there is none.
    """
    ordered = sorted(moments)
    bounded = [*ordered, max(end, ordered[-1])] if ordered else [end, end]
    return max(pairwise(bounded), key=lambda pair: pair[1] - pair[0])


def first_writes_after(writes: Iterable[Write], failover: Failover, writers: int) -> tuple[float | None, ...]:
    """Return each writer's seconds from the failover to its first acknowledged write on the new primary.

    A response that was in transit when the old primary died does not count, only writes that end after the new primary
    accepts writes.
    """
    firsts: dict[int, float] = {}
    for write in writes:
        if write.outcome is Outcome.ACKNOWLEDGED and write.ended >= failover.accepted:
            firsts[write.writer] = min(write.ended, firsts.get(write.writer, write.ended))
    return tuple(firsts[writer] - failover.at if writer in firsts else None for writer in range(writers))


def figures_of(journal: Journal, books: Books, failover: Failover | None, *, writers: int, end: float) -> Figures:
    """Compute the figures of a run.

    Args:
        journal: the application's observations.
        books: the database's contents.
        failover: the failover of the run; None if there was none.
        writers: the number of writers.
        end: when the load ended.
    """
    keys = {outcome: {w.key for w in journal.writes if w.outcome is outcome} for outcome in Outcome}
    acknowledged = [write for write in journal.writes if write.outcome is Outcome.ACKNOWLEDGED]
    answered = [read for read in journal.reads if read.found is not None]
    gap = longest_gap([write.ended for write in acknowledged], end)
    firsts = first_writes_after(journal.writes, failover, writers) if failover else ()
    returned = [first for first in firsts if first is not None]
    return Figures(
        acknowledged=len(acknowledged),
        present=sum(books.orders.values()),
        lost=len(keys[Outcome.ACKNOWLEDGED] - books.orders.keys()),
        duplicated=sum(count > 1 for count in books.orders.values()),
        unknown=len(keys[Outcome.UNKNOWN]),
        unknown_present=len(keys[Outcome.UNKNOWN] & books.orders.keys()),
        failed=len(keys[Outcome.FAILED]),
        failed_present=len(keys[Outcome.FAILED] & books.orders.keys()),
        reads=len(answered),
        stale_reads=sum(read.found is False for read in answered),
        failed_reads=len(journal.reads) - len(answered),
        outage_ms=milliseconds(gap[1] - gap[0]),
        promotion_ms=milliseconds(failover.promotion) if failover else None,
        first_write_after_ms=milliseconds(percentile(returned, 0.99)) if returned else None,
        first_write_after_ms_per_writer=tuple(None if first is None else milliseconds(first) for first in firsts),
        write_p50_ms=latency(acknowledged, 0.5),
        write_p99_ms=latency(acknowledged, 0.99),
        read_p50_ms=latency(answered, 0.5),
        read_p99_ms=latency(answered, 0.99),
        unpaid=books.unpaid,
        stock_difference=books.stock_difference,
        errors=errors_of(journal),
    )


def errors_of(journal: Journal) -> dict[str, int]:
    """Count the exceptions that reached the application by class, the most frequent first."""
    counts = Counter(write.error for write in journal.writes) + Counter(read.error for read in journal.reads)
    return {error: count for error, count in counts.most_common() if error is not None}


def complaints(figures: Figures) -> list[str]:
    """Return the reasons why a run failed; empty if it succeeded."""
    found = {
        f"{figures.lost} acknowledged orders are lost": figures.lost,
        f"{figures.duplicated} orders are there twice": figures.duplicated,
        f"{figures.stale_reads} reads did not see an order acknowledged before": figures.stale_reads,
        f"{figures.failed_present} orders are there although their calls reported a failure": (figures.failed_present),
        f"{figures.unpaid} orders have no payment, or several": figures.unpaid,
        f"the stock is off by {figures.stock_difference}": figures.stock_difference,
        "nothing was written": figures.acknowledged == 0,
        "no failover happened": figures.promotion_ms is None,
        "not every writer came back after the failover": None in figures.first_write_after_ms_per_writer,
    }
    return [complaint for complaint, wrong in found.items() if wrong]


def slices(journal: Journal, width: float, end: float) -> list[Slice]:
    """Divide the run into intervals of ``width`` seconds, by the end of each call."""
    writes = _by_slice((w for w in journal.writes if w.outcome is Outcome.ACKNOWLEDGED), width)
    reads = _by_slice((read for read in journal.reads if read.found is not None), width)
    return [_slice(number * width, writes[number], reads[number]) for number in range(int(end / width) + 1)]


def close_up(journal: Journal, failover: Failover | None, around: tuple[float, float]) -> tuple[tuple[int, float], ...]:
    """Return writer and time of each write that was acknowledged around a failover."""
    if failover is None:
        return ()
    start, end = failover.at - around[0], failover.at + around[1]
    acknowledged = (write for write in journal.writes if write.outcome is Outcome.ACKNOWLEDGED)
    return tuple((write.writer, write.ended) for write in acknowledged if start <= write.ended <= end)


def report_of(
    journal: Journal,
    books: Books,
    failover: Failover | None,
    *,
    title: str,
    started_at: str,
    writers: int,
    readers: int,
    seconds: float,
    interrupted: bool,
    zones: tuple[str, str],
) -> Report:
    """Compute the report of a run.

    Args:
        journal: the application's observations.
        books: the database's contents.
        failover: the failover of the run; None if there was none.
        title: what ran.
        started_at: UTC, ISO 8601.
        writers: how many writers there were.
        readers: how many readers.
        seconds: how long the load lasted.
        interrupted: whether it was interrupted.
        zones: availability zone of the primary before and after.
    """
    figures = figures_of(journal, books, failover, writers=writers, end=seconds)
    moments = [write.ended for write in journal.writes if write.outcome is Outcome.ACKNOWLEDGED]
    return Report(
        title=title,
        started_at=started_at,
        seconds=seconds,
        writers=writers,
        readers=readers,
        interrupted=interrupted,
        figures=figures,
        complaints=tuple(complaints(figures)),
        failover=failover,
        outage=longest_gap(moments, seconds),
        zones=zones,
        slices=tuple(slices(journal, max(SLICE, seconds / MOST_SLICES), seconds)),
        close_up=close_up(journal, failover, CLOSE_UP),
    )


def pulse_of(journal: Journal, now: float) -> Pulse:
    """Return the load over the last second before ``now``, and the counts so far."""
    writes = [w for w in _since(journal.writes, now - 1.0) if w.outcome is Outcome.ACKNOWLEDGED]
    span = min(max(now, 0.1), 1.0)
    return Pulse(
        elapsed=now,
        orders_per_second=len(writes) / span,
        reads_per_second=len(_since(journal.reads, now - 1.0)) / span,
        p50_ms=latency(writes, 0.5),
        p99_ms=latency(writes, 0.99),
        acknowledged=journal.outcomes[Outcome.ACKNOWLEDGED],
        unknown=journal.outcomes[Outcome.UNKNOWN],
        failed=journal.outcomes[Outcome.FAILED],
        stale_reads=journal.stale_reads,
    )


def latency(calls: Sequence[Write | Read], share: float) -> float:
    """Return a percentile of the calls' latency in milliseconds."""
    return milliseconds(percentile([call.latency for call in calls], share))


def milliseconds(seconds: float) -> float:
    """Convert seconds to milliseconds, rounded to the microsecond."""
    return round(seconds * 1000, 3)


def _since(calls: Sequence[_Call], moment: float) -> Sequence[_Call]:
    """Return the calls that ended after a time; calls are in the order in which they ended."""
    return calls[bisect.bisect_right(calls, moment, key=lambda call: call.ended) :]


def _by_slice(calls: Iterable[_Call], width: float) -> defaultdict[int, list[_Call]]:
    found: defaultdict[int, list[_Call]] = defaultdict(list)
    for call in calls:
        found[int(call.ended / width)].append(call)
    return found


def _slice(start: float, writes: list[Write], reads: list[Read]) -> Slice:
    return Slice(
        start=round(start, 3),
        writes=len(writes),
        reads=len(reads),
        write_p50=latency(writes, 0.5) if writes else None,
        write_p99=latency(writes, 0.99) if writes else None,
        read_p99=latency(reads, 0.99) if reads else None,
    )
