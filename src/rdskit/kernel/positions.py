"""Positions of servers: log sequence numbers, transaction ids and GTIDs, and which of them include which.

Sources: PostgreSQL ``access/xlog_internal.h`` and "Transaction ID and Snapshot Information Functions"; MySQL manual,
"GTID Format and Storage" (sets, intervals, tags); MariaDB documentation, "Global Transaction ID".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PAGE = 8192
_SEGMENT = 16 * 1024 * 1024
# A page starts with a 24-byte header, a segment with a 40-byte one (access/xlog_internal.h: XLogPageHeaderData,
# XLogLongPageHeaderData). An insert position may be right after such a header.
_PAGE_HEADER = 24
_SEGMENT_HEADER = 40


class Position:
    """A position in what a server has written or replayed. Immutable; ``str`` returns the server's own format.

    Positions of one engine form a lattice: ``covers`` is its order, ``merge`` its least upper bound. ``START`` is below
    all of them.
    """

    __slots__ = ()

    @property
    def history(self) -> str:
        """The history that the position belongs to; empty for self-contained positions such as GTID sets.

        After a failover the log may continue from an earlier position than a client has seen. The same number then
        means different transactions. Comparing positions of different histories needs knowledge of their relation.
        """
        return ""

    def covers(self, other: Position) -> bool:
        """Return whether everything up to ``other`` is included.

        Raises:
            TypeError: ``other`` is a position of another engine.
        """
        raise NotImplementedError

    def merge(self, other: Position) -> Position:
        """Return the least position that covers both.

        Raises:
            TypeError: ``other`` is a position of another engine.
        """
        raise NotImplementedError


@final
class _Start(Position):
    """The position before everything."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "START"

    def covers(self, other: Position) -> bool:
        return other is self

    def merge(self, other: Position) -> Position:
        return other


START: Final[Position] = _Start()


@final
class Lsn(int, Position):
    """A PostgreSQL log sequence number: bytes from the start of the log.

    Attributes:
        timeline: the server's timeline, which each promotion changes; 0 if unknown, because replicas do not report it.
            It is no part of the number or of the order.
    """

    timeline: int

    def __new__(cls, value: int, timeline: int = 0) -> Lsn:
        """Create an LSN from a number of bytes."""
        lsn = super().__new__(cls, value)
        lsn.timeline = timeline
        return lsn

    @classmethod
    def parse(cls, text: str, timeline: int = 0) -> Lsn:
        """Parse PostgreSQL's ``X/Y`` format.

        Args:
            text: two hexadecimal halves, as ``pg_lsn`` prints them.
            timeline: the server's timeline.
        """
        high, _, low = text.partition("/")
        return cls((int(high, 16) << 32) | int(low, 16), timeline)

    @property
    def history(self) -> str:
        """The timeline, as text."""
        return str(self.timeline)

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"

    def covers(self, other: Position) -> bool:
        """Return whether the log up to ``other`` is included."""
        return other is START or self >= _same(Lsn, other)

    def merge(self, other: Position) -> Lsn:
        """Return the later of the two; a later timeline includes all that survives of earlier ones."""
        if other is START:
            return self
        theirs = _same(Lsn, other)
        return self if (self.timeline, self) >= (theirs.timeline, theirs) else theirs

    def normalized(self, segment: int = _SEGMENT) -> Lsn:
        """Convert an insert position into one that a replica can reach by replaying.

        ``pg_current_wal_insert_lsn()`` may already be after the header of a page on which no record ends yet. A
        replica's replay position then stays before that header until more is written.

        Args:
            segment: the server's ``wal_segment_size`` in bytes.

        Returns:
            The end of the last record at or before the position.
        """
        if self % segment <= _SEGMENT_HEADER:
            return Lsn(self - self % segment, self.timeline)
        if self % _PAGE <= _PAGE_HEADER:
            return Lsn(self - self % _PAGE, self.timeline)
        return self


@final
class Xid(int, Position):
    """A PostgreSQL transaction id below which every transaction has ended, and is visible if it was committed.

    For a writer it is the ``xmax`` of a snapshot, which is beyond every transaction acknowledged before. For a reader
    it is the ``xmin``, below which its queries see every committed transaction. It works for readers that share the
    writer's storage, which have no log of their own.
    """

    @classmethod
    def parse(cls, text: str) -> Xid:
        """Parse PostgreSQL's ``xid8``, which never wraps around."""
        return cls(text)

    @property
    def history(self) -> str:
        """One history for all: an acknowledged transaction keeps its id across failovers.

        It is not empty, because a position of another kind must not be compared with it. The same cluster may have such
        positions from before its migration to Aurora.
        """
        return "xid"

    def __str__(self) -> str:
        return int.__repr__(self)

    def __repr__(self) -> str:
        return f"Xid({self})"

    def covers(self, other: Position) -> bool:
        """Return whether all transactions before ``other`` have ended before this one too."""
        return other is START or self >= _same(Xid, other)

    def merge(self, other: Position) -> Xid:
        """Return the later of the two."""
        return self if other is START else max(self, _same(Xid, other))


