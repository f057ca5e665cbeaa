"""What a benchmark of failovers counts: values, and pure functions from what was observed to what is printed."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEADLINE = 60.0
"""Seconds after a fault within which every writer must be back."""
DIED = "its process died"
"""How the one error begins of a contender whose process ended by itself, so that it could tell nothing else."""
KILL_ALLOWANCE = 0.1
"""Seconds that a client may add to the promotion when the writer's process ends."""
SILENCE_ALLOWANCE = 0.2
"""Seconds that it may add to detection and promotion when the writer only falls silent."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What one load saw; moments are of the system's monotonic clock.

    Attributes:
        acknowledged: writer, key and moment of each write that was acknowledged.
        errors: moment and class of each exception that the application saw.
        attempts: moments at which the driver was asked to connect.
        end: when the load was asked to end.
    """

    acknowledged: Sequence[tuple[int, int, float]]
    errors: Sequence[tuple[float, str]]
    attempts: Sequence[float]
    end: float


@dataclass(frozen=True, slots=True)
class Event:
    """A fault and what the local RDS did about it.

    Attributes:
        fault: its name.
        at: when it was asked for, of the monotonic clock.
        ended: when the old writer was ended, of the same clock; None where nothing was promoted.
        promotion: seconds from then to the new writer's first write, as the local RDS reports.
    """

    fault: str
    at: float
    ended: float | None
    promotion: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """One fault under one contender's load. Times are in seconds.

    Attributes:
        contender: who.
        fault: what.
        back: whether every writer was back before the deadline.
        outage: the longest time without an acknowledged write, over all writers.
        last_writer: the longest such time of any single writer.
        detection: of the outage, what passed before the local RDS ended the old writer; None without a promotion.
        promotion: as the local RDS reports.
        attempts: connections that the driver was asked for since the fault.
        errors: exceptions that the application saw, by class.
        left_over: connections on the servers after everything was closed.
        lost: acknowledged writes that are not there.
        duplicated: writes that are there twice.
        acknowledged: writes in all.
        opened: whether its connections were at work before the fault; if not, the fault was not injected.
    """

    contender: str
    fault: str
    back: bool
    outage: float
    last_writer: float
    detection: float | None
    promotion: float | None
    attempts: int
    errors: Mapping[str, int]
    left_over: int
    lost: int
    duplicated: int
    acknowledged: int
    opened: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds of one contender with one fault; medians and the worst. Times are in seconds.

    Attributes:
        contender: who.
        fault: what.
        rounds: how many.
        unopened: rounds in which its connections were never at work: there was no fault, and they count nowhere else.
        died_opening: of these, rounds in which its process ended.
        never: rounds in which not every writer came back before the deadline; all, where it was never at work.
        died: of these, rounds in which its process ended.
        outage: median of the outages; a round that never ended counts with its deadline.
        worst: the longest.
        last_writer: median of the longest time that any single writer waited, over the rounds in which it came back.
        excess: median of outage - promotion.
        silence_excess: median of outage - (detection + promotion).
        promotion: median.
        detection: median.
        attempts: median over the rounds in which it came back: who never does connects little, and sees few errors.
        errors: median number of exceptions that the application saw, over the same rounds.
        left_over: the most connections left in any round.
        lost: of all rounds together.
        duplicated: of all rounds together.
    """

    contender: str
    fault: str
    rounds: int
    unopened: int
    died_opening: int
    never: int
    died: int
    outage: float
    worst: float
    last_writer: float
    excess: float | None
    silence_excess: float | None
    promotion: float | None
    detection: float | None
    attempts: float
    errors: float
    left_over: int
    lost: int
    duplicated: int


def longest_gap(moments: Iterable[float], end: float) -> tuple[float, float]:
    """Beginning and length of the longest time without a moment, up to ``end``; 0 long where there is none."""
    ordered = sorted(moments)
    if not ordered:
        return end, 0.0
    gaps = ((early, late - early) for early, late in pairwise([*ordered, max(end, ordered[-1])]))
    return max(gaps, key=lambda gap: gap[1])


def round_of(
    contender: str, event: Event, journal: Journal, present: Mapping[int, int], *, back: bool, left_over: int
) -> Round:
    """Settle the accounts of one round.

    Args:
        contender: who.
        event: what happened.
        journal: what the application saw.
        present: how often each key is in the table.
        back: whether every writer was back before the deadline.
        left_over: connections on the servers after everything was closed.
    """
    by_writer: dict[int, list[float]] = {}
    for writer, _, moment in journal.acknowledged:
        by_writer.setdefault(writer, []).append(moment)
    begun, outage = longest_gap((moment for _, _, moment in journal.acknowledged), journal.end)
    return Round(
        contender=contender,
        fault=event.fault,
        back=back,
        outage=outage,
        last_writer=max((longest_gap(moments, journal.end)[1] for moments in by_writer.values()), default=0.0),
        detection=None if event.ended is None else max(0.0, event.ended - begun),
        promotion=event.promotion,
        attempts=sum(moment >= event.at for moment in journal.attempts),
        errors=dict(Counter(name for moment, name in journal.errors if moment >= event.at)),
        left_over=left_over,
        lost=sum(key not in present for _, key, _ in journal.acknowledged),
        duplicated=sum(count > 1 for count in present.values()),
        acknowledged=len(journal.acknowledged),
    )


def summary_of(played: Sequence[Round]) -> Summary:
    """Put the rounds of one contender with one fault together."""
    rounds = [each for each in played if each.opened] or played
    finished = [each for each in rounds if each.back] or rounds
    outages = [each.outage if each.back else max(each.outage, DEADLINE) for each in rounds]
    told = [(out, one.detection, one.promotion) for out, one in zip(outages, rounds, strict=True)]
    known = [(out, seen, took) for out, seen, took in told if seen is not None and took is not None]
    return Summary(
        contender=rounds[0].contender,
        fault=rounds[0].fault,
        rounds=len(rounds),
        unopened=sum(not each.opened for each in played),
        died_opening=sum(not each.opened and _died(each) for each in played),
        never=sum(not each.back for each in rounds),
        died=sum(_died(each) for each in rounds),
        outage=statistics.median(outages),
        worst=max(outages),
        last_writer=statistics.median(each.last_writer for each in finished),
        excess=_median(out - took for out, _, took in known),
        silence_excess=_median(out - seen - took for out, seen, took in known),
        promotion=_median(took for _, _, took in known),
        detection=_median(seen for _, seen, _ in known),
        attempts=statistics.median(each.attempts for each in finished),
        errors=statistics.median(sum(each.errors.values()) for each in finished),
        left_over=max(each.left_over for each in rounds),
        lost=sum(each.lost for each in rounds),
        duplicated=sum(each.duplicated for each in rounds),
    )


def _died(played: Round) -> bool:
    return any(name.startswith(DIED) for name in played.errors)


def missed_gates(summaries: Sequence[Summary], ours: str) -> list[str]:
    """Return the limits that did not hold: rdskit's own, and being ahead of every other contender in every column.

    Args:
        summaries: of all contenders and faults.
        ours: the name of the contender that is judged.
    """
    missed = []
    for own in (each for each in summaries if each.contender == ours):
        missed += _own_limits(own)
        others = [each for each in summaries if each.fault == own.fault and _is_a_rival(each, ours)]
        missed += [claim for other in others for claim in _behind(own, other)]
    return missed


def _is_a_rival(other: Summary, ours: str) -> bool:
    """Return whether it is another project's contender that came back in at least one round."""
    return not other.contender.startswith(ours) and other.never < other.rounds


