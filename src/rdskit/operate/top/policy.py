"""Derive rates, distances and changes from two polls of a cluster."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.events import (
    BreakerClosed,
    BreakerOpened,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    CredentialsRotated,
    FailoverCompleted,
    FailoverStarted,
    PoolWaited,
    QueryFinished,
    QueryRetried,
)
from rdskit.kernel.positions import GtidPosition, GtidSet, Lsn
from rdskit.kernel.topology import Role
from rdskit.operate.top.model import Distance, Entry, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.kernel.events import Event
    from rdskit.kernel.positions import Position
    from rdskit.kernel.topology import Host, Topology
    from rdskit.operate.top.model import HostView, Reading

SORTS: Final = ("role", "name", "rate", "latency", "connections", "transaction", "lag")
JOURNAL: Final = 200  # the limit of entries
_SHORTEST: Final = (
    0.9  # seconds between the two readings of a rate, because servers publish counters about once a second
)
_SMOOTHING: Final = 5.0  # time constant of the latency's average, in seconds
_FOLD_ENTRIES: Final = 8  # a repetition is folded into one of this many last entries
_FOLD_SECONDS: Final = 60.0  # if it is not older than this
_QUIET: Final = (ConnectionOpened, ConnectionClosed, PoolWaited, QueryFinished, QueryRetried)


def earlier(readings: Sequence[Reading]) -> Reading | None:
    """Return the reading to compare the last one with; None if there is none.

    It is the newest that is old enough for a rate, else the oldest.
    """
    if len(readings) < 2:  # noqa: PLR2004 - a rate needs two
        return None
    old_enough = (one for one in reversed(readings[:-1]) if readings[-1].at - one.at >= _SHORTEST)
    return next(old_enough, readings[0])


def rate(before: int | None, after: int | None, seconds: float) -> float | None:
    """Return how much a counter grew each second; None if unknown.

    A smaller value than before means a restart, which resets the counter.
    """
    if before is None or after is None or seconds <= 0 or after < before:
        return None
    return (after - before) / seconds


def smoothed(average: float | None, sample: float, elapsed: float) -> float:
    """Update an exponentially weighted average of latencies.

    Args:
        average: the average so far, in seconds; None for none.
        sample: the new latency, in seconds.
        elapsed: seconds since the previous sample.
    """
    if average is None:
        return sample
    kept = math.exp(-elapsed / _SMOOTHING)
    return average * kept + sample * (1.0 - kept)


def distance(writer: Position | None, reader: Position | None) -> Distance | None:
    """Return how much of the writer's log a reader has not replayed; None where the two cannot be compared."""
    if isinstance(writer, Lsn) and isinstance(reader, Lsn):
        return Distance(max(0, int(writer) - int(reader)), "bytes")
    if isinstance(writer, GtidSet) and isinstance(reader, GtidSet):
        return Distance(_size(writer.merge(reader)) - _size(reader), "transactions")
    if isinstance(writer, GtidPosition) and isinstance(reader, GtidPosition):
        missing = (number - reader.domains.get(domain, (0, 0))[1] for domain, (_, number) in writer.domains.items())
        return Distance(sum(max(0, each) for each in missing), "transactions")
    return None


def _size(gtids: GtidSet) -> int:
    return sum(last - first + 1 for parts in gtids.intervals.values() for first, last in parts)


def ordered(hosts: Iterable[HostView], sort: str) -> list[HostView]:
    """Return the hosts in display order: by one of ``SORTS``, the largest figure first."""
    by_role = sorted(hosts, key=lambda host: (host.role is not Role.WRITER, host.identifier))
    if sort == "role":
        return by_role
    if sort == "name":
        return sorted(by_role, key=lambda host: host.identifier)
    return sorted(by_role, key=lambda host: -_figure(host, sort))


def _figure(host: HostView, sort: str) -> float:
    figures = {
        "rate": host.rate,
        "latency": host.latency,
        "connections": host.connections,
        "transaction": host.oldest.seconds if host.oldest else None,
        "lag": host.lag,
    }
    figure = figures[sort]
    return -1.0 if figure is None else figure


# -- the journal -------------------------------------------------------------------------------------------------------


def noted(journal: tuple[Entry, ...], entry: Entry) -> tuple[Entry, ...]:
    """Add an entry at its place in time; a repetition of a recent entry is counted there instead."""
    for index in range(len(journal) - 1, max(-1, len(journal) - 1 - _FOLD_ENTRIES), -1):
        known = journal[index]
        if _same(known, entry) and abs(entry.at - known.at) < _FOLD_SECONDS:
            counted = replace(known, count=known.count + entry.count)
            return (*journal[:index], counted, *journal[index + 1 :])
    if journal and journal[-1].at > entry.at:
        return tuple(sorted((*journal, entry), key=lambda each: each.at))[-JOURNAL:]
    return (*journal, entry)[-JOURNAL:]


def _same(one: Entry, other: Entry) -> bool:
    return (one.subject, one.words, one.level) == (other.subject, other.words, other.level)


def entry_of(event: Event, at: float) -> Entry | None:
    """Return the journal entry for an event of the client; None for routine events.

    Args:
        event: the event.
        at: seconds since 1970.
    """
    if isinstance(event, _QUIET):
        return None
    match event:
        case FailoverStarted(host):
            words, level = "the writer is lost: looking for the new one", Level.BAD
        case FailoverCompleted(host, seconds):
            words, level = f"a writer answers again, {seconds:.2f} s after it was lost", Level.GOOD
        case ConnectionFailed(host, _, error):
            words, level = f"cannot be connected to: {error}", Level.BAD
        case BreakerOpened(host):
            words, level = "circuit breaker opened: callers are refused at once", Level.BAD
        case BreakerClosed(host):
            words, level = "circuit breaker closed", Level.GOOD
        case CredentialsRotated(host, user):
            words, level = f"the credentials of {user} were rotated", Level.INFO
        case _:
            host, words, level = "client", _unnamed(event), Level.INFO
    return Entry(at, host, words, level)


def _unnamed(event: Any) -> str:
    """Format an event that has no text of its own."""
    values = ", ".join(f"{name} {value}" for name, value in asdict(event).items())
    return f"{type(event).__name__}: {values}"


def changes(before: Topology, after: Topology, at: float) -> list[Entry]:
    """Return entries for the differences between two topologies.

    Args:
        before: the previous topology.
        after: the current topology.
        at: seconds since 1970.
    """
    old = {host.identifier: host for host in before.hosts}
    new = {host.identifier: host for host in after.hosts}
    gone = [Entry(at, name, "is not a host of the cluster any more", Level.BAD) for name in old if name not in new]
    here = [_change(old.get(name), host, at) for name, host in new.items()]
    return [*gone, *(entry for entry in here if entry is not None)]


def _change(old: Host | None, new: Host, at: float) -> Entry | None:
    if old is None:
        return Entry(at, new.identifier, f"is a host of the cluster now: a {new.role.value}", Level.GOOD)
    if old.role is not new.role:
        level = Level.GOOD if new.role is Role.WRITER else Level.INFO
        return Entry(at, new.identifier, f"is the {new.role.value} now, and was the {old.role.value}", level)
    if old.zone and new.zone and old.zone != new.zone:
        return Entry(at, new.identifier, f"is in zone {new.zone} now, and was in {old.zone}")
    return None
