"""The observations of a demo run and the figures derived from them. Times are seconds on the run's own clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(Enum):
    """The outcome of a write for the application."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Write:
    """One order, as its writer saw it.

    Attributes:
        key: the order's business key, the same for all attempts.
        writer: number of the writer.
        started: when the call was made.
        ended: when it returned or raised.
        outcome: the outcome.
        error: class of the exception, None when it returned.
    """

    key: str
    writer: int
    started: float
    ended: float
    outcome: Outcome
    error: str | None = None

    @property
    def latency(self) -> float:
        """Seconds the application waited."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Read:
    """One read of an order that was acknowledged to the same session before.

    Attributes:
        started: when the call was made.
        ended: when it returned or raised.
        found: whether the order was visible; None if the call raised.
        error: class of the exception, None when it returned.
    """

    started: float
    ended: float
    found: bool | None
    error: str | None = None

    @property
    def latency(self) -> float:
        """Seconds the application waited."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Failover:
    """A failover, as the local RDS recorded it.

    Attributes:
        at: when the old primary was killed.
        promotion: seconds from there to the first write that the new primary accepted from the local RDS's own probe.
        rebuilt: when the old primary was a standby in sync again; None if that took longer than the run.
    """

    at: float
    promotion: float
    rebuilt: float | None = None

    @property
    def accepted(self) -> float:
        """When the new primary accepted its first write."""
        return self.at + self.promotion


@dataclass(frozen=True, slots=True)
class Books:
    """The contents of the database at the end.

    Attributes:
        orders: by business key of the run, the number of its rows.
        unpaid: orders without exactly one payment.
        stock_difference: articles that left the stock without an order, or the other way round.
    """

    orders: Mapping[str, int]
    unpaid: int
    stock_difference: int


@dataclass(slots=True)
class Journal:
    """All observations of a run, in the order in which the calls ended.

    Attributes:
        writes: each order.
        reads: each read of one.
        outcomes: how many writes ended how, so far.
        stale_reads: how many reads did not find their order, so far.
    """

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    stale_reads: int = 0

    def note_write(self, write: Write) -> None:
        """Record a write that has just ended."""
        self.writes.append(write)
        self.outcomes[write.outcome] += 1

    def note_read(self, read: Read) -> None:
        """Record a read that has just ended."""
        self.reads.append(read)
        self.stale_reads += read.found is False


@dataclass(frozen=True, slots=True)
class Figures:
    """The accounts of a run; ``rdskit demo --json`` writes them under these names.

    Attributes:
        acknowledged: writes that returned to the application.
        present: orders of this run that the database holds.
        lost: acknowledged and absent.
        duplicated: business keys with more than one row.
        unknown: writes that ended in ``OutcomeUnknown``.
        unknown_present: how many of those took effect.
        failed: writes that ended in any other error, which promises that they had no effect.
        failed_present: how many of those broke that promise.
        reads: successful reads of an acknowledged order of the same session.
        stale_reads: reads that did not find the order.
        failed_reads: reads that raised.
        outage_ms: longest interval without an acknowledged write over all writers together.
        promotion_ms: from the signal that ends the old primary to the first write that the new one accepts from the
            local RDS's own probe; None when there was no failover.
        first_write_after_ms: from that signal to a writer's first acknowledged write on the new primary, 99th
            percentile over the writers; None when there was no failover or no writer came back.
        first_write_after_ms_per_writer: the same for each writer, in their order; None for one that never came back.
        write_p50_ms, write_p99_ms, read_p50_ms, read_p99_ms: latency over the whole run.
        unpaid: orders without exactly one payment.
        stock_difference: articles that left the stock without an order, or the other way round.
        errors: how often each class of exception reached the application.
    """

    acknowledged: int
    present: int
    lost: int
    duplicated: int
    unknown: int
    unknown_present: int
    failed: int
    failed_present: int
    reads: int
    stale_reads: int
    failed_reads: int
    outage_ms: float
    promotion_ms: float | None
    first_write_after_ms: float | None
    first_write_after_ms_per_writer: tuple[float | None, ...]
    write_p50_ms: float
    write_p99_ms: float
    read_p50_ms: float
    read_p99_ms: float
    unpaid: int
    stock_difference: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Slice:
    """The figures of a short interval; latencies in milliseconds, None if no call ended in it."""

    start: float
    writes: int
    reads: int
    write_p50: float | None
    write_p99: float | None
    read_p99: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A run and its figures, as the reports need them.

    Attributes:
        title: what ran, in one line.
        started_at: UTC, ISO 8601.
        seconds: how long the load lasted.
        writers: how many wrote.
        readers: how many read.
        interrupted: whether it was interrupted.
        figures: the accounts.
        complaints: the reasons why the run failed.
        failover: the failover; None if there was none.
        outage: where the longest interval without an acknowledged write starts and ends.
        zones: availability zone of the primary before and after.
        slices: the run in short slices.
        close_up: writer and moment of each acknowledged write around the failover.
    """

    title: str
    started_at: str
    seconds: float
    writers: int
    readers: int
    interrupted: bool
    figures: Figures
    complaints: tuple[str, ...]
    failover: Failover | None
    outage: tuple[float, float]
    zones: tuple[str, str]
    slices: tuple[Slice, ...]
    close_up: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the demo, as shown while it runs.

    Attributes:
        identifier: the DB instance's.
        part: its role, ``"writer"`` or ``"reader"``.
        zone: its availability zone, if it is known.
        status: RDS's status.
        lag_ms: a reader's lag; None for the writer, or if unknown.
    """

    identifier: str
    part: str
    zone: str | None
    status: str
    lag_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """The load of the last second, and the counts so far."""

    elapsed: float
    orders_per_second: float
    reads_per_second: float
    p50_ms: float
    p99_ms: float
    acknowledged: int
    unknown: int
    failed: int
    stale_reads: int
