"""The events of a binary log.

Sources: MySQL source ``libbinlogevents``; MariaDB documentation, "Replication Protocol". An event inside a transaction
that is not understood is an error, never skipped: it might have changed a row.
"""

from __future__ import annotations

import re
import struct
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import RdskitError
from rdskit.kernel.positions import GtidPosition, GtidSet
from rdskit.stream.capture.binlog_tables import packed, read_table_map, require_full, shape_of
from rdskit.stream.capture.checkpoints import TABLE
from rdskit.stream.capture.model import Begin, Commit, Kind, Mark, RowEvent, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.stream.capture.binlog_tables import Collations, Described, Shape
    from rdskit.stream.capture.model import Event

_HEADER: Final = struct.Struct("<IBIIIH")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUERY, _STOP, _ROTATE, _FORMAT, _XID, _TABLE_MAP, _HEARTBEAT = 2, 3, 4, 15, 16, 19, 27
_INTVAR, _RAND, _USER_VAR = 5, 13, 14
_ROWS_QUERY, _GTID, _ANONYMOUS, _PREVIOUS, _HEARTBEAT_2 = 29, 33, 34, 35, 41
_MARIADB_ANNOTATE, _MARIADB_CHECKPOINT, _MARIADB_GTID, _MARIADB_LIST, _MARIADB_ENCRYPTION = 160, 161, 162, 163, 164
_ROWS: Final = {
    23: Kind.INSERT,
    24: Kind.UPDATE,
    25: Kind.DELETE,
    30: Kind.INSERT,
    31: Kind.UPDATE,
    32: Kind.DELETE,
}
_SECOND_VERSION: Final = 30
_IGNORED: Final = frozenset(
    {
        *(_STOP, _ROTATE, _HEARTBEAT, _HEARTBEAT_2, _PREVIOUS, _ROWS_QUERY, _INTVAR, _RAND, _USER_VAR),
        *(_MARIADB_ANNOTATE, _MARIADB_CHECKPOINT, _MARIADB_LIST, _MARIADB_ENCRYPTION),
    }
)
_STANDALONE: Final = 1
"""A flag of MariaDB's GTID event: the group is one statement, without COMMIT."""
_MICROSECONDS: Final = (1 << 55) - 1
_COMMENTS: Final = re.compile(r"\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*", re.DOTALL)
_TRUNCATE: Final = re.compile(r"truncate\s+(?:table\s+)?(?:`?([^`.\s]+)`?\s*\.\s*)?`?([^`.;\s]+)`?", re.IGNORECASE)
_DML: Final = re.compile(r"(?:insert|update|delete|replace|load|with)\b", re.IGNORECASE)
_IGNORABLE: Final = 0x80
"""A flag of an event's header: a replica that does not know it may skip it."""


