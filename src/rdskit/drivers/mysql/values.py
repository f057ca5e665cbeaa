"""How Python's values travel to a MySQL or MariaDB server and back.

=============================  ========================================================================================
column                         Python
=============================  ========================================================================================
DECIMAL                        ``Decimal``
BIGINT … UNSIGNED              ``int``
TINYINT(1), BOOL               ``int``: the server has no other type for it, and it holds -128 to 127
BIT(n)                         ``int``
YEAR                           ``int``
DATETIME                       ``datetime`` without a zone, as it is stored
TIMESTAMP                      ``datetime`` in UTC
DATE                           ``date``
TIME                           ``timedelta``: it may be negative and longer than a day
zero dates (``0000-00-00``)    ``None``, also where only month or day is zero; our sessions cannot write one
CHAR, TEXT, ENUM, SET          ``str`` (a SET with commas)
BINARY, BLOB                   ``bytes``
JSON on MySQL                  decoded
JSON on MariaDB                ``str``: an alias of LONGTEXT there; the server does not tell them apart
UUID on MariaDB                ``str``, for the same reason
=============================  ========================================================================================

As parameters these are bound by the server: None, bool, int (64 bits, signed or not), float, Decimal, str, bytes,
datetime (with a zone: converted to UTC), date, time, timedelta, UUID (as text), dict and list (as JSON text), Enum (by
its value).
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from asyncmy.constants import FIELD_TYPE
from asyncmy.converters import conversions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNCHANGED: Final = frozenset({type(None), bool, int, float, str, bytes, Decimal, date, timedelta})
"""Types whose values travel as they are, so that ``bound`` has nothing to do."""


def _bits(value: bytes) -> int:
    return int.from_bytes(value, "big")


DECODERS: Final[dict[Any, Any]] = {**conversions, FIELD_TYPE.JSON: json.loads, FIELD_TYPE.BIT: _bits}
"""asyncmy's conversions by column type, with ours in their places."""


def bound(args: Sequence[Any]) -> Sequence[Any]:
    """Bring arguments into the types that the wire knows.

    Raises:
        TypeError: an argument is of a type that has no counterpart.
    """
    if UNCHANGED.issuperset(map(type, args)):
        return args
    return [value if type(value) in UNCHANGED else _bound(value) for value in args]


def _bound(value: Any) -> Any:
    for kind, encode in _ENCODERS:
        if isinstance(value, kind):
            return encode(value)
    raise TypeError(
        f"a parameter is of type {type(value).__name__}, which MySQL has no counterpart for: "
        "give a str, number, bytes, date or time, UUID, dict or list"
    )


def _naive(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _without_zone(value: time) -> time:
    if value.tzinfo is not None:
        raise TypeError(
            f"a parameter is the time {value}, and TIME has no zone: give a datetime, or a time without one"
        )
    return value


def _same(value: Any) -> Any:
    return value


# In order: an IntEnum is an int as well, and a datetime is a date.
_ENCODERS: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: _bound(value.value)),
    (datetime, _naive),
    (time, _without_zone),
    ((bool, int, float, str, bytes, Decimal, date, timedelta, type(None)), _same),
    ((bytearray, memoryview), bytes),
    (UUID, str),
    ((dict, list), json.dumps),
)