@final
class GtidPosition(Position):
    """A MariaDB GTID position: the last transaction of each replication domain.

    Attributes:
        domains: server id and sequence number by domain id. The server id is kept for the text format only: within a
            domain the sequence number alone defines the order.
    """

    __slots__ = ("domains",)

    def __init__(self, domains: Mapping[int, tuple[int, int]]) -> None:
        """Create a position from (server id, sequence number) by domain id."""
        self.domains = MappingProxyType(dict(domains))

    @classmethod
    def parse(cls, text: str) -> GtidPosition:
        """Parse ``domain-server-sequence,…``; of several GTIDs of one domain, the latest counts."""
        domains: dict[int, tuple[int, int]] = {}
        for gtid in text.split(",") if text.strip() else ():
            domain, server, sequence = (int(part) for part in gtid.split("-"))
            if domain not in domains or domains[domain][1] < sequence:
                domains[domain] = (server, sequence)
        return cls(domains)

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{seq}" for domain, (server, seq) in sorted(self.domains.items()))

    def __repr__(self) -> str:
        return f"GtidPosition({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidPosition) and self._sequences() == other._sequences()

    def __hash__(self) -> int:
        return hash(frozenset(self._sequences().items()))

    @property
    def history(self) -> str:
        """The last writing server of each domain: another server would continue with the same sequence numbers."""
        return ",".join(f"{domain}-{server}" for domain, (server, _) in sorted(self.domains.items()))

    def covers(self, other: Position) -> bool:
        """Return whether each domain of ``other`` is included at least as far."""
        if other is START:
            return True
        mine = self.domains
        theirs = _same(GtidPosition, other).domains.items()
        return all(domain in mine and mine[domain][1] >= sequence for domain, (_, sequence) in theirs)

    def merge(self, other: Position) -> GtidPosition:
        """Return the later transaction of each domain."""
        if other is START:
            return self
        merged = dict(self.domains)
        for domain, gtid in _same(GtidPosition, other).domains.items():
            if domain not in merged or merged[domain][1] < gtid[1]:
                merged[domain] = gtid
        return GtidPosition(merged)

    def _sequences(self) -> dict[int, int]:
        return {domain: sequence for domain, (_, sequence) in self.domains.items()}


_Interval = tuple[int, int]


@final
class GtidSet(Position):
    """A MySQL GTID set.

    Attributes:
        intervals: inclusive intervals of transaction numbers, by source (``uuid`` or ``uuid:tag``).
    """

    __slots__ = ("intervals",)

    def __init__(self, intervals: Mapping[str, Iterable[_Interval]]) -> None:
        """Create a set; intervals may overlap and need no order."""
        joined = {source: _joined(parts) for source, parts in intervals.items()}
        self.intervals = MappingProxyType({source: parts for source, parts in sorted(joined.items()) if parts})

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Parse ``uuid:1-5:7,uuid:tag:1-3``; a tag applies to the intervals after it."""
        intervals: dict[str, list[_Interval]] = {}
        for entry in "".join(text.split()).lower().split(","):
            uuid, *parts = entry.split(":")
            source = uuid
            for part in parts:
                if not part[0].isdigit():
                    source = f"{uuid}:{part}"
                    continue
                first, _, last = part.partition("-")
                intervals.setdefault(source, []).append((int(first), int(last or first)))
        return cls(intervals)

    def __str__(self) -> str:
        return ",".join(f"{source}:{':'.join(map(_shown, parts))}" for source, parts in self.intervals.items())

    def __repr__(self) -> str:
        return f"GtidSet({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self.intervals == other.intervals

    def __hash__(self) -> int:
        return hash(str(self))

    def covers(self, other: Position) -> bool:
        """Return whether every transaction of ``other`` is in this set."""
        if other is START:
            return True
        mine, theirs = self.intervals, _same(GtidSet, other).intervals
        return all(source in mine and _includes(mine[source], parts) for source, parts in theirs.items())

    def merge(self, other: Position) -> GtidSet:
        """Return the union of the two sets."""
        if other is START:
            return self
        mine, theirs = self.intervals, _same(GtidSet, other).intervals
        return GtidSet({source: (*mine.get(source, ()), *theirs.get(source, ())) for source in {*mine, *theirs}})


_T = TypeVar("_T", bound=Position)


def _same(kind: type[_T], other: Position) -> _T:
    if not isinstance(other, kind):
        raise TypeError(f"{other!r} is not a {kind.__name__}: positions of different engines cannot be compared")
    return other


def _joined(intervals: Iterable[_Interval]) -> tuple[_Interval, ...]:
    """Return the intervals sorted, with overlapping and adjacent ones merged."""
    done: list[_Interval] = []
    for first, last in sorted(intervals):
        if done and first <= done[-1][1] + 1:
            done[-1] = (done[-1][0], max(done[-1][1], last))
        else:
            done.append((first, last))
    return tuple(done)


def _includes(outer: tuple[_Interval, ...], inner: tuple[_Interval, ...]) -> bool:
    remaining = iter(outer)
    current = next(remaining, None)
    for first, last in inner:
        while current is not None and current[1] < last:
            current = next(remaining, None)
        if current is None or current[0] > first:
            return False
    return True


def _shown(interval: _Interval) -> str:
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"
