"""How long to wait before the next attempt."""

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
        """Seconds to wait before an attempt.

        Args:
            attempt: how many attempts have failed so far, at least 1.
            uniform: a random number from [0, 1).
        """
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt - 1, 62))
        return ceiling * uniform


CONNECT = Backoff(base=0.02, cap=0.25)
TRANSACTION = Backoff(base=0.01, cap=1.0)
