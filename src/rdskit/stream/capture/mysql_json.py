"""MySQL's binary JSON, read into the values that ``json.loads`` would give.

Source: MySQL source, ``json_binary.h``.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from rdskit.kernel.codecs import JSON_NULL, JsonString
from rdskit.stream.capture import binlog_values

_LITERALS: Final = {0: None, 1: True, 2: False}
_INLINE: Final = {5: "<h", 6: "<H", 4: ""}
_NUMBERS: Final = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q", 11: "<d"}
_DECIMAL, _DATE, _TIME, _DATETIME, _TIMESTAMP = 246, 10, 11, 12, 7


def read_json(data: bytes) -> Any:
    """Read a document; a JSON null or string as the whole of it differs from SQL NULL and from JSON text.

    Args:
        data: as it is stored in a column; empty stands for null.
    """
    value = _value(data[0], data, 1) if data else None
    if value is None:
        return JSON_NULL
    return JsonString(value) if type(value) is str else value


def _value(kind: int, data: bytes, place: int) -> Any:
    if kind <= 3:  # noqa: PLR2004 - objects and arrays, each with short or long offsets
        return _container(data, place, is_object=kind < 2, is_large=bool(kind & 1))  # noqa: PLR2004 - same
    if kind == 4:  # noqa: PLR2004 - a literal
        return _LITERALS[data[place]]
    if kind in _NUMBERS:
        return struct.unpack_from(_NUMBERS[kind], data, place)[0]
    if kind == 12:  # noqa: PLR2004 - a string
        size, place = _size(data, place)
        return data[place : place + size].decode()
    if kind == 15:  # noqa: PLR2004 - a value of an SQL type
        size, begin = _size(data, place + 1)
        return _opaque(data[place], data[begin : begin + size])
    raise ValueError(f"a JSON value of the unknown type {kind}")


def _container(data: bytes, base: int, *, is_object: bool, is_large: bool) -> Any:
    form, width = ("<I", 4) if is_large else ("<H", 2)
    (count,) = struct.unpack_from(form, data, base)
    place = base + 2 * width
    keys: list[str] = []
    for _ in range(count if is_object else 0):
        (offset,) = struct.unpack_from(form, data, place)
        (length,) = struct.unpack_from("<H", data, place + width)
        keys.append(data[base + offset : base + offset + length].decode())
        place += width + 2
    values: list[Any] = []
    for _ in range(count):
        kind = data[place]
        inline = kind in _INLINE or (is_large and kind in {7, 8})
        if inline:
            values.append(_value(kind, data, place + 1))
        else:
            (offset,) = struct.unpack_from(form, data, place + 1)
            values.append(_value(kind, data, base + offset))
        place += 1 + width
    return dict(zip(keys, values, strict=True)) if is_object else values


def _size(data: bytes, place: int) -> tuple[int, int]:
    """Return a length of seven bits a byte, and the place behind it."""
    size = shift = 0
    while True:
        byte = data[place]
        place += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size, place


def _opaque(kind: int, data: bytes) -> Any:
    """Read a value of an SQL type: as the server writes it in JSON text, which is what queries read."""
    if kind == _DECIMAL:
        value = binlog_values.decimal_reader(data[0], data[1])(data[2:])
        return float(value) if data[1] else int(value)
    if kind in {_DATE, _TIME, _DATETIME, _TIMESTAMP}:
        return _temporal(kind, int.from_bytes(data, "little", signed=True))
    import base64  # noqa: PLC0415 - for the rarest of all values

    return f"base64:type{kind}:{base64.b64encode(data).decode()}"


def _temporal(kind: int, packed: int) -> str:
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    clock, fraction = packed >> 24, packed & 0xFFFFFF
    shown = f"{clock >> 6 & 63:02}:{clock & 63:02}.{fraction:06}"
    if kind == _TIME:
        return f"{sign}{clock >> 12 & 0x3FF:02}:{shown}"
    months = clock >> 22
    day = f"{months // 13:04}-{months % 13:02}-{clock >> 17 & 31:02}"
    return day if kind == _DATE else f"{day} {clock >> 12 & 31:02}:{shown}"
