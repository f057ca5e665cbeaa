"""The messages of PostgreSQL's output plugin ``pgoutput``, protocol version 1.

Source: PostgreSQL manual, "Logical Replication Message Formats". Each relation's rows are read by a function that is
generated for its columns: that is several times faster than a loop over them.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.drivers.rows import Row, row_class
from rdskit.errors import RdskitError
from rdskit.kernel.positions import Lsn
from rdskit.stream.capture.model import UNCHANGED, Begin, Commit, Kind, Mark, RowEvent, Table
from rdskit.stream.capture.postgres_values import reader, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.stream.capture.model import Event
    from rdskit.stream.capture.postgres_values import ServerType

    Tuples = Callable[[bytes, int], tuple[list[Any], int]]

PREFIX: Final = "rdskit"
"""Of the logical messages that are watermarks."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_BEGIN: Final = struct.Struct("!QqI")
_COMMIT: Final = struct.Struct("!BQQq")
_MESSAGE: Final = struct.Struct("!BQ")
_RELATION: Final = struct.Struct("!I")
_COLUMN: Final = struct.Struct("!Ii")
_KEY: Final = 1
"""A column's flag: it is part of the replica identity."""


class Relation(NamedTuple):
    """A table as it was when the rows that follow were written.

    Attributes:
        oid: of the table.
        schema: its schema.
        name: without the schema.
        columns: the columns' names.
        types: the oids of their types.
        keys: the places of those that the replica identity consists of.
        is_full: the whole old row is in the log.
    """

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    types: tuple[int, ...]
    keys: tuple[int, ...]
    is_full: bool


class _Shape(NamedTuple):
    """What a relation's messages need: the table, how a tuple is read, and the classes of rows and of keys."""

    table: Table
    read: Tuples
    row: type[Row]
    key: type[Row]
    keys: tuple[int, ...]
    is_full: bool


def read_relation(data: bytes) -> Relation:
    """Read a message of type R."""
    (oid,) = _RELATION.unpack_from(data, 1)
    schema, place = _text(data, 5)
    name, place = _text(data, place)
    identity = data[place : place + 1]
    (count,) = struct.unpack_from("!H", data, place + 1)
    place += 3
    columns: list[str] = []
    types: list[int] = []
    keys: list[int] = []
    for number in range(count):
        if data[place] & _KEY:
            keys.append(number)
        column, place = _text(data, place + 1)
        kind, _ = _COLUMN.unpack_from(data, place)
        place += _COLUMN.size
        columns.append(column)
        types.append(kind)
    # An empty schema stands for pg_catalog.
    return Relation(oid, schema or "pg_catalog", name, tuple(columns), tuple(types), tuple(keys), identity == b"f")


