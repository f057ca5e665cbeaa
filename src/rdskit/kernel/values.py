"""PostgreSQL values outside the range of Python's date and time types.

A column returns them only where the plain type has no room. They are accepted as parameters too, and stand for exactly
the stored value. ``str()`` returns the server's text in UTC and ISO style.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DAY: Final = 86_400_000_000
"""Microseconds of a day."""

_DATE_LIMITS: Final = {2**31 - 1: "infinity", -(2**31): "-infinity"}
_TIME_LIMITS: Final = {2**63 - 1: "infinity", -(2**63): "-infinity"}
_DAYS_TO_2000: Final = 730_425
"""Days from 0000-03-01 of the proleptic Gregorian calendar to 2000-01-01."""


@dataclass(frozen=True, slots=True, order=True)
class PgDate:
    """A date before the year 1 or after 9999, or ``infinity``.

    Attributes:
        days: since 2000-01-01.
    """

    days: int

    @property
    def is_infinite(self) -> bool:
        """Whether it is ``infinity`` or ``-infinity``."""
        return self.days in _DATE_LIMITS

    def __str__(self) -> str:
        return _DATE_LIMITS.get(self.days) or _with_era(self.days, "")


@dataclass(frozen=True, slots=True, order=True)
class PgTimestamp:
    """A moment before the year 1 or after 9999, or ``infinity``; for ``timestamp`` and ``timestamptz``.

    Attributes:
        microseconds: since 2000-01-01 00:00, for ``timestamptz`` in UTC.
    """

    microseconds: int

    @property
    def is_infinite(self) -> bool:
        """Whether it is ``infinity`` or ``-infinity``."""
        return self.microseconds in _TIME_LIMITS

    def __str__(self) -> str:
        days, rest = divmod(self.microseconds, _DAY)
        return _TIME_LIMITS.get(self.microseconds) or _with_era(days, f" {_clock(rest)}")


@dataclass(frozen=True, slots=True, order=True)
class PgTime:
    """The time 24:00, which is distinct from 00:00.

    Attributes:
        microseconds: since midnight.
        offset: seconds east of UTC for ``timetz``; None for ``time``.
    """

    microseconds: int = _DAY
    offset: int | None = None

    def __str__(self) -> str:
        if self.offset is None:
            return _clock(self.microseconds)
        minutes, seconds = divmod(abs(self.offset), 60)
        zone = f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
        return f"{_clock(self.microseconds)}{'-' if self.offset < 0 else '+'}{zone}"


@dataclass(frozen=True, slots=True)
class PgInterval:
    """An interval with months, which have no length of their own, or one that is infinite or beyond ``timedelta``.

    Attributes:
        months: whole months; twelve make a year.
        days: whole days.
        microseconds: the rest; may exceed a day.
    """

    months: int = 0
    days: int = 0
    microseconds: int = 0

    @property
    def is_infinite(self) -> bool:
        """Whether it is ``infinity`` or ``-infinity`` (PostgreSQL 17 and later)."""
        return (self.months, self.days) in {(2**31 - 1, 2**31 - 1), (-(2**31), -(2**31))}

    def __str__(self) -> str:
        if self.is_infinite:
            return "infinity" if self.months > 0 else "-infinity"
        sign = "-" if self.microseconds < 0 else ""
        return f"{self.months} mons {self.days} days {sign}{_clock(abs(self.microseconds))}"


def _clock(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
    return f"{text}.{fraction:06}".rstrip("0") if fraction else text


def _with_era(days: int, clock: str) -> str:
    """Format a day of the proleptic Gregorian calendar; the year before 1 is 1 BC.

    Years are counted from March, so that the leap day is the last day of its year (Howard Hinnant, "chrono-Compatible
    Low-Level Date Algorithms").
    """
    era, day_of_era = divmod(days + _DAYS_TO_2000, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9  # noqa: PLR2004 - January and February end the year
    year = year_of_era + era * 400 + (month <= 2)  # noqa: PLR2004 - same
    shown = year if year > 0 else 1 - year
    return f"{shown:04}-{month:02}-{day:02}{clock}{'' if year > 0 else ' BC'}"
