"""Decide from probe results whether a silent host is late, silent or lost."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

PROBE_INTERVAL: Final = 0.2
"""Seconds between two probes, and the duration of a call after which probing starts."""
MISSES_ALLOWED: Final = 3
"""Missed probes in a row after which a host counts as silent; after the first, the other hosts are asked."""
SILENCE_TIMEOUT: Final = 10.0
"""Seconds of silence after which the host's connections are aborted, although no other writer is known."""


_STEADY_DELAY: Final = 0.05  # seconds between two refreshes from 0.4 s to 2.5 s after the loss of the writer


class HostVerdict(enum.Enum):
    """The state of a host, as its probes show it."""

    ANSWERS = "it answers"
    DOUBTFUL = "it is late; there may be another writer"
    SILENT = "it does not answer"
    LOST = "it has not answered for too long"


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a host's last probes.

    Attributes:
        misses: missed probes in a row.
        silent_since: when the first of them was sent; None while the host answers.
    """

    misses: int = 0
    silent_since: float | None = None

    def missed(self, sent: float) -> Health:
        """Return the health after one more missed probe; ``sent`` is when it was sent."""
        return Health(self.misses + 1, sent if self.silent_since is None else self.silent_since)

    def verdict(self, now: float) -> HostVerdict:
        """Return the host's state at a moment."""
        if self.silent_since is None:
            return HostVerdict.ANSWERS
        if self.misses < MISSES_ALLOWED:
            return HostVerdict.DOUBTFUL
        return HostVerdict.LOST if now - self.silent_since >= SILENCE_TIMEOUT else HostVerdict.SILENT


def refresh_delay(eager: float, away: float | None) -> float:
    """Return the seconds until the next refresh: short at first, one second from 50 s after the loss.

    At first the delay is an eighth of the time since the loss, so that a quick failover is noticed quickly at the cost
    of a few more queries.

    Args:
        eager: the shortest delay, which the source of the topology chooses.
        away: seconds since the writer was lost; None if it is not known to be lost.
    """
    if away is None:
        return max(eager, _STEADY_DELAY)
    return max(eager, min(_STEADY_DELAY, away / 8), min(1.0, away / 50))
