"""Define the lane: one pipelined connection, with what its pool knows of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rdskit.kernel.pipelining import Pipeline

_ROUND_TRIPS: Final = 4  # round trips that the oldest read may take on a slow network


class Lane:
    """One pipelined connection.

    Attributes:
        pipeline: the driver's connection.
        opened_at: when it was opened, on the loop's clock.
        expires_at: when it is due for replacement, on the same clock.
        late: its oldest read holds up others, or the host is in doubt, until the next answer.
        preparing: statements that are being prepared.
    """

    __slots__ = (
        "_seen",
        "_used_at",
        "_waits_since",
        "expires_at",
        "late",
        "opened_at",
        "pipeline",
        "preparing",
    )

    def __init__(self, pipeline: Pipeline, now: float, lifetime: float) -> None:
        self.pipeline = pipeline
        self.opened_at = self._used_at = now
        self.expires_at = now + lifetime
        self.late = False
        self.preparing: set[str] = set()
        self._seen = pipeline.answered
        self._waits_since = math.inf

    def doubt(self) -> None:
        """Send no further reads on it until the next answer."""
        self.late, self._seen = True, self.pipeline.answered

    def note(self, now: float, *, loop_lagged: bool) -> None:
        """Record its progress; called periodically while reads are in flight.

        Args:
            now: the loop's clock.
            loop_lagged: this process was busy for so long that an answer may have arrived without being read yet.
        """
        answered = self.pipeline.answered
        if answered != self._seen:
            self._seen, self._waits_since, self.late, self._used_at = answered, math.inf, False, now
        elif not self.pipeline.in_flight:
            self._waits_since, self.late = math.inf, False
        elif loop_lagged or self._waits_since == math.inf:
            # While the loop was blocked, no answer could be read: start the clock again.
            self._waits_since = now

    def waited(self, now: float) -> float:
        """Return for how many seconds its oldest read has waited, beyond what the network takes."""
        round_trip = self.pipeline.round_trip
        allowance = 0.0 if round_trip == math.inf else _ROUND_TRIPS * round_trip
        return now - self._waits_since - allowance

    def is_unused(self, now: float, limit: float) -> bool:
        """Return whether it had nothing to do for ``limit`` seconds."""
        return not self.pipeline.in_flight and now - self._used_at >= limit
