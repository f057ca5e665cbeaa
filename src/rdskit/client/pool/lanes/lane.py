"""One pipelined connection and what its pool knows of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rdskit.kernel.pipelining import Pipeline

_ROUND_TRIPS: Final = 4  # that the oldest read may take on a slow network


class Lane:
    """One connection.

    Attributes:
        pipeline: the driver's connection.
        opened_at: when it was opened, on the loop's clock.
        expires_at: when it is due for replacement, on the same clock.
        round_trip: seconds of the fastest answer so far; infinite before the first.
        late: its oldest read holds up others, or the host is in doubt, until the next answer.
        preparing: statements that are being prepared.
    """

    __slots__ = (
        "_moved_at",
        "_seen",
        "expires_at",
        "late",
        "opened_at",
        "pipeline",
        "preparing",
        "round_trip",
    )

    def __init__(self, pipeline: Pipeline, now: float, lifetime: float) -> None:
        self.pipeline = pipeline
        self.opened_at = self._moved_at = now
        self.expires_at = now + lifetime
        self.round_trip = math.inf
        self.late = False
        self.preparing: set[str] = set()
        self._seen = pipeline.answered

    def began(self, now: float) -> None:
        """Note that the first read after a pause was sent."""
        self._moved_at, self._seen = now, self.pipeline.answered

    def doubt(self) -> None:
        """Trust it no more until the next answer."""
        self.late, self._seen = True, self.pipeline.answered

    def is_late(self, now: float, limit: float) -> bool:
        """Return whether the oldest read holds up others.

        Args:
            now: the loop's clock.
            limit: seconds that a read may take, on a network without delay.
        """
        answered = self.pipeline.answered
        if answered != self._seen or not self.pipeline.in_flight:
            self._seen, self._moved_at, self.late = answered, now, False
            return False
        patience = limit if self.round_trip == math.inf else max(limit, _ROUND_TRIPS * self.round_trip)
        return now - self._moved_at >= patience

    def is_unused(self, now: float, limit: float) -> bool:
        """Return whether it had nothing to do for ``limit`` seconds."""
        return not self.pipeline.in_flight and now - self._moved_at >= limit
