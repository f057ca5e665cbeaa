"""Convert Python values to MySQL and MariaDB parameters, and their columns to Python.

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
JSON on MySQL                  decoded; ``JSON_NULL`` and ``JsonString`` where the whole document is null or a string
JSON on MariaDB                ``str``: an alias of LONGTEXT there; the result does not distinguish them
UUID on MariaDB                ``str``, for the same reason
=============================  ========================================================================================

The server binds these types as parameters: None, bool, int (64 bits, signed or not), float, Decimal, str, bytes, date,
time, timedelta, UUID (as text), dict and list (as JSON text), Enum (by its value), and every type of an application's
codec. A datetime with a zone is converted to UTC; a TIMESTAMP column reads one without a zone as UTC.

These values are refused before anything is sent: NaN and infinities, Decimals of more than 65 digits or 30 decimal
places, timedeltas beyond 838:59:59, times with a zone, texts with lone surrogates.
"""

from __future__ import annotations

import functools
import json
import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from asyncmy.constants import FIELD_TYPE
from asyncmy.converters import conversions

from rdskit.errors import StatementError
from rdskit.kernel.codecs import JSON_TYPE, Codec, JsonNull, json_text, json_value, text_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rdskit.kernel.codecs import NamedCodec

    _Encoder = tuple[type | tuple[type, ...], Callable[[Any], Any]]

PLAIN: Final = frozenset({type(None), bool, int, str, bytes, date})
"""Types whose values are sent unchanged: the protocol can carry each of them, or asyncmy refuses before it sends."""

_LONGEST_TIME: Final = timedelta(hours=838, minutes=59, seconds=59)
_DIGITS: Final = 65
"""Digits of a DECIMAL in all."""
_DECIMAL_PLACES: Final = 30
"""Digits of a DECIMAL after the decimal point."""


def _bits(value: bytes) -> int:
    return int.from_bytes(value, "big")


CONVERSIONS: Final[dict[Any, Any]] = {
    **{type_: read for type_, read in conversions.items() if type_ != FIELD_TYPE.JSON},
    FIELD_TYPE.BIT: _bits,
}
"""asyncmy's conversions by column type, with rdskit's replacements. Codecs receive their results."""


class Arguments:
    """Convert the arguments of one connection's statements.

    Args:
        codecs: those of the application, which take precedence.
    """

    def __init__(self, codecs: Iterable[NamedCodec] = ()) -> None:
        chosen = dict(codecs)
        document = functools.partial(_document, chosen.get(JSON_TYPE, _JSON))
        own = ((codec.types, _document_of(codec) if name == JSON_TYPE else _text_of(codec)) for name, codec in codecs)
        documents: _Encoder = ((dict, list, JsonNull), document)
        self._encoders: tuple[_Encoder, ...] = (*(each for each in own if each[0]), *_ENCODERS, documents)
        self._exact: dict[Any, Callable[[Any], Any]] = {
            kind: encode
            for kinds, encode in reversed(self._encoders)
            for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
            if kind is not Enum
        }

    def bound(self, args: Sequence[Any]) -> Sequence[Any]:
        """Convert arguments to types that the protocol carries.

        The server replaces a value that it cannot hold by zero or by its own limit, whether strict mode is on or not:
        NaN becomes 0, a Decimal of 70 digits becomes 999…. So such values are refused here.

        Raises:
            DriverError: an argument has no counterpart in MySQL. The connection stays usable.
        """
        if PLAIN.issuperset(map(type, args)):
            return args
        exact, other = self._exact, self._bound
        return [value if (kind := type(value)) in PLAIN else exact.get(kind, other)(value) for value in args]

    def _bound(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self._bound(value.value)
        for kind, encode in self._encoders:
            if isinstance(value, kind):
                return encode(value)
        raise _refused(
            f"a parameter is of type {type(value).__name__}, which MySQL has no counterpart for: "
            "pass a str, number, bytes, date or time, UUID, dict or list"
        )


def _refused(message: str) -> DriverError:
    return DriverError(Failure.REFUSED, StatementError(message))


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise _refused(
            f"a parameter is the float {value}, which no column of MySQL or MariaDB holds: give None instead"
        )
    return value


def _decimal(value: Decimal) -> Decimal:
    places = value.as_tuple().exponent
    if not isinstance(places, int):
        raise _refused(
            f"a parameter is the Decimal {value}, which no column of MySQL or MariaDB holds: give None instead"
        )
    if places >= -_DECIMAL_PLACES and value.adjusted() + max(0, -places) < _DIGITS:
        return value
    if not value:
        return _ZERO
    if places < -_DECIMAL_PLACES:
        raise _refused(
            f"a Decimal parameter has {-places} decimal places, and MySQL and MariaDB hold {_DECIMAL_PLACES}: round it"
        )
    raise _refused(f"a Decimal parameter has more than the {_DIGITS} digits that MySQL and MariaDB hold: round it")


def _datetime(value: datetime) -> datetime:
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise _refused("a datetime parameter is outside the years 1 to 9999 in UTC: give one inside them") from None


def _time(value: time) -> time:
    if value.tzinfo is not None:
        raise _refused("a parameter is a time with a zone, and TIME has none: give a datetime, or a time without one")
    return value


def _interval(value: timedelta) -> timedelta:
    if abs(value) > _LONGEST_TIME:
        raise _refused(
            "a timedelta parameter is longer than 838:59:59, the longest TIME: give its total_seconds() to a number "
            "column instead"
        )
    return value


def _document(codec: Codec, value: Any) -> str:
    try:
        text = text_of(codec, value)
    except Exception as error:
        raise _refused(
            f"a {type(value).__name__} parameter cannot be written as JSON: {type(error).__name__}"
        ) from error
    if _LONG_NUMBER.search(text) and _has_long_int(json.loads(text)):
        raise _refused(
            f"a {type(value).__name__} parameter has an int that is not between -2**63 and 2**64 - 1, which JSON on "
            "MySQL rounds: give it as a str"
        )
    return text


def _document_of(codec: Codec) -> Callable[[Any], str]:
    return functools.partial(_document, codec)


def _text_of(codec: Codec) -> Callable[[Any], str]:
    def encode(value: Any) -> str:
        try:
            return text_of(codec, value)
        except Exception as error:
            raise _refused(
                f"a {type(value).__name__} parameter cannot be written by its codec: {type(error).__name__}"
            ) from error

    return encode


def _has_long_int(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_long_int, value.values()))
    if isinstance(value, list):
        return any(map(_has_long_int, value))
    return isinstance(value, int) and not _LEAST <= value <= _MOST


def _same(value: Any) -> Any:
    return value


_ZERO: Final = Decimal(0)
_LONG_NUMBER: Final = re.compile(r"\d{19}")
_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1

# The order matters: a datetime is also a date. An IntEnum is also an int, so Enum is checked before all of them.
_ENCODERS: Final[tuple[_Encoder, ...]] = (
    (float, _float),
    (Decimal, _decimal),
    (datetime, _datetime),
    (time, _time),
    (timedelta, _interval),
    ((bool, int, str, bytes, date, type(None)), _same),
    ((bytearray, memoryview), bytes),
    (UUID, str),
)
_JSON: Final = Codec(functools.partial(json_text, allow_nan=False), json_value)