class Decoder:
    """Reads the messages of one replication connection.

    Args:
        tables: those that are captured, by schema and name. Changes of others are left out.
        timeline: of the server; it becomes part of the positions.
    """

    def __init__(self, tables: Mapping[tuple[str, str], Table], timeline: int) -> None:
        self._tables = tables
        self.timeline = timeline
        self._shapes: dict[int, _Shape | None] = {}

    def describe(self, relation: Relation, types: Mapping[int, ServerType]) -> None:
        """Take note of a relation's columns: messages that follow are about it.

        Args:
            relation: what the server has sent.
            types: what ``pg_type`` says of its types.
        """
        table = self._tables.get((relation.schema, relation.name))
        if table is None:
            self._shapes[relation.oid] = None
            return
        read = compile_tuple([reader(oid, types) for oid in relation.types])
        names = relation.columns
        key = row_class(tuple(names[place] for place in relation.keys))
        self._shapes[relation.oid] = _Shape(table, read, row_class(names), key, relation.keys, relation.is_full)

    def take(self, data: bytes, into: list[Event]) -> None:
        """Read one message and append what it says.

        Args:
            data: the message; a description of a relation goes to `describe`.
            into: takes the events.

        Raises:
            RdskitError: a message of a type that this protocol version does not have.
        """
        kind = data[0]
        if kind == 73:  # noqa: PLR2004 - I
            self._insert(data, into)
        elif kind == 85:  # noqa: PLR2004 - U
            self._update(data, into)
        elif kind == 66:  # noqa: PLR2004 - B
            _, moment, xid = _BEGIN.unpack_from(data, 1)
            into.append(Begin(str(xid), _EPOCH + timedelta(0, 0, moment)))
        elif kind == 67:  # noqa: PLR2004 - C
            into.append(Commit(Lsn(_COMMIT.unpack_from(data, 1)[2], self.timeline)))
        elif kind == 68:  # noqa: PLR2004 - D
            self._delete(data, into)
        elif kind == 84:  # noqa: PLR2004 - T
            self._truncate(data, into)
        elif kind == 77:  # noqa: PLR2004 - M
            self._message(data, into)
        elif kind not in b"OY":  # origins and names of types
            raise RdskitError(f"the server sent a message of the unknown type {chr(kind)!r}: report it as a bug")

    def _insert(self, data: bytes, into: list[Event]) -> None:
        shape = self._shapes[_RELATION.unpack_from(data, 1)[0]]
        if shape is not None:
            values, _ = shape.read(data, 8)
            into.append(RowEvent(Kind.INSERT, shape.table, None, shape.row(values)))

    def _update(self, data: bytes, into: list[Event]) -> None:
        shape = self._shapes[_RELATION.unpack_from(data, 1)[0]]
        if shape is None:
            return
        old: Row | None = None
        place = 5
        before: list[Any] | None = None
        if data[place] in b"KO":
            before, place = shape.read(data, place + 3)
            old = self._old(shape, before)
        values, _ = shape.read(data, place + 3)
        if before is not None and shape.is_full:
            values = [old if new is UNCHANGED else new for old, new in zip(before, values, strict=True)]
        into.append(RowEvent(Kind.UPDATE, shape.table, old, shape.row(values)))

    def _delete(self, data: bytes, into: list[Event]) -> None:
        shape = self._shapes[_RELATION.unpack_from(data, 1)[0]]
        if shape is not None:
            values, _ = shape.read(data, 8)
            into.append(RowEvent(Kind.DELETE, shape.table, self._old(shape, values), None))

    def _old(self, shape: _Shape, values: Sequence[Any]) -> Row:
        """Return the old row; of one that is only a key, the columns of the key."""
        return shape.row(values) if shape.is_full else shape.key(values[place] for place in shape.keys)

    def _truncate(self, data: bytes, into: list[Event]) -> None:
        (count,) = _RELATION.unpack_from(data, 1)
        for (oid,) in _RELATION.iter_unpack(data[6 : 6 + 4 * count]):
            shape = self._shapes[oid]
            if shape is not None:
                into.append(RowEvent(Kind.TRUNCATE, shape.table, None, None))

    def _message(self, data: bytes, into: list[Event]) -> None:
        prefix, place = _text(data, 1 + _MESSAGE.size)
        if prefix == PREFIX:
            into.append(Mark(data[place + 4 :].decode()))


def compile_tuple(reads: Sequence[Callable[[bytes], Any]]) -> Tuples:
    """Return a function that reads a tuple of a relation.

    Args:
        reads: how the text of each column is read.

    Returns:
        It takes a message and the place of the first column, and gives the values and the place behind them.
    """
    names: dict[str, Any] = {"UNCHANGED": UNCHANGED, "length": struct.Struct("!I").unpack_from}
    lines = ["def read(data, place):"]
    for number, read in enumerate(reads):
        names[f"read{number}"] = read
        taken = "data[place + 5 : end]"
        value = f"{taken}.decode()" if read is text else f"read{number}({taken})"
        lines += [
            "    kind = data[place]",
            "    if kind == 116:",  # t: text
            "        end = place + 5 + length(data, place + 1)[0]",
            f"        v{number} = {value}",
            "        place = end",
            "    else:",
            f"        v{number} = None if kind == 110 else UNCHANGED",  # n: NULL; u: unchanged
            "        place += 1",
        ]
    listed = ", ".join(f"v{number}" for number in range(len(reads)))
    lines.append(f"    return [{listed}], place")
    exec("\n".join(lines), names)  # noqa: S102 - of the numbers of columns alone, never of names or data
    made: Tuples = names["read"]
    return made


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(b"\0", place)
    return data[place:end].decode(), end + 1
