"""Encode and decode PostgreSQL's dates and times without truncation, zone changes or new infinities.

A ``datetime`` without a zone is UTC, whatever the process's own zone is. MySQL and MariaDB need this rule too, because
they do not report which kind of column an argument is for.
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from rdskit.kernel.values import PgDate, PgInterval, PgTime, PgTimestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

_NAIVE_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - of a type without a zone
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND


def set_time_codecs(raw: asyncpg.Connection) -> None:
    """Register the codecs of dates and times; the types are built in, so this costs no round trip.

    In asyncpg's "tuple" format its own C code reads and writes the wire, and these functions see plain integers.
    """
    settings = raw._protocol.get_settings()  # noqa: SLF001 - `set_type_codec` does the same, after a look-up by name
    for oid, name, encode, decode in TIME_CODECS:
        settings.add_python_codec(oid, name, "pg_catalog", (), "scalar", encode, decode, "tuple")


# -- date --------------------------------------------------------------------------------------------------------------


def _from_date(value: Any) -> tuple[int]:
    if isinstance(value, date) and not isinstance(value, datetime):
        return (value.toordinal() - _EPOCH_ORDINAL,)
    if isinstance(value, PgDate):
        return (value.days,)
    if isinstance(value, datetime):
        raise TypeError("a datetime has a time, which a date would lose: pass value.date()")
    raise _unsuitable(value, "a date")


def _to_date(value: tuple[int]) -> date | PgDate:
    try:
        return date.fromordinal(value[0] + _EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        return PgDate(value[0])


# -- timestamps --------------------------------------------------------------------------------------------------------


def _from_moment(value: Any) -> tuple[int]:
    try:
        span = value - _EPOCH
    except TypeError:
        return _from_other(value)
    return (span.days * _DAY + span.seconds * _SECOND + span.microseconds,)


def _from_local(value: Any) -> tuple[int]:
    try:
        span = value - _NAIVE_EPOCH
    except TypeError:
        return _from_other(value)
    return (span.days * _DAY + span.seconds * _SECOND + span.microseconds,)


def _from_other(value: Any) -> tuple[int]:
    """Encode what is not a datetime of the column's kind: one of the other kind, a date, or an out-of-range value."""
    if isinstance(value, datetime):
        return _from_local(value.astimezone(UTC).replace(tzinfo=None)) if value.tzinfo else _from_local(value)
    if isinstance(value, date):
        return ((value.toordinal() - _EPOCH_ORDINAL) * _DAY,)
    if isinstance(value, PgTimestamp):
        return (value.microseconds,)
    raise _unsuitable(value, "a datetime")


def _to_moment(value: tuple[int]) -> datetime | PgTimestamp:
    try:
        return _EPOCH + timedelta(0, 0, value[0])
    except OverflowError:
        return PgTimestamp(value[0])


def _to_local(value: tuple[int]) -> datetime | PgTimestamp:
    try:
        return _NAIVE_EPOCH + timedelta(0, 0, value[0])
    except OverflowError:
        return PgTimestamp(value[0])


# -- times of day ------------------------------------------------------------------------------------------------------


def _from_time(value: Any) -> tuple[int]:
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise TypeError("the time has a zone, which the column has not: pass value.replace(tzinfo=None)")
        return (_microseconds(value),)
    if isinstance(value, PgTime) and value.offset is None:
        return (value.microseconds,)
    raise _unsuitable(value, "a time")


def _to_time(value: tuple[int]) -> time | PgTime:
    seconds, fraction = divmod(value[0], _SECOND)
    minutes, second = divmod(seconds, 60)
    try:
        return time(minutes // 60, minutes % 60, second, fraction)
    except ValueError:
        return PgTime(value[0])


def _from_time_with_zone(value: Any) -> tuple[int, int]:
    # The server counts offsets to the west, Python to the east.
    if isinstance(value, PgTime):
        return value.microseconds, -(value.offset or 0)
    if not isinstance(value, time):
        raise _unsuitable(value, "a time")
    if value.tzinfo is None:
        return _microseconds(value), 0
    offset = value.utcoffset()
    if offset is None:
        raise TypeError("the time's zone has no offset without a date: give it a datetime.timezone")
    return _microseconds(value), -(offset.days * 86_400 + offset.seconds)


def _to_time_with_zone(value: tuple[int, int]) -> time | PgTime:
    plain = _to_time((value[0],))
    if isinstance(plain, PgTime):
        return PgTime(value[0], -value[1])
    return plain.replace(tzinfo=_zone(-value[1]))


@functools.lru_cache(maxsize=128)
def _zone(seconds: int) -> timezone:
    return timezone(timedelta(seconds=seconds))


def _microseconds(value: time) -> int:
    return (value.hour * 3600 + value.minute * 60 + value.second) * _SECOND + value.microsecond


# -- interval ----------------------------------------------------------------------------------------------------------


def _from_interval(value: Any) -> tuple[int, int, int]:
    if isinstance(value, timedelta):
        days, rest = value.days, value.seconds * _SECOND + value.microseconds
        if days < 0 and rest:  # -1 s is -1 day + 86,399 s to Python, and would be stored as both
            days, rest = days + 1, rest - _DAY
        return 0, days, rest
    if isinstance(value, PgInterval):
        return value.months, value.days, value.microseconds
    raise _unsuitable(value, "a timedelta")


def _to_interval(value: tuple[int, int, int]) -> timedelta | PgInterval:
    months, days, rest = value
    if months == 0:
        try:
            return timedelta(days, 0, rest)
        except OverflowError:
            pass
    return PgInterval(months, days, rest)


def _unsuitable(value: object, wanted: str) -> TypeError:
    return TypeError(f"expected {wanted}, got {type(value).__name__}")


# By the oids of pg_type.dat, which never change.
TIME_CODECS: Final[tuple[tuple[int, str, Callable[[Any], Any], Callable[[Any], Any]], ...]] = (
    (1082, "date", _from_date, _to_date),
    (1083, "time", _from_time, _to_time),
    (1114, "timestamp", _from_local, _to_local),
    (1184, "timestamptz", _from_moment, _to_moment),
    (1186, "interval", _from_interval, _to_interval),
    (1266, "timetz", _from_time_with_zone, _to_time_with_zone),
)
