"""Encode arguments as Bind messages, for values of exact types that need no rule and no coercion by asyncpg.

A call with any other argument goes to the pooled path, which converts or refuses it. So there is one set of rules.
"""

from __future__ import annotations

import struct
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncpg.pgproto.pgproto import UUID

from rdskit.drivers.postgres.values import TIME_CODECS
from rdskit.drivers.postgres.wire.messages import EXECUTE_ALL, EXECUTE_ONE, SYNC, formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Encode = Callable[[Any], bytes]
    Bind = Callable[[Sequence[Any], bool], bytes]

LARGEST_REQUEST: Final = 32 << 10
"""Bytes of one Bind message; a larger one goes to the pooled path."""

_TEXT_FORMAT, _BINARY_FORMAT = 0, 1
_TIMES: Final = {oid: encode for oid, _, encode, _ in TIME_CODECS}
_LENGTH: Final = struct.Struct("!i").pack
_ARRAY: Final = struct.Struct("!iiIii").pack
_EMPTY: Final = struct.Struct("!iiI").pack
_NULL: Final = _LENGTH(-1)
_INTERVAL: Final = struct.Struct("!qii").pack
_TIME_WITH_ZONE: Final = struct.Struct("!qi").pack
_DATE: Final = struct.Struct("!i").pack
_MOMENT: Final = struct.Struct("!q").pack
_MOST_DIGITS: Final = 1000


class Unfit(Exception):  # noqa: N818 - a signal, not a failure
    """An argument needs the pooled path."""


class Writing(NamedTuple):
    """The encoder of a type.

    Attributes:
        kinds: the exact Python types that it accepts; empty if ``encode`` decides.
        encode: returns the bytes of a value; may raise for a value that the server would not accept.
        format: the format of these bytes.
        layout: the ``struct`` code, where it is the whole encoder.
    """

    kinds: tuple[type, ...]
    encode: Encode
    format: int = _BINARY_FORMAT
    layout: str = ""


def _fixed(layout: str, *kinds: type) -> Writing:
    return Writing(kinds, struct.Struct("!" + layout).pack, layout=layout)


def _interval(value: timedelta) -> bytes:
    months, days, rest = _TIMES[1186](value)
    return _INTERVAL(rest, days, months)


def _decimal(value: Decimal) -> bytes:
    if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS or len(value.as_tuple().digits) > _MOST_DIGITS:
        raise Unfit
    return str(value).encode()


def _array_of(element: Writing, oid: int) -> Encode:
    def encode(value: list[Any]) -> bytes:
        if not value:
            return _EMPTY(0, 0, oid)
        items = []
        for item in value:
            if type(item) not in element.kinds:
                raise Unfit
            data = element.encode(item)
            items.append(_LENGTH(len(data)))
            items.append(data)
        return _ARRAY(1, 0, oid, len(value), 1) + b"".join(items)

    return encode


_TEXT: Final = Writing((str,), str.encode)
#: By the oids of pg_type.dat, which never change.
_SCALARS: Final[dict[int, Writing]] = {
    16: _fixed("?", bool),
    17: Writing((bytes,), bytes),
    **dict.fromkeys((19, 25, 1042, 1043), _TEXT),
    20: _fixed("q", int),
    21: _fixed("h", int),
    23: _fixed("i", int),
    26: _fixed("I", int),
    701: _fixed("d", float),
    1082: Writing((date,), lambda value: _DATE(*_TIMES[1082](value))),
    1083: Writing((time,), lambda value: _MOMENT(*_TIMES[1083](value))),
    1114: Writing((datetime,), lambda value: _MOMENT(*_TIMES[1114](value))),
    1184: Writing((datetime,), lambda value: _MOMENT(*_TIMES[1184](value))),
    1186: Writing((timedelta,), _interval),
    1266: Writing((time,), lambda value: _TIME_WITH_ZONE(*_TIMES[1266](value))),
    1700: Writing((Decimal,), _decimal, _TEXT_FORMAT),
    2950: Writing((uuid.UUID, UUID), lambda value: value.bytes),
}
_ARRAYS: Final = {
    1000: 16,
    1001: 17,
    1016: 20,
    1005: 21,
    1007: 23,
    1009: 25,
    1015: 1043,
    1022: 701,
    2951: 2950,
    1182: 1082,
    1115: 1114,
    1185: 1184,
}
WRITINGS: Final[dict[int, Writing]] = {
    **_SCALARS,
    **{oid: Writing((list,), _array_of(_SCALARS[element], element)) for oid, element in _ARRAYS.items()},
}
"""The built-in types whose arguments can be pipelined."""


