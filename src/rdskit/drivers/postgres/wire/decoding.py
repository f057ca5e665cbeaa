"""Decode rows from DataRow messages, with one generated function for each shape of a result.

The values equal those of the pooled path: asyncpg's, those of ``values`` for dates and times, and those of the
application's codecs. The formats are those of PostgreSQL's ``*_send`` functions.
"""

from __future__ import annotations

import ipaddress
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncpg.pgproto.pgproto import UUID
from asyncpg.pgproto.types import BitString

from rdskit.drivers.postgres.values import TIME_CODECS
from rdskit.drivers.rows import row_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.drivers.postgres.wire.messages import Column

    Decode = Callable[[bytes], Any]
    Rows = Callable[[bytes, int], Any]

TEXT_FORMAT: Final = 0
BINARY_FORMAT: Final = 1

_TIMES: Final = {oid: decode for oid, _, _, decode in TIME_CODECS}
_NUMERIC: Final = struct.Struct("!hhHH")
_NEGATIVE: Final = 0x4000
_SPECIAL: Final = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}
_GROUP: Final = 4  # decimal digits
_ARRAY: Final = struct.Struct("!iiI")
_DIMENSION: Final = struct.Struct("!ii")
_LENGTH: Final = struct.Struct("!i")
_INTERVAL: Final = struct.Struct("!qii")
_TIME_WITH_ZONE: Final = struct.Struct("!qi")
_DATE: Final = struct.Struct("!i")
_MOMENT: Final = struct.Struct("!q")
_IPV4, _IPV4_BITS, _IPV6_BITS = 2, 32, 128  # PostgreSQL source, ``PGSQL_AF_INET``


class Reading(NamedTuple):
    """The decoder of a type.

    Attributes:
        format: the format to request from the server.
        decode: returns the value for its bytes.
        layout: the ``struct`` code of a type of fixed size, which needs no function.
    """

    format: int
    decode: Decode
    layout: str = ""


def _fixed(layout: str) -> Reading:
    code = struct.Struct("!" + layout)
    return Reading(BINARY_FORMAT, lambda data: code.unpack(data)[0], layout)


def _text(data: bytes) -> str:
    return data.decode()


def _same(data: bytes) -> bytes:
    return data


def _numeric(data: bytes) -> Decimal:
    """Read ``numeric`` with asyncpg's digits and exponent, which differ from those of the server's text.

    Source: asyncpg, ``numeric_decode_binary_ex``.
    """
    count, weight, sign, scale = _NUMERIC.unpack_from(data)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if count == 0:
        return Decimal(f"0e-{scale}")
    groups = struct.unpack_from(f"!{count}h", data, _NUMERIC.size)
    first = str(groups[0]) if weight >= 0 else f"{groups[0]:04}"
    digits = first + "".join([f"{group:04}" for group in groups[1:]])
    if scale:
        missing = scale - (count - weight - 1) * _GROUP
        digits = digits + "0" * missing if missing > 0 else digits[: len(digits) + missing]
    exponent = (weight + 1) * _GROUP - (_GROUP - len(first) if weight >= 0 else 0)
    return Decimal(f"{'-' if sign == _NEGATIVE else ''}0.{digits}E{exponent}")


def _network(data: bytes) -> Any:
    family, bits, is_cidr, _ = data[:4]
    address = data[4:]
    if is_cidr:
        return ipaddress.ip_network((address, bits))
    if bits != (_IPV4_BITS if family == _IPV4 else _IPV6_BITS):
        return ipaddress.ip_interface((address, bits))
    return ipaddress.ip_address(address)


def _bits(data: bytes) -> BitString:
    return BitString.frombytes(data[4:], _LENGTH.unpack_from(data)[0])


def _interval(data: bytes) -> Any:
    rest, days, months = _INTERVAL.unpack(data)
    return _TIMES[1186]((months, days, rest))


def _array_of(element: Decode) -> Decode:
    def decode(data: bytes) -> list[Any]:
        dimensions, _, _ = _ARRAY.unpack_from(data)
        if dimensions == 0:
            return []
        if dimensions != 1:
            raise ValueError(f"the array has {dimensions} dimensions")
        length, _ = _DIMENSION.unpack_from(data, _ARRAY.size)
        items: list[Any] = []
        place = _ARRAY.size + _DIMENSION.size
        for _ in range(length):
            (size,) = _LENGTH.unpack_from(data, place)
            place += 4
            if size < 0:
                items.append(None)
            else:
                items.append(element(data[place : place + size]))
                place += size
        return items

    return decode


_TEXT: Final = Reading(BINARY_FORMAT, _text)
_AS_TEXT: Final = Reading(TEXT_FORMAT, _text)  # types that the pooled path reads as the server's text

