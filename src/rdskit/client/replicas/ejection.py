"""Readers that answer with errors are left alone for a while, but never so many that the rest must break.

Sources: Envoy's outlier detection (consecutive errors, base ejection time times the number of ejections, at most a part
of the fleet, panic threshold).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS_IN_A_ROW: Final = 5
EJECTION: Final = 30.0  # seconds; the second time twice as long, the third time three times
LONGEST_EJECTION: Final = 300.0  # seconds; a reader that did well for as long starts from the beginning

T = TypeVar("T")


class Record(NamedTuple):
    """How a reader did lately.

    Attributes:
        errors: in a row, since it last answered.
        ejections: how often it was ejected.
        until: when its last ejection ends or ended.
    """

    errors: int = 0
    ejections: int = 0
    until: float = -math.inf

    def is_ejected(self, now: float) -> bool:
        """Whether it gets no reads now."""
        return now < self.until

    def succeeded(self) -> Record:
        """It answered."""
        return self._replace(errors=0)

    def failed(self, now: float, *, others_ejected: int, fleet: int) -> Record:
        """It gave an error, or none in time.

        Args:
            now: seconds on whatever clock.
            others_ejected: readers that are ejected now, this one aside.
            fleet: readers in all; at most half of them are ejected at a time.
        """
        errors = self.errors + 1
        if errors < ERRORS_IN_A_ROW or self.is_ejected(now) or 2 * (others_ejected + 1) > fleet:
            return self._replace(errors=errors)
        ejections = 1 if now - self.until > LONGEST_EJECTION else self.ejections + 1
        return Record(0, ejections, now + min(EJECTION * ejections, LONGEST_EJECTION))


def not_ejected(readers: list[T], record: Callable[[T], Record], now: float) -> list[T]:
    """Leave the ejected ones out; if that leaves nobody, a poor reader is better than none: all of them."""
    return [reader for reader in readers if not record(reader).is_ejected(now)] or readers
