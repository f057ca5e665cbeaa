"""Eject readers that return errors for a while, but never more than half of them.

Sources: Envoy's outlier detection (consecutive errors, base ejection time times the number of ejections, maximum
ejection percentage, panic threshold).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS_IN_A_ROW: Final = 5
EJECTION: Final = 30.0  # seconds; the second time twice as long, the third time three times
LONGEST_EJECTION: Final = 300.0  # seconds; after as long without an ejection, a reader's count starts again

T = TypeVar("T")


class Record(NamedTuple):
    """A reader's recent errors and ejections.

    Attributes:
        errors: errors in a row since its last answer.
        ejections: how often it was ejected.
        until: when its last ejection ends or ended.
    """

    errors: int = 0
    ejections: int = 0
    until: float = -math.inf

    def is_ejected(self, now: float) -> bool:
        """Return whether it gets no reads now."""
        return now < self.until

    def succeeded(self) -> Record:
        """Return the record after an answer."""
        return self._replace(errors=0)

    def failed(self, now: float, *, others_ejected: int, fleet: int) -> Record:
        """Return the record after an error or a timeout.

        Args:
            now: seconds on any monotonic clock.
            others_ejected: other readers that are ejected now.
            fleet: number of all readers; at most half of them are ejected at a time.
        """
        errors = self.errors + 1
        if errors < ERRORS_IN_A_ROW or self.is_ejected(now) or 2 * (others_ejected + 1) > fleet:
            return self._replace(errors=errors)
        ejections = 1 if now - self.until > LONGEST_EJECTION else self.ejections + 1
        return Record(0, ejections, now + min(EJECTION * ejections, LONGEST_EJECTION))


def not_ejected(readers: list[T], record: Callable[[T], Record], now: float) -> list[T]:
    """Return the readers that are not ejected; all of them if every one is ejected."""
    return [reader for reader in readers if not record(reader).is_ejected(now)] or readers
