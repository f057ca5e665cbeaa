"""Deadlines: a moment on the loop's clock by which a call has ended, retries included."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple


class Deadline(NamedTuple):
    """A moment on the running loop's clock; ``at`` is None for no limit."""

    at: float | None
    budget: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The moment that lies ``seconds`` from now."""
        return _NEVER if seconds is None else cls(asyncio.get_running_loop().time() + seconds, seconds)

    def within(self, seconds: float | None) -> Deadline:
        """The earlier one of this deadline and the moment that lies ``seconds`` from now; None adds no limit."""
        if seconds is None:
            return self
        moment = asyncio.get_running_loop().time() + seconds
        return self if self.at is not None and self.at <= moment else Deadline(moment, seconds)

    def remaining(self) -> float | None:
        """Seconds left, never negative; None for no limit."""
        return None if self.at is None else max(0.0, self.at - asyncio.get_running_loop().time())

    def bounded(self, seconds: float) -> float:
        """The smaller of ``seconds`` and what is left."""
        left = self.remaining()
        return seconds if left is None else min(seconds, left)

    @property
    def due(self) -> float:
        """The moment on the loop's clock, infinite for no limit."""
        return math.inf if self.at is None else self.at

    @property
    def passed(self) -> bool:
        """Whether the moment lies behind us."""
        return self.at is not None and asyncio.get_running_loop().time() >= self.at


_NEVER = Deadline(None, None)