class Decoder:
    """Reads the events of one connection.

    Args:
        tables: those that are captured, by schema and name; others are left out.
        schema: where the table of checkpoints is.
        collations: of the server.
        known: the transactions before the first event.
    """

    def __init__(
        self,
        tables: Mapping[tuple[str, str], Table],
        schema: str,
        collations: Collations,
        known: GtidSet | GtidPosition,
    ) -> None:
        self._tables = tables
        self._marks = (schema, TABLE)
        self._collations = collations
        self.position = known
        self._checksum = 0  # bytes
        self._described: dict[int, Described | None] = {}
        self._shapes: dict[tuple[str, str, bytes], Shape] = {}
        self._next: GtidSet | GtidPosition | None = None  # behind the current transaction
        self._is_statement = False

    @property
    def is_between(self) -> bool:
        """Whether no transaction is being received."""
        return self._next is None

    def take(self, data: bytes, into: list[Event]) -> None:
        """Read one event and append what it says.

        Args:
            data: as the server sent it, with its checksum.
            into: takes the events.

        Raises:
            RdskitError: it cannot be decoded, and may have changed a row.
        """
        seconds, kind, _, _, _, flags = _HEADER.unpack_from(data)
        if kind == _FORMAT:
            self._format(data)
            return
        body = data[: len(data) - self._checksum] if self._checksum else data
        place = _HEADER.size
        if kind in _ROWS:
            self._rows(kind, body, place, into)
        elif kind == _TABLE_MAP:
            self._describe(body, place)
        elif kind == _XID:
            self._commit(into)
        elif kind in {_GTID, _MARIADB_GTID}:
            self._begin(kind, body, place, seconds, into)
        elif kind == _QUERY:
            self._query(body, place, into)
        elif kind == _ANONYMOUS:
            raise RdskitError("a transaction in the binary log has no GTID: set gtid-mode = ON, and begin again")
        elif kind not in _IGNORED and not (flags & _IGNORABLE and self.is_between):
            raise RdskitError(
                f"the binary log has an event of type {kind}, which is not decoded: switch compression of the binary "
                "log, XA transactions and GTID tags off, and begin again"
            )
        if kind == _ROTATE:
            self._described.clear()

    def _format(self, data: bytes) -> None:
        # The last five bytes are the algorithm, 1 for CRC32, and the event's own checksum.
        self._checksum = 4 if data[-5] == 1 else 0
        self._described.clear()

    def _begin(self, kind: int, data: bytes, place: int, seconds: int, into: list[Event]) -> None:
        committed = _EPOCH + timedelta(0, seconds)
        if kind == _MARIADB_GTID:
            sequence, domain, flags = struct.unpack_from("<QIB", data, place)
            (server,) = struct.unpack_from("<I", data, 5)
            assert isinstance(self.position, GtidPosition)
            self._next = GtidPosition({**self.position.domains, domain: (server, sequence)})
            self._is_statement = bool(flags & _STANDALONE)
            into.append(Begin(f"{domain}-{server}-{sequence}", committed))
            return
        source = str(uuid.UUID(bytes=data[place + 1 : place + 17]))
        (number,) = struct.unpack_from("<q", data, place + 17)
        if len(data) >= place + 49:  # since MySQL 8.0.1: when it was committed here, in microseconds
            micros = int.from_bytes(data[place + 42 : place + 49], "little") & _MICROSECONDS
            committed = _EPOCH + timedelta(0, 0, micros)
        assert isinstance(self.position, GtidSet)
        self._next = _with(self.position, source, number)
        self._is_statement = True  # until BEGIN says otherwise
        into.append(Begin(f"{source}:{number}", committed))

    def _commit(self, into: list[Event]) -> None:
        if self._next is not None:
            self.position = self._next
            self._next = None
            into.append(Commit(self.position))

    def _query(self, data: bytes, place: int, into: list[Event]) -> None:
        _, _, schema_size, _, status_size = struct.unpack_from("<IIBHH", data, place)
        begin = place + 13 + status_size
        schema = data[begin : begin + schema_size].decode(errors="replace")
        text = data[begin + schema_size + 1 :].decode(errors="replace")
        found = _COMMENTS.match(text)
        text = text[found.end() if found else 0 :]
        word = text[:9].upper().rstrip()
        if word == "BEGIN":
            self._is_statement = False
        elif word in {"COMMIT", "ROLLBACK"}:
            self._commit(into)
        elif not word.startswith("SAVEPOINT"):
            self._statement(schema, text, into)
            if self._is_statement:
                self._commit(into)

    def _statement(self, schema: str, text: str, into: list[Event]) -> None:
        truncated = _TRUNCATE.match(text)
        if truncated is not None:
            table = self._tables.get((truncated[1] or schema, truncated[2]))
            if table is not None:
                into.append(RowEvent(Kind.TRUNCATE, table, None, None))
        elif _DML.match(text):
            named = [table.given for table in self._tables.values() if re.search(rf"\b{re.escape(table.name)}\b", text)]
            if named:
                raise RdskitError(
                    f"a change of table {named[0]!r} is in the binary log as a statement: set binlog_format = ROW for "
                    "every session, and begin again"
                )

    def _describe(self, data: bytes, place: int) -> None:
        number, described = read_table_map(data, place)
        wanted = (described.schema, described.name)
        self._described[number] = described if wanted in self._tables or wanted == self._marks else None

    def _shape(self, described: Described) -> Shape:
        key = (described.schema, described.name, described.data[described.begin :])
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = shape_of(described, self._collations)
        return shape

    def _rows(self, kind: int, data: bytes, place: int, into: list[Event]) -> None:
        number = int.from_bytes(data[place : place + 6], "little")
        try:
            described = self._described[number]
        except KeyError:
            raise RdskitError("a row event in the binary log names a table that was not described: report it") from None
        if described is None:
            return
        shape = self._shape(described)
        place += 8
        if kind >= _SECOND_VERSION:
            place += int.from_bytes(data[place : place + 2], "little")
        width, place = packed(data, place)
        place = require_full(data, place, width)
        what = _ROWS[kind]
        if what is Kind.UPDATE:
            place = require_full(data, place, width)
        table = self._tables.get((described.schema, described.name))
        read, row, end = shape.read, shape.row, len(data)
        while place < end:
            values, place = read(data, place)
            first: Any = row(values)
            second: Any = None
            if what is Kind.UPDATE:
                values, place = read(data, place)
                second = row(values)
            if table is None:
                into.append(Mark((second or first)["mark"]))
            elif what is Kind.INSERT:
                into.append(RowEvent(what, table, None, first))
            else:
                into.append(RowEvent(what, table, first, second))


def _with(known: GtidSet, source: str, number: int) -> GtidSet:
    """Return a set with one more transaction, which is nearly always the next one of its source."""
    intervals = dict(known.intervals)
    parts = intervals.get(source, ())
    if parts and parts[-1][1] == number - 1:
        intervals[source] = (*parts[:-1], (parts[-1][0], number))
        return GtidSet(intervals)
    return known.merge(GtidSet({source: [(number, number)]}))
