"""How far a server has come: log sequence numbers, transaction ids and GTIDs, which know what they include.

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
# XLogLongPageHeaderData). An insert position may stand just behind such a header.
_PAGE_HEADER = 24
_SEGMENT_HEADER = 40


class Position:
    """What a server has written or replayed. Immutable; ``str`` gives the server's own form.

    Positions of one engine form a lattice: ``covers`` is its order, ``merge`` its least upper bound. ``START`` lies
    below them all.
    """

    __slots__ = ()

    @property
    def history(self) -> str:
        """The history that it is a place in; empty where it tells by itself what it includes, as a GTID set does.

        After a failover the log may go on from an earlier place than somebody has seen, and the same number then stands
        for something else. Two positions of different histories can only be compared by who knows how these hang
        together.
        """
        return ""

    def covers(self, other: Position) -> bool:
        """Return whether everything up to ``other`` is included.

        Raises:
            TypeError: ``other`` is a position of another engine.
        """
        raise NotImplementedError

    def merge(self, other: Position) -> Position:
        """The least position that covers both.

        Raises:
            TypeError: ``other`` is a position of another engine.
        """
        raise NotImplementedError


@final
class _Start(Position):
    """Nothing has been written."""

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
        timeline: of the server whose position it is, which each promotion makes a new one; 0 where that is not told, as
            a replica does not. It is no part of the number, and none of its order.
    """

    timeline: int

    def __new__(cls, value: int, timeline: int = 0) -> Lsn:
        """Make one of a number of bytes."""
        lsn = super().__new__(cls, value)
        lsn.timeline = timeline
        return lsn

    @classmethod
    def parse(cls, text: str, timeline: int = 0) -> Lsn:
        """Read PostgreSQL's ``X/Y`` form.

        Args:
            text: two hexadecimal halves, as ``pg_lsn`` prints them.
            timeline: of the server.
        """
        high, _, low = text.partition("/")
        return cls((int(high, 16) << 32) | int(low, 16), timeline)

    @property
    def history(self) -> str:
        """The timeline."""
        return str(self.timeline)

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({str(self)!r})"

    def covers(self, other: Position) -> bool:
        """Return whether the log up to ``other`` is included."""
        return other is START or self >= _same(Lsn, other)

    def merge(self, other: Position) -> Lsn:
        """The later of the two; a later timeline holds whatever is left of those before it."""
        if other is START:
            return self
        theirs = _same(Lsn, other)
        return self if (self.timeline, self) >= (theirs.timeline, theirs) else theirs

    def normalised(self, segment: int = _SEGMENT) -> Lsn:
        """Turn an insert position into one that a replica can reach by replaying.

        ``pg_current_wal_insert_lsn()`` may already stand behind the header of a page on which no record ends yet; a
        replica's replay position then stays in front of that header for as long as nothing more is written.

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

    Of a writer it is the ``xmax`` of a snapshot, which lies beyond everything that was acknowledged before; of a reader
    the ``xmin``, below which its queries see all that there is. So it holds for readers that share the writer's
    storage, which have no log of their own.
    """

    @classmethod
    def parse(cls, text: str) -> Xid:
        """Read PostgreSQL's ``xid8``, which never wraps around."""
        return cls(text)

    @property
    def history(self) -> str:
        """The same for all: what was acknowledged has kept its id in whatever a failover leaves.

        Not empty, because no position of another kind is to be compared with it, as one of the same cluster before it
        was moved to Aurora.
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
        """The later of the two."""
        return self if other is START else max(self, _same(Xid, other))


@final
class GtidPosition(Position):
    """A MariaDB GTID position: the last transaction of each replication domain.

    Attributes:
        domains: server id and sequence number by domain id. Which server wrote a transaction is kept for the text form
            only: within a domain the sequence number orders.
    """

    __slots__ = ("domains",)

    def __init__(self, domains: Mapping[int, tuple[int, int]]) -> None:
        """Make a position of (server id, sequence number) by domain id."""
        self.domains = MappingProxyType(dict(domains))

    @classmethod
    def parse(cls, text: str) -> GtidPosition:
        """Read ``domain-server-sequence,…``; of a domain that is named twice, the later one counts."""
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
        """Which server wrote last, in each domain: another one goes on with the same sequence numbers."""
        return ",".join(f"{domain}-{server}" for domain, (server, _) in sorted(self.domains.items()))

    def covers(self, other: Position) -> bool:
        """Return whether each domain of ``other`` has come at least as far."""
        if other is START:
            return True
        mine = self.domains
        theirs = _same(GtidPosition, other).domains.items()
        return all(domain in mine and mine[domain][1] >= sequence for domain, (_, sequence) in theirs)

    def merge(self, other: Position) -> GtidPosition:
        """The later transaction of each domain."""
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
        intervals: of transaction numbers, first and last included, by source (``uuid`` or ``uuid:tag``).
    """

    __slots__ = ("intervals",)

    def __init__(self, intervals: Mapping[str, Iterable[_Interval]]) -> None:
        """Make a set; intervals may overlap and need no order."""
        joined = {source: _joined(parts) for source, parts in intervals.items()}
        self.intervals = MappingProxyType({source: parts for source, parts in sorted(joined.items()) if parts})

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Read ``uuid:1-5:7,uuid:tag:1-3``; a tag holds for the intervals behind it."""
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
        """The union."""
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
    """Sorted, with overlapping and adjacent intervals made one."""
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
