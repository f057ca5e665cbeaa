"""Decide when callers should stop waiting for an unreachable host."""

from __future__ import annotations

from typing import NamedTuple


class Breaker(NamedTuple):
    """Track for how long every attempt to reach a host has failed.

    The breaker opens once the host has been unreachable for longer than a caller would wait. From then on callers fail
    at once, and one task keeps probing. Callers that wait already continue until their own deadline.

    Attributes:
        failing_since: the first failure since the last success, on any monotonic clock; None while attempts succeed.
    """

    failing_since: float | None = None

    def failed(self, now: float) -> Breaker:
        """Return the state after a failed attempt."""
        return self if self.failing_since is not None else Breaker(now)

    def is_open(self, now: float, outage_timeout: float) -> bool:
        """Return whether callers should fail at once.

        Args:
            now: the clock.
            outage_timeout: seconds of failure after which it opens.
        """
        return self.failing_since is not None and now - self.failing_since >= outage_timeout