def bind_of(name: bytes, oids: Sequence[int], columns: Sequence[int], writings: Mapping[int, Writing]) -> Bind | None:
    """Return a function that builds the messages of one call: Bind, Execute and Sync; None without a codec.

    Args:
        name: of the prepared statement.
        oids: the types of its parameters.
        columns: the formats of its columns.
        writings: the codecs by the oids of their types.

    Returns:
        A function of the arguments, and of whether only the first row is wanted. It raises `Unfit` or whatever a codec
        raises where an argument needs the pooled path.
    """
    found = [writings.get(oid) for oid in oids]
    chosen = [writing for writing in found if writing is not None]
    if len(chosen) < len(found):
        return None
    head = b"\0" + name + b"\0" + formats([writing.format for writing in chosen]) + struct.pack("!h", len(chosen))
    tail = formats(columns)
    return _generated(head, tail, chosen)


def _generated(head: bytes, tail: bytes, writings: Sequence[Writing]) -> Bind:
    """Generate and compile the function. Its text contains only numbers and names that are created here."""
    names: dict[str, Any] = {
        "head": head,
        "fixed": len(head) + len(tail) + 4,
        "begin": struct.Struct("!ci").pack,
        "length": _LENGTH,
        "NULL": _NULL,
        "Unfit": Unfit,
        "largest": LARGEST_REQUEST,
        "all_rows": tail + EXECUTE_ALL + SYNC,
        "one_row": tail + EXECUTE_ONE + SYNC,
    }
    arguments = "".join(f"a{number}, " for number in range(len(writings)))
    lines = ["def bind(args, one):"]
    if writings:
        lines.append(f"    {arguments.removesuffix(' ')} = args")
    for number, writing in enumerate(writings):
        lines.append(f"    if {_test(writing, number, names)}:")
        if writing.layout:
            code = struct.Struct("!i" + writing.layout)
            names[f"f{number}"] = code.pack
            lines.append(f"        p{number} = f{number}({code.size - 4}, a{number})")
        else:
            names[f"f{number}"] = writing.encode
            lines.append(f"        p{number} = f{number}(a{number})")
            lines.append(f"        p{number} = length(len(p{number})) + p{number}")
        lines.append(f"    elif a{number} is None:")
        lines.append(f"        p{number} = NULL")
        lines.append("    else:")
        lines.append("        raise Unfit")
    body = " + ".join([f"p{number}" for number in range(len(writings))]) or "b''"
    lines.append(f"    body = {body}")
    lines.append("    if len(body) > largest:")
    lines.append("        raise Unfit")
    lines.append(
        "    return begin(b'B', fixed + len(body)) + head + body + (one_row if one else all_rows)",
    )
    exec(compile("\n".join(lines), "<arguments of a pipelined statement>", "exec"), names)  # noqa: S102 - see above
    generated: Bind = names["bind"]
    return generated


def _test(writing: Writing, number: int, names: dict[str, Any]) -> str:
    if not writing.kinds:
        return f"a{number} is not None"
    if len(writing.kinds) == 1:
        names[f"k{number}"] = writing.kinds[0]
        return f"type(a{number}) is k{number}"
    names[f"k{number}"] = writing.kinds
    return f"type(a{number}) in k{number}"
