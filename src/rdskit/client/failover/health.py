"""Whether a host is still there while calls to it have no answer: a decision on plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

PROBE_INTERVAL: Final = 0.2
"""Seconds between two probes, and what a call may take before the first."""
MISSES_ALLOWED: Final = 3
"""Probes in a row without an answer after which a host is silent; after the first, others are asked who writes."""
PATIENCE: Final = 10.0
"""Seconds of silence after which its connections are cut, although nobody knows of another writer."""


_STEADY: Final = 0.05  # seconds between two looks, after the first 0.4 s and before a pause of 2 % is longer


class HostVerdict(enum.Enum):
    """What is thought of a host."""

    ANSWERS = "it answers"
    DOUBTFUL = "it is late: is there another writer?"
    SILENT = "it does not answer"
    LOST = "it has not answered for too long"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes of a host have shown.

    Attributes:
        misses: probes in a row without an answer.
        silent_since: when the first of them was sent; None while the host answers.
    """

    misses: int = 0
    silent_since: float | None = None

    def missed(self, sent: float) -> Health:
        """The health after one more probe without an answer; ``sent`` is when it was sent."""
        return Health(self.misses + 1, sent if self.silent_since is None else self.silent_since)

    def verdict(self, now: float) -> HostVerdict:
        """What is thought of the host at a moment."""
        if self.silent_since is None:
            return HostVerdict.ANSWERS
        if self.misses < MISSES_ALLOWED:
            return HostVerdict.DOUBTFUL
        return HostVerdict.LOST if now - self.silent_since >= PATIENCE else HostVerdict.SILENT


def next_look(eager: float, away: float | None) -> float:
    """Seconds until the next look for the writer: often at first, about once a second after a minute.

    A pause is at first an eighth of the time that has passed: a quick failover is seen quickly for a few looks more.

    Args:
        eager: the shortest pause, which the source of the topology chooses.
        away: seconds for which the writer has been away; None where that is not known of it.
    """
    if away is None:
        return max(eager, _STEADY)
    return max(eager, min(_STEADY, away / 8), min(1.0, away / 50))
