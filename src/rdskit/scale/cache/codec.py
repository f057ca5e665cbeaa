"""Results as bytes, and back, with exactly the types that the database gave: MessagePack, never pickle.

A value of a type that is not listed here is not cached: what comes out is equal to what went in, or nothing is kept.
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgpack

from rdskit.drivers.rows import Row, row_class

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Uncacheable(ValueError):  # noqa: N818 - it tells what the value is
    """A value has no exact form as bytes."""


class Shape(IntEnum):
    """What a call returns; part of each key, as the same statement gives different values."""

    ALL = 1
    ONE = 2
    VALUE = 3
    LOADED = 4


def encode(value: Any) -> bytes:
    """Return a value as bytes.

    Raises:
        Uncacheable: the value, or a part of it, is of a type that has no exact form.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_extension, strict_types=True, datetime=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Uncacheable(str(error)) from None
    return packed


def decode(packed: bytes | memoryview) -> Any:
    """Return the value of bytes that `encode` made.

    Raises:
        ValueError: the bytes are not of this form.
    """
    return msgpack.unpackb(packed, ext_hook=_restored, strict_map_key=False)


def encode_result(shape: Shape, result: Any) -> bytes:
    """Return what a call gave, as bytes: rows without repeating their columns.

    Raises:
        Uncacheable: as for `encode`.
    """
    if shape is Shape.ALL:
        return encode([list(result[0].keys()), [list(row) for row in result]] if result else None)
    if shape is Shape.ONE and result is not None:
        return encode([list(result.keys()), list(result)])
    return encode(result)


def decode_result(shape: Shape, packed: bytes | memoryview) -> Any:
    """Return what a call gave, from bytes that `encode_result` made.

    Raises:
        ValueError: the bytes are not of this form.
    """
    found = decode(packed)
    if shape is Shape.ALL:
        return [] if found is None else list(map(_rows_of(tuple(found[0])), found[1]))
    if shape is Shape.ONE and found is not None:
        return _rows_of(tuple(found[0]))(found[1])
    return found


@functools.lru_cache(maxsize=1024)
def _rows_of(columns: tuple[str, ...]) -> type[Row]:
    return row_class(columns)


# --- types that MessagePack has not -------------------------------------------------------------------------------


def _moment(value: datetime) -> bytes:
    if value.fold or not (value.tzinfo is None or type(value.tzinfo) is timezone):
        raise Uncacheable("a datetime with a time zone by name")
    return value.isoformat().encode()


def _time(value: time) -> bytes:
    if value.fold or not (value.tzinfo is None or type(value.tzinfo) is timezone):
        raise Uncacheable("a time with a time zone by name")
    return value.isoformat().encode()


def _text(value: object) -> bytes:
    return str(value).encode()


def _read_moment(data: bytes) -> datetime:
    found = datetime.fromisoformat(data.decode())
    return found.replace(tzinfo=UTC) if found.utcoffset() == timedelta() else found


_Pair = tuple["Callable[[Any], bytes]", "Callable[[bytes], Any]"]
# The numbers are part of the stored form: a new type gets a new number.
_TYPES: Final[dict[type, tuple[int, _Pair]]] = {
    Decimal: (1, (_text, lambda data: Decimal(data.decode()))),
    datetime: (2, (_moment, _read_moment)),
    date: (3, (lambda value: value.isoformat().encode(), lambda data: date.fromisoformat(data.decode()))),
    time: (4, (_time, lambda data: time.fromisoformat(data.decode()))),
    timedelta: (
        5,
        (lambda value: encode([value.days, value.seconds, value.microseconds]), lambda d: _delta(decode(d))),
    ),
    UUID: (6, (lambda value: value.bytes, lambda data: UUID(bytes=data))),
    tuple: (7, (lambda value: encode(list(value)), lambda data: tuple(decode(data)))),
    int: (8, (_text, int)),  # beyond 64 bits
    IPv4Address: (9, (_text, lambda data: ip_address(data.decode()))),
    IPv6Address: (10, (_text, lambda data: ip_address(data.decode()))),
    IPv4Interface: (11, (_text, lambda data: ip_interface(data.decode()))),
    IPv6Interface: (12, (_text, lambda data: ip_interface(data.decode()))),
    IPv4Network: (13, (_text, lambda data: ip_network(data.decode()))),
    IPv6Network: (14, (_text, lambda data: ip_network(data.decode()))),
    bytearray: (15, (bytes, bytearray)),
    set: (16, (lambda value: encode(list(value)), lambda data: set(decode(data)))),
    frozenset: (17, (lambda value: encode(list(value)), lambda data: frozenset(decode(data)))),
}
_READERS: Final[dict[int, Callable[[bytes], Any]]] = {number: pair[1] for number, pair in _TYPES.values()}


def _delta(parts: Sequence[int]) -> timedelta:
    return timedelta(*parts)


def _extension(value: Any) -> msgpack.ExtType:
    found = _TYPES.get(type(value))
    if found is None:
        raise Uncacheable(f"a value of type {type(value).__name__}")
    number, (write, _) = found
    return msgpack.ExtType(number, write(value))


def _restored(number: int, data: bytes) -> Any:
    reader = _READERS.get(number)
    if reader is None:
        raise ValueError(f"the cache holds a value of an unknown type {number}")
    return reader(bytes(data))