#: By the oids of pg_type.dat, which never change.
_SCALARS: Final[dict[int, Reading]] = {
    16: Reading(BINARY_FORMAT, lambda data: data == b"\x01", "?"),
    17: Reading(BINARY_FORMAT, _same),
    18: Reading(BINARY_FORMAT, _same),  # "char"
    **dict.fromkeys((19, 25, 142, 1042, 1043), _TEXT),  # name, text, xml, char(n), varchar
    20: _fixed("q"),
    21: _fixed("h"),
    23: _fixed("i"),
    **dict.fromkeys((26, 28, 29), _fixed("I")),  # oid, xid, cid
    700: _fixed("f"),
    701: _fixed("d"),
    3220: _fixed("q"),  # pg_lsn
    5069: _fixed("Q"),  # xid8
    **dict.fromkeys((650, 869), Reading(BINARY_FORMAT, _network)),
    **dict.fromkeys((1560, 1562), Reading(BINARY_FORMAT, _bits)),
    1082: Reading(BINARY_FORMAT, lambda data: _TIMES[1082](_DATE.unpack(data))),
    1083: Reading(BINARY_FORMAT, lambda data: _TIMES[1083](_MOMENT.unpack(data))),
    1114: Reading(BINARY_FORMAT, lambda data: _TIMES[1114](_MOMENT.unpack(data))),
    1184: Reading(BINARY_FORMAT, lambda data: _TIMES[1184](_MOMENT.unpack(data))),
    1186: Reading(BINARY_FORMAT, _interval),
    1266: Reading(BINARY_FORMAT, lambda data: _TIMES[1266](_TIME_WITH_ZONE.unpack(data))),
    1700: Reading(BINARY_FORMAT, _numeric),
    2950: Reading(BINARY_FORMAT, UUID),
    # money, macaddr, macaddr8, tsvector, tsquery; reg* types: what they name
    **dict.fromkeys((790, 829, 774, 3614, 3615), _AS_TEXT),
    **dict.fromkeys((24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191), _AS_TEXT),
}
#: Arrays of types that asyncpg reads in binary, by the oid of their elements' type.
ARRAYS: Final = {
    1000: 16,
    1001: 17,
    1003: 19,
    1016: 20,
    1005: 21,
    1007: 23,
    1009: 25,
    1028: 26,
    1021: 700,
    1022: 701,
    1014: 1042,
    1015: 1043,
    1041: 869,
    651: 650,
    1182: 1082,
    1183: 1083,
    1115: 1114,
    1185: 1184,
    1187: 1186,
    1231: 1700,
    2951: 2950,
}

READINGS: Final[dict[int, Reading]] = {
    **_SCALARS,
    **{oid: Reading(BINARY_FORMAT, _array_of(_SCALARS[element].decode)) for oid, element in ARRAYS.items()},
}
"""The built-in types that can be pipelined."""


class Shape(NamedTuple):
    """The columns of a statement's result.

    Attributes:
        formats: the format of each.
        row: reads a DataRow, given the data and the place of its first column.
    """

    formats: tuple[int, ...]
    row: Rows


def shape_of(columns: Sequence[Column], readings: Mapping[int, Reading]) -> Shape | None:
    """Return how to read a result; None if a column's type has no codec here.

    Args:
        columns: of the result.
        readings: the codecs by the oids of their types.
    """
    found = [readings.get(column.oid) for column in columns]
    chosen = [reading for reading in found if reading is not None]
    if len(chosen) < len(found):
        return None
    return Shape(tuple(reading.format for reading in chosen), _generated(columns, chosen))


def _generated(columns: Sequence[Column], readings: Sequence[Reading]) -> Rows:
    """Write and compile the function that reads one row.

    Only numbers and names made here become part of its text. No name of a column does.
    """
    names: dict[str, Any] = {
        "new": tuple.__new__,
        "Row": row_class(tuple(column.name for column in columns)),
        "length": _LENGTH.unpack_from,
    }
    lines = ["def row(data, place):"]
    for number, reading in enumerate(readings):
        value = f"v{number}"
        lines.append("    (size,) = length(data, place)")
        lines.append("    place += 4")
        lines.append("    if size >= 0:")
        if reading.layout:
            code = struct.Struct("!" + reading.layout)
            names[f"f{number}"] = code.unpack_from
            lines.append(f"        ({value},) = f{number}(data, place)")
            lines.append(f"        place += {code.size}")
        elif reading.decode is _text:
            lines.append(f"        {value} = data[place : place + size].decode()")
            lines.append("        place += size")
        else:
            names[f"f{number}"] = reading.decode
            lines.append(f"        {value} = f{number}(data[place : place + size])")
            lines.append("        place += size")
        lines.append("    else:")
        lines.append(f"        {value} = None")
    values = "".join(f"v{number}, " for number in range(len(readings)))
    lines.append(f"    return new(Row, ({values}))")
    exec(compile("\n".join(lines), "<row of a pipelined result>", "exec"), names)  # noqa: S102 - see above
    generated: Rows = names["row"]
    return generated
