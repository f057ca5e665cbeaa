"""When waiting for a host has lost its point."""

from __future__ import annotations

from typing import NamedTuple


class Breaker(NamedTuple):
    """How long every attempt to reach a host has failed.

    It opens once the host has been away for longer than a caller would wait anyway: from then on callers are told at
    once, and one task keeps asking. Those who wait already go on until their own deadline.

    Attributes:
        failing_since: the first failure since the last success, on any clock that only grows; None while all is well.
    """

    failing_since: float | None = None

    def failed(self, now: float) -> Breaker:
        """The state after a failed attempt."""
        return self if self.failing_since is not None else Breaker(now)

    def is_open(self, now: float, patience: float) -> bool:
        """Return whether callers are told at once.

        Args:
            now: the clock.
            patience: seconds of failure after which it opens.
        """
        return self.failing_since is not None and now - self.failing_since >= patience
