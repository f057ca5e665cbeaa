"""Limit how many reads go to the writer when no reader is fresh enough."""

from __future__ import annotations

from typing import Final, NamedTuple

_BURST: Final = 50.0  # reads that may spill over at once, after a time without


class SpillBudget(NamedTuple):
    """A token bucket: each read adds ``share`` of a token, and each read that spills over removes one.

    So at most this share of all reads, plus one burst, go to the writer. That protects it from overload when its
    readers fail.

    Attributes:
        share: largest share of all reads, from 0 to 1; None for no limit.
        tokens: tokens in the bucket.
    """

    share: float | None
    tokens: float = _BURST

    def read(self) -> SpillBudget:
        """Return the bucket after one more read."""
        return self if self.share is None else self._replace(tokens=min(_BURST, self.tokens + self.share))

    def spilled(self) -> SpillBudget | None:
        """Return the bucket after one more read on the writer; None if the limit forbids it."""
        if self.share is None:
            return self
        return None if self.tokens < 1.0 else self._replace(tokens=self.tokens - 1.0)
