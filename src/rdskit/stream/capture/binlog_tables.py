"""The description of a table in the binary log, and the function that reads its rows.

Source: MySQL source ``rows_event.h`` (``Table_map_event``) and ``log_event.cc``; MariaDB writes the same.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.drivers.rows import Row, row_class
from rdskit.errors import ConfigError, RdskitError
from rdskit.stream.capture import binlog_values as values
from rdskit.stream.capture.mysql_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rows = Callable[[bytes, int, Sequence[int], Sequence[int]], tuple[list[Any], int]]

_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _LONGLONG, _INT24, _DATE, _YEAR, _VARCHAR, _BIT = (
    1,
    2,
    3,
    4,
    5,
    8,
    9,
    10,
    13,
    15,
    16,
)
_TIMESTAMP2, _DATETIME2, _TIME2, _VECTOR, _JSON, _NEWDECIMAL, _ENUM, _SET = 17, 18, 19, 242, 245, 246, 247, 248
_BLOB, _VAR_STRING, _STRING, _GEOMETRY = 252, 253, 254, 255
_INTEGERS: Final = {_TINY: 1, _SHORT: 2, _INT24: 3, _LONG: 4, _LONGLONG: 8}
_SIGNED: Final = frozenset({*_INTEGERS, _FLOAT, _DOUBLE, _NEWDECIMAL, _YEAR})
"""Types that have a bit in the list of columns without a sign; YEAR has one too."""
_METADATA: Final = {
    **dict.fromkeys((_FLOAT, _DOUBLE, _TIMESTAMP2, _DATETIME2, _TIME2, _JSON, _BLOB, _GEOMETRY, _VECTOR), 1),
    **dict.fromkeys((_VARCHAR, _BIT, _NEWDECIMAL, _VAR_STRING, _STRING, _ENUM, _SET), 2),
}
_TEXTS: Final = frozenset({_VARCHAR, _VAR_STRING, _STRING, _BLOB})
_SIGNEDNESS, _DEFAULT_CHARSET, _COLUMN_CHARSET, _NAMES, _SETS, _ENUMS = 1, 2, 3, 4, 5, 6
_ENUM_DEFAULT_CHARSET, _ENUM_CHARSET = 10, 11
_BINARY_CODEC: Final = ""


class Described(NamedTuple):
    """A table as it was when the rows that follow were written.

    Attributes:
        schema: the database's name.
        name: the table's name.
        data: what describes its columns, as the server sent it.
        begin: where that begins.
    """

    schema: str
    name: str
    data: bytes
    begin: int


class Shape(NamedTuple):
    """How the rows of a table are read."""

    width: int
    read: Callable[[bytes, int], tuple[list[Any], int]]
    row: type[Row]


class Collations(NamedTuple):
    """The server's collations by id, each with the name of its character set."""

    names: Mapping[int, str]

    def codec(self, collation: int, column: str) -> str:
        """Return the codec of a column's text.

        Raises:
            ConfigError: its character set has no codec in Python.
        """
        name = self.names.get(collation, f"collation {collation}")
        codec = values.CODECS.get(name)
        if codec is None:
            raise ConfigError(f"column {column!r} has the character set {name}, which is not decoded: use utf8mb4")
        return codec


def read_table_map(data: bytes, place: int) -> tuple[int, Described]:
    """Read a TABLE_MAP event up to its columns; return the number that row events name it by.

    Args:
        data: the event.
        place: where its body begins.
    """
    number = int.from_bytes(data[place : place + 6], "little")
    place += 8  # and two bytes of flags
    schema, place = _name(data, place)
    name, place = _name(data, place)
    return number, Described(schema, name, data, place)


def _name(data: bytes, place: int) -> tuple[str, int]:
    end = place + 1 + data[place]
    return data[place + 1 : end].decode(), end + 1


def packed(data: bytes, place: int) -> tuple[int, int]:
    """Read a length-encoded integer; return it and the place behind it."""
    first = data[place]
    if first < 251:  # noqa: PLR2004 - the protocol's own
        return first, place + 1
    size = {252: 2, 253: 3, 254: 8}[first]
    return int.from_bytes(data[place + 1 : place + 1 + size], "little"), place + 1 + size


