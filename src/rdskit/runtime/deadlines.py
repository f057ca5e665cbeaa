"""Deadlines: a time on the event loop's clock at which a call must end, retries included."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple


class Deadline(NamedTuple):
    """A time on the running loop's clock; ``at`` is None for no limit."""

    at: float | None
    budget: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline ``seconds`` from now; None for no limit."""
        return _NEVER if seconds is None else cls(asyncio.get_running_loop().time() + seconds, seconds)

    def within(self, seconds: float | None) -> Deadline:
        """Return the earlier of this deadline and ``seconds`` from now; None adds no limit."""
        if seconds is None:
            return self
        moment = asyncio.get_running_loop().time() + seconds
        return self if self.at is not None and self.at <= moment else Deadline(moment, seconds)

    def remaining(self) -> float | None:
        """Return the seconds left, never negative; None for no limit."""
        return None if self.at is None else max(0.0, self.at - asyncio.get_running_loop().time())

    def bounded(self, seconds: float) -> float:
        """Return the smaller of ``seconds`` and the seconds left."""
        left = self.remaining()
        return seconds if left is None else min(seconds, left)

    @property
    def due(self) -> float:
        """The time on the loop's clock, infinite for no limit."""
        return math.inf if self.at is None else self.at

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.at is not None and asyncio.get_running_loop().time() >= self.at


_NEVER = Deadline(None, None)
