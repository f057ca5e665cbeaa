"""The rows that were there before the stream began, read in chunks between two watermarks. No I/O.

A chunk is read between two marks in the log. A row of it that a transaction has changed which the chunk may not have
seen is dropped: the stream has it (Netflix, "DBLog: A Watermark Based Change-Data-Capture Framework").

On MySQL and MariaDB a commit is visible no later than the next one in the log returns, so only what lies between the
marks is unknown to the chunk. On PostgreSQL a transaction becomes visible some time after its commit record. There the
chunk comes with its snapshot, which tells exactly what it has seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.errors import ConfigError
from rdskit.stream.capture.keys import key_from_json, key_to_json
from rdskit.stream.capture.model import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import Row
    from rdskit.stream.capture.model import RowEvent, Table

_XIDS: Final = 2**32
"""The transaction ids in the log wrap around; those of a snapshot do not."""


class Seen(NamedTuple):
    """What a snapshot of PostgreSQL shows.

    Attributes:
        oldest: transactions before it have ended.
        next: transactions from it on had not ended.
        running: those between that had not ended.
    """

    oldest: int
    next: int
    running: frozenset[int]

    @classmethod
    def parse(cls, shown: str) -> Seen:
        """Read the text of a ``pg_snapshot``: ``xmin:xmax:xip,…``."""
        oldest, following, running = shown.split(":")
        return cls(int(oldest), int(following), frozenset(int(xid) % _XIDS for xid in running.split(",") if xid))

    def hides(self, xid: int) -> bool:
        """Return whether a transaction of the log is invisible.

        Args:
            xid: its id, of 32 bits.
        """
        return xid in self.running or not _is_before(xid, self.next)

    def has_ended(self, xid: int) -> bool:
        """Return whether this transaction and all before it are visible."""
        return _is_before(xid, self.oldest)


def _is_before(xid: int, other: int) -> bool:
    return (xid - other) % _XIDS >= _XIDS // 2


class Chunk(NamedTuple):
    """Rows that were read at once.

    Attributes:
        table: they are of.
        rows: in the order of the primary key.
        low: the mark that was written before they were read.
        high: the mark that was written afterwards.
        seen: what their snapshot shows; None where the marks tell.
        is_last: the table has no more.
    """

    table: Table
    rows: Sequence[Row]
    low: str
    high: str
    seen: Seen | None
    is_last: bool


class Snapshot:
    """How far the snapshot has come, and what the stream has changed since.

    Attributes:
        progress: what a checkpoint keeps of it; empty once it is complete.
    """

    def __init__(self, tables: Sequence[Table], progress: str) -> None:
        """Continue a snapshot.

        Args:
            tables: all that are captured.
            progress: what a checkpoint has kept.
        """
        by_name = {table.given: table for table in tables}
        saved: dict[str, Any] = json.loads(progress)
        self._left = {by_name[name]: None if key is None else key_from_json(key) for name, key in saved.items()}
        self._chunk: Chunk | None = None
        self._is_open = False  # the low mark was received
        self._is_over = False  # the high mark was received, in a transaction that has not ended yet
        self._touched: list[tuple[str, Table, Any]] = []
        self.progress = progress

    @staticmethod
    def begin(tables: Sequence[Table]) -> str:
        """Return the progress of a snapshot that has read nothing yet."""
        return json.dumps({table.given: None for table in tables})

    def wanted(self) -> tuple[Table, Any] | None:
        """Return the table to read from and the last key that was read; None while a chunk is open, or at the end."""
        return None if self._chunk is not None or not self._left else next(iter(self._left.items()))

    @property
    def is_complete(self) -> bool:
        """Whether every table was read."""
        return not self._left

    def read(self, chunk: Chunk) -> None:
        """Take a chunk; it is delivered when its high mark arrives."""
        self._chunk = chunk
        self._is_open = self._is_over = False

    def reconnected(self) -> None:
        """Drop the chunk: its marks may have been lost, so it is read again."""
        self._chunk = None
        self._is_open = self._is_over = False

    def touch(self, transaction: str, event: RowEvent) -> None:
        """Note the keys that an event has changed."""
        if event.kind is Kind.TRUNCATE:
            self._touched.append((transaction, event.table, None))
            return
        for row in (event.old, event.new):
            if row is not None:
                self._touched.append((transaction, event.table, key_of(event.table, row)))

    def mark(self, text: str) -> None:
        """Take a watermark of the log."""
        chunk = self._chunk
        if chunk is None:
            return
        if text == chunk.low and not self._is_open:
            self._is_open = True
            if chunk.seen is None:
                self._touched.clear()
        elif text == chunk.high:
            self._is_over = True

    def finished(self) -> list[tuple[Table, Row]] | None:
        """Return what is left of the chunk whose high mark has arrived, between two transactions; None without one."""
        chunk = self._chunk
        if chunk is None or not self._is_over:
            return None
        changed = {
            key
            for transaction, table, key in self._touched
            if table == chunk.table and (chunk.seen is None or chunk.seen.hides(int(transaction)))
        }
        rows = [] if None in changed else [row for row in chunk.rows if key_of(chunk.table, row) not in changed]
        if chunk.is_last:
            del self._left[chunk.table]
        else:
            self._left[chunk.table] = key_of(chunk.table, chunk.rows[-1])
        if chunk.seen is None:
            self._touched.clear()
        else:
            self._touched = [each for each in self._touched if not chunk.seen.has_ended(int(each[0]))]
        self._chunk = None
        self._is_open = self._is_over = False
        listed = {table.given: None if key is None else key_to_json(key) for table, key in self._left.items()}
        self.progress = json.dumps(listed) if listed else ""
        return [(chunk.table, row) for row in rows]


def key_of(table: Table, row: Row) -> tuple[Any, ...]:
    """Return the primary key of a row."""
    return tuple(row[column] for column in table.key)


def chunk_query(table: Table, quoted: str, quote: str, after: tuple[Any, ...] | None, limit: int) -> tuple[str, Any]:
    """Return the query of the next chunk, and its parameters.

    A comparison of whole rows would be shorter, but MySQL uses no index for that.

    Args:
        table: to read from.
        quoted: its name as SQL.
        quote: the character around names.
        after: the last key that was read; None for the first chunk.
        limit: the largest number of rows.

    Raises:
        ConfigError: the table has no primary key.
    """
    if not table.key:
        raise ConfigError(
            f"table {table.given!r} has no primary key, which a snapshot needs: add one, or begin with start='now'"
        )
    names = [quote + name.replace(quote, quote * 2) + quote for name in table.key]
    params: dict[str, Any] = {}
    where = ""
    if after is not None:
        params = {f"k{number}": value for number, value in enumerate(after)}
        parts = []
        for number, name in enumerate(names):
            same = "".join(f"{names[earlier]} = :k{earlier} and " for earlier in range(number))
            parts.append(f"({same}{name} > :k{number})")
        where = f" where {' or '.join(parts)}"
    order = ", ".join(names)
    return f"select * from {quoted}{where} order by {order} limit {limit}", params  # noqa: S608 - quoted names