def _own_limits(own: Summary) -> list[str]:
    claims = {
        f"{own.fault}: every writer back within {DEADLINE:g} s": not own.never,
        f"{own.fault}: nothing lost, nothing twice": not own.lost and not own.duplicated,
        f"{own.fault}: a failover happened in every round": own.promotion is not None,
    }
    if own.fault == "kill":
        claims[f"kill: outage - promotion within {KILL_ALLOWANCE * 1000:g} ms"] = _within(own.excess, KILL_ALLOWANCE)
    elif own.fault in ("hang", "blackhole"):
        claim = f"{own.fault}: outage within detection + promotion + {SILENCE_ALLOWANCE * 1000:g} ms"
        claims[claim] = _within(own.silence_excess, SILENCE_ALLOWANCE)
    return [claim for claim, holds in claims.items() if not holds]


def _behind(own: Summary, other: Summary) -> list[str]:
    columns = {
        "outage": own.outage <= other.outage,
        "connect attempts": own.attempts <= other.attempts,
        "errors": own.errors <= other.errors,
        "left over": own.left_over <= other.left_over,
        "lost": own.lost <= other.lost,
        "twice": own.duplicated <= other.duplicated,
    }
    return [f"{own.fault}: {column} behind {other.contender}" for column, ahead in columns.items() if not ahead]


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None
