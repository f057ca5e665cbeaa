"""PostgreSQL's values as text, read into the types that queries give.

The text formats are those of the session settings in `postgres_source` (PostgreSQL manual, chapter "Data Types").
"""

from __future__ import annotations

import ipaddress
import re
import struct
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.kernel.codecs import json_value
from rdskit.kernel.positions import Lsn
from rdskit.kernel.text_arrays import TextArray
from rdskit.kernel.values import PgDate, PgInterval, PgTime, PgTimestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Read = Callable[[bytes], Any]

_FLOAT4: Final = struct.Struct("!f")
_DAY: Final = 86_400_000_000  # microseconds
_DATE_LIMITS: Final = {b"infinity": 2**31 - 1, b"-infinity": -(2**31)}
_TIME_LIMITS: Final = {b"infinity": 2**63 - 1, b"-infinity": -(2**63)}
_DATE: Final = re.compile(r"(\d+)-(\d\d)-(\d\d)(?: (\d\d:\d\d:\d\d[.\d]*)(?:\+00)?)?( BC)?")
_INTERVAL: Final = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d+))?S)?)?"
)
_DAYS_TO_2000: Final = 730_425
"""From 0000-03-01 of the proleptic Gregorian calendar to 2000-01-01."""


class ServerType(NamedTuple):
    """A type as ``pg_type`` describes it.

    Attributes:
        base: of a domain; 0 otherwise.
        element: of an array; 0 otherwise.
        delimiter: between the elements of an array.
    """

    base: int
    element: int
    delimiter: str


def text(data: bytes) -> str:
    """Read text, and whatever has no counterpart in Python."""
    return data.decode()


def _bool(data: bytes) -> bool:
    return data == b"t"


def _float4(data: bytes) -> float:
    value: float = _FLOAT4.unpack(_FLOAT4.pack(float(data)))[0]
    return value


def _bytea(data: bytes) -> bytes:
    return bytes.fromhex(data[2:].decode())


def _numeric(data: bytes) -> Decimal:
    return Decimal(data.decode())


def _uuid(data: bytes) -> uuid.UUID:
    return uuid.UUID(data.decode())


def _lsn(data: bytes) -> int:
    return int(Lsn.parse(data.decode()))


def _date(data: bytes) -> date | PgDate:
    try:
        return date.fromisoformat(data.decode())
    except ValueError:
        days = _DATE_LIMITS.get(data)
        return PgDate(_beyond(data)[0] if days is None else days)


def _timestamp(data: bytes) -> datetime | PgTimestamp:
    try:
        return datetime.fromisoformat(data.decode())
    except ValueError:
        moment = _TIME_LIMITS.get(data)
        if moment is not None:
            return PgTimestamp(moment)
        days, clock = _beyond(data)
        return PgTimestamp(days * _DAY + clock)


def _moment(data: bytes) -> datetime | PgTimestamp:
    value = _timestamp(data)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _beyond(data: bytes) -> tuple[int, int]:
    """Return the days since 2000-01-01, and the microseconds of the day, of a date that Python cannot hold."""
    found = _DATE.fullmatch(data.decode())
    if found is None:
        raise ValueError("a date of an unknown format")
    shown, month, day, clock, before_christ = found.groups()
    year = 1 - int(shown) if before_christ else int(shown)
    shifted_year = year - (int(month) <= 2)  # noqa: PLR2004 - the year begins in March here
    era, of_era = divmod(shifted_year, 400)
    day_of_year = (153 * ((int(month) + 9) % 12) + 2) // 5 + int(day) - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - _DAYS_TO_2000
    return days, _microseconds(time.fromisoformat(clock)) if clock else 0


def _microseconds(value: time) -> int:
    return (value.hour * 3600 + value.minute * 60 + value.second) * 1_000_000 + value.microsecond


def _time(data: bytes) -> time | PgTime:
    return PgTime(_DAY) if data == b"24:00:00" else time.fromisoformat(data.decode())


def _time_with_zone(data: bytes) -> time | PgTime:
    if not data.startswith(b"24"):
        return time.fromisoformat(data.decode())
    offset = time.fromisoformat("00" + data[2:].decode()).utcoffset()
    assert offset is not None
    return PgTime(_DAY, offset.days * 86_400 + offset.seconds)


def _interval(data: bytes) -> timedelta | PgInterval:
    if data in _TIME_LIMITS:
        limit = 1 if data == b"infinity" else -1
        whole = 2**31 - 1 if limit > 0 else -(2**31)
        return PgInterval(whole, whole, _TIME_LIMITS[data])
    found = _INTERVAL.fullmatch(data.decode())
    if found is None:
        raise ValueError("an interval of an unknown format")
    years, months, days, hours, minutes = (int(part or 0) for part in found.groups()[:5])
    sign, seconds, fraction = found.groups()[5:]
    rest = int(seconds or 0) * 1_000_000 + int((fraction or "").ljust(6, "0"))
    micros = (hours * 3600 + minutes * 60) * 1_000_000 + (-rest if sign else rest)
    if years or months:
        return PgInterval(years * 12 + months, days, micros)
    try:
        return timedelta(days, 0, micros)
    except OverflowError:
        return PgInterval(0, days, micros)


def _inet(data: bytes) -> Any:
    value = ipaddress.ip_interface(data.decode())
    return value.ip if value.network.prefixlen == value.max_prefixlen else value


def _cidr(data: bytes) -> Any:
    return ipaddress.ip_network(data.decode())


# By the oids of pg_type.dat, which never change. What is not here is read as text, the server's own.
SCALARS: Final[Mapping[int, Read]] = {
    16: _bool,
    17: _bytea,
    20: int,
    21: int,
    23: int,
    25: text,
    26: int,
    28: int,
    114: json_value,
    650: _cidr,
    700: _float4,
    701: float,
    869: _inet,
    1042: text,
    1043: text,
    1082: _date,
    1083: _time,
    1114: _timestamp,
    1184: _moment,
    1186: _interval,
    1266: _time_with_zone,
    1700: _numeric,
    2950: _uuid,
    3220: _lsn,
    3802: json_value,
    5069: int,
}


def reader(oid: int, types: Mapping[int, ServerType]) -> Read:
    """Return the function that reads a type's values.

    Args:
        oid: of the type.
        types: what the server says of types that are not among `SCALARS`.
    """
    while oid not in SCALARS:
        found = types.get(oid)
        if found is None:
            return text
        if found.base:
            oid = found.base
            continue
        return _array(found, types) if found.element else text
    return SCALARS[oid]


def _array(found: ServerType, types: Mapping[int, ServerType]) -> Read:
    element = reader(found.element, types)
    array = TextArray(found.delimiter, str, lambda item: element(item.encode()))
    return lambda data: array.decode(data.decode())
