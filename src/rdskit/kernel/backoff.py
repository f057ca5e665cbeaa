"""Compute how long to wait before the next attempt."""

from __future__ import annotations

from typing import NamedTuple


class Backoff(NamedTuple):
    """Exponential backoff with full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: sleep = U(0, min(cap, base · 2ⁿ)).

    Attributes:
        base: the first ceiling, in seconds.
        cap: the largest ceiling, in seconds.
    """

    base: float
    cap: float

    def delay(self, attempt: int, uniform: float) -> float:
        """Return the seconds to wait before an attempt.

        Args:
            attempt: how many attempts have failed so far, at least 1.
            uniform: a random number from [0, 1).
        """
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt - 1, 62))
        return ceiling * uniform


class OutageBackoff(NamedTuple):
    """Backoff for an unreachable host: a share of the outage so far, with full jitter.

    The end of a short outage is noticed at once, and a long one costs few attempts. The time lost by waiting stays
    proportional to the outage.

    Attributes:
        share: of the outage so far, as the ceiling of one wait.
        floor: smallest ceiling of one wait, in seconds.
        cap: largest ceiling of one wait, in seconds.
    """

    share: float
    floor: float
    cap: float

    def delay(self, away: float, uniform: float) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            away: seconds since the first failed attempt.
            uniform: a random number from [0, 1).
        """
        return min(self.cap, max(self.floor, self.share * away)) * uniform


# The cap leaves time for the connection itself, so that a host that is back is in use within a second.
CONNECT = OutageBackoff(share=0.1, floor=0.01, cap=0.8)
# While the other hosts are probed for the writer role, the lost host is probed less often: it is rarely the new writer.
CONNECT_AMONG_OTHERS = OutageBackoff(share=0.1, floor=0.2, cap=0.8)
# Other hosts serve in place of a lost reader, so no caller waits for it.
CONNECT_READER = OutageBackoff(share=0.1, floor=0.8, cap=0.8)
TRANSACTION = Backoff(base=0.01, cap=1.0)