def shape_of(described: Described, collations: Collations) -> Shape:
    """Return how the rows of a table are read.

    Args:
        described: the table, of a server with ``binlog_row_metadata = FULL``.
        collations: of the server.

    Raises:
        ConfigError: names of columns are missing, or a type is not decoded.
    """
    data = described.data
    width, place = packed(data, described.begin)
    kinds = list(data[place : place + width])
    size, place = packed(data, place + width)
    metas, end = [], place + size
    for number, kind in enumerate(kinds):
        taken = _METADATA.get(kind, 0)
        meta = data[place : place + taken]
        place += taken
        if kind == _STRING and meta[0] in {_ENUM, _SET}:
            kinds[number] = meta[0]
        metas.append(meta)
    if place != end:
        raise ConfigError(
            f"table {described.name!r} has a column of a type that is not decoded: leave it out of tables="
        )
    more = _optional(data, end + (width + 7) // 8)
    if _NAMES not in more:
        raise ConfigError(
            f"the binary log has no column names of table {described.name!r}: set binlog_row_metadata = FULL"
        )
    names = _texts(more[_NAMES])
    reads = _readers(names, kinds, metas, more, collations)
    return Shape(width, compile_row(list(zip(kinds, metas, reads, strict=True))), row_class(tuple(names)))


def _optional(data: bytes, place: int) -> dict[int, bytes]:
    """Return the optional metadata by its type."""
    found: dict[int, bytes] = {}
    while place < len(data):
        kind = data[place]
        size, place = packed(data, place + 1)
        found[kind] = data[place : place + size]
        place += size
    return found


def _texts(data: bytes) -> list[str]:
    return [part.decode() for part in _parts(data)]


def _parts(data: bytes) -> list[bytes]:
    parts, place = [], 0
    while place < len(data):
        size, place = packed(data, place)
        parts.append(data[place : place + size])
        place += size
    return parts


def _numbers(data: bytes) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = packed(data, place)
        numbers.append(number)
    return numbers


def _charsets(more: Mapping[int, bytes], default: int, each: int, count: int) -> list[int]:
    """Return the collation of each column that has one: they are listed, or the exceptions from a default are."""
    if each in more:
        return _numbers(more[each])
    if default not in more:
        return [0] * count
    first, *exceptions = _numbers(more[default])
    found = [first] * count
    for place, collation in zip(exceptions[::2], exceptions[1::2], strict=True):
        found[place] = collation
    return found


def _lists(data: bytes) -> list[list[bytes]]:
    """Return the values of each ENUM, or SET, column."""
    found, place = [], 0
    while place < len(data):
        count, place = packed(data, place)
        texts = []
        for _ in range(count):
            size, place = packed(data, place)
            texts.append(data[place : place + size])
            place += size
        found.append(texts)
    return found


def _readers(
    names: Sequence[str],
    kinds: Sequence[int],
    metas: Sequence[bytes],
    more: Mapping[int, bytes],
    collations: Collations,
) -> list[Any]:
    """Return what reads each column; for numbers, whether they have no sign."""
    texts = iter(_charsets(more, _DEFAULT_CHARSET, _COLUMN_CHARSET, sum(kind in _TEXTS for kind in kinds)))
    listed = _charsets(more, _ENUM_DEFAULT_CHARSET, _ENUM_CHARSET, sum(kind in {_ENUM, _SET} for kind in kinds))
    choices = iter(listed)
    enums, sets = iter(_lists(more.get(_ENUMS, b""))), iter(_lists(more.get(_SETS, b"")))
    signs = more.get(_SIGNEDNESS, b"")
    numeric = itertools.count()
    found: list[Any] = []
    for name, kind, meta in zip(names, kinds, metas, strict=True):
        unsigned = False
        if kind in _SIGNED:
            place = next(numeric)
            unsigned = place // 8 < len(signs) and bool(signs[place // 8] & 0x80 >> place % 8)
        if kind in _SIGNED and kind != _YEAR:
            found.append(values.decimal_reader(*meta) if kind == _NEWDECIMAL else unsigned)
        elif kind in _TEXTS:
            found.append(_text(name, kind, meta, collations.codec(next(texts), name)))
        elif kind in {_ENUM, _SET}:
            codec = collations.codec(next(choices), name) or "utf-8"
            members = [part.decode(codec) for part in next(enums if kind == _ENUM else sets)]
            found.append(values.enum_reader(members) if kind == _ENUM else values.set_reader(members))
        else:
            found.append(_other(name, kind, meta))
    return found


def _text(name: str, kind: int, meta: bytes, codec: str) -> Callable[[bytes], Any]:  # noqa: ARG001 - one signature
    if kind == _STRING and codec == _BINARY_CODEC:
        return values.binary_reader(_string_length(meta))
    return values.text_reader(codec)


def _other(name: str, kind: int, meta: bytes) -> Callable[[bytes], Any]:
    fixed: dict[int, Callable[[bytes], Any]] = {
        _YEAR: values.year,
        _DATE: values.day,
        _BIT: values.bits,
        _JSON: read_json,
        _GEOMETRY: bytes,
        _VECTOR: bytes,
    }
    if kind in fixed:
        return fixed[kind]
    timed = {
        _TIMESTAMP2: values.moment_reader,
        _DATETIME2: values.datetime_reader,
        _TIME2: values.interval_reader,
    }
    if kind not in timed:
        raise ConfigError(
            f"column {name!r} is of the type {kind}, which is not decoded: leave its table out of tables="
        )
    return timed[kind](meta[0])


def _string_length(meta: bytes) -> int:
    """Return the length of a CHAR or BINARY in bytes; two bits of it are in the type (``Field_string``)."""
    return ((meta[0] >> 4 & 3 ^ 3) << 8) + meta[1]


def _size(kind: int, meta: bytes) -> tuple[int, int]:
    """Return how many bytes a value takes, or 0 and how many bytes in front of it tell that."""
    if kind in {_VARCHAR, _VAR_STRING, _STRING}:
        longest = _string_length(meta) if kind == _STRING else int.from_bytes(meta, "little")
        return 0, 1 if longest < 256 else 2  # noqa: PLR2004 - one byte's
    if kind in {_BLOB, _JSON, _GEOMETRY, _VECTOR}:
        return 0, meta[0]
    if kind == _NEWDECIMAL:
        return values.decimal_size(*meta), 0
    if kind in {_ENUM, _SET, _BIT}:
        return meta[1] + (kind == _BIT and meta[0] > 0), 0
    base = {_YEAR: 1, _DATE: 3, _TIMESTAMP2: 4, _DATETIME2: 5, _TIME2: 3}[kind]
    return base + (0 if kind in {_YEAR, _DATE} else (meta[0] + 1) // 2), 0


def compile_row(columns: Sequence[tuple[int, bytes, Any]]) -> Callable[[bytes, int], tuple[list[Any], int]]:
    """Return a function that reads one row image.

    Args:
        columns: the type, the metadata and the reader of each; for integers whether it has no sign.

    Returns:
        It takes the event and the place of the bitmap of NULLs, and gives the values and the place behind them.
    """
    unpack = {1: "b", 2: "<h", 4: "<i", 8: "<q", -1: "B", -2: "<H", -4: "<I", -8: "<Q"}
    names: dict[str, Any] = {
        f"n{abs(key)}{'u' if key < 0 else ''}": struct.Struct(form).unpack_from for key, form in unpack.items()
    }
    names |= {"f4": struct.Struct("<f").unpack_from, "f8": struct.Struct("<d").unpack_from}
    bitmap = (len(columns) + 7) // 8
    lines = ["def read(data, place):", f"    nulls = int.from_bytes(data[place : place + {bitmap}], 'little')"]
    lines.append(f"    place += {bitmap}")
    for number, (kind, meta, reader) in enumerate(columns):
        lines += [f"    if nulls & {1 << number}:", f"        v{number} = None", "    else:"]
        if kind in _INTEGERS and kind != _INT24:
            size = _INTEGERS[kind]
            body = [f"v{number} = n{size}{'u' if reader else ''}(data, place)[0]", f"place += {size}"]
        elif kind == _INT24:
            body = [f"v{number} = int.from_bytes(data[place : place + 3], 'little', signed={not reader})", "place += 3"]
        elif kind in {_FLOAT, _DOUBLE}:
            size = 4 if kind == _FLOAT else 8
            body = [f"v{number} = f{size}(data, place)[0]", f"place += {size}"]
        else:
            names[f"read{number}"] = reader
            size, prefix = _size(kind, meta)
            if prefix:
                begin = f"place + {prefix}"
                end = f"{begin} + int.from_bytes(data[place : place + {prefix}], 'little')"
            else:
                begin, end = "place", f"place + {size}"
            body = [f"end = {end}", f"v{number} = read{number}(data[{begin} : end])", "place = end"]
        lines += [f"        {line}" for line in body]
    listed = ", ".join(f"v{number}" for number in range(len(columns)))
    lines.append(f"    return [{listed}], place")
    exec("\n".join(lines), names)  # noqa: S102 - of numbers alone, never of names or data
    made: Callable[[bytes, int], tuple[list[Any], int]] = names["read"]
    return made


def require_full(data: bytes, place: int, width: int) -> int:
    """Return the place behind a bitmap of columns.

    Raises:
        RdskitError: a column is missing from the row image.
    """
    size = (width + 7) // 8
    present = int.from_bytes(data[place : place + size], "little")
    if present & (1 << width) - 1 != (1 << width) - 1:
        raise RdskitError("a row image in the binary log lacks columns: set binlog_row_image = FULL for every session")
    return place + size
