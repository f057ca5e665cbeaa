"""Messages of PostgreSQL's protocol 3. Source: PostgreSQL manual, "Message Formats"."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncpg import PostgresError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INT: Final = struct.Struct("!i")
_SHORT: Final = struct.Struct("!h")
_FIELD: Final = struct.Struct("!IhIhih")  # table, column, type, size, modifier, format

SYNC: Final = b"S\0\0\0\x04"
EXECUTE_ALL: Final = b"E\0\0\0\x09\0\0\0\0\0"
EXECUTE_ONE: Final = b"E\0\0\0\x09\0\0\0\0\x01"
TERMINATE: Final = b"X\0\0\0\x04"


class Column(NamedTuple):
    """A column of a result.

    Attributes:
        name: its name.
        oid: the oid of its type; a domain's base type.
    """

    name: str
    oid: int


def parse_and_describe(name: bytes, text: str) -> bytes:
    """Return the messages that prepare a statement and request its parameters and columns."""
    parse = name + b"\0" + text.encode() + b"\0" + _SHORT.pack(0)
    describe = b"S" + name + b"\0"
    return b"P" + _INT.pack(len(parse) + 4) + parse + b"D" + _INT.pack(len(describe) + 4) + describe + SYNC


def close_statement(name: bytes) -> bytes:
    """Return the messages that drop a prepared statement."""
    close = b"S" + name + b"\0"
    return b"C" + _INT.pack(len(close) + 4) + close + SYNC


def formats(codes: Sequence[int]) -> bytes:
    """Return format codes as Bind encodes them: a single one if all are the same."""
    shown = codes[:1] if len(set(codes)) == 1 else codes
    return _SHORT.pack(len(shown)) + b"".join(map(_SHORT.pack, shown))


def parameter_types(payload: bytes) -> list[int]:
    """Parse the types in a ParameterDescription."""
    (count,) = struct.unpack_from("!H", payload)
    return list(struct.unpack_from(f"!{count}I", payload, 2))


def columns(payload: bytes) -> list[Column]:
    """Parse the columns in a RowDescription."""
    (count,) = struct.unpack_from("!H", payload)
    found, place = [], 2
    for _ in range(count):
        end = payload.index(b"\0", place)
        _, _, oid, _, _, _ = _FIELD.unpack_from(payload, end + 1)
        found.append(Column(payload[place:end].decode(), oid))
        place = end + 1 + _FIELD.size
    return found


def parameter_status(payload: bytes) -> tuple[str, str]:
    """Parse a ParameterStatus into a setting's name and value."""
    name, value, _ = payload.split(b"\0", 2)
    return name.decode(), value.decode(errors="replace")


def server_error(payload: bytes) -> PostgresError:
    """Parse an ErrorResponse into asyncpg's exception for its SQLSTATE."""
    fields = {part[:1].decode(): part[1:].decode(errors="replace") for part in payload.split(b"\0") if part}
    return PostgresError.new(fields)
