"""How many reads the writer takes over when no reader is fresh enough."""

from __future__ import annotations

from typing import Final, NamedTuple

_BURST: Final = 50.0  # reads that may spill over at once, after a time without


class SpillBudget(NamedTuple):
    """A token bucket: each read puts ``share`` of a token in, each read that spills over takes one out.

    So of any number of reads, no more than that share and one burst go to the writer, which must not fall over because
    its readers did.

    Attributes:
        share: of all reads, from 0 to 1; None for no limit.
        tokens: in the bucket.
    """

    share: float | None
    tokens: float = _BURST

    def read(self) -> SpillBudget:
        """The bucket after one more read."""
        return self if self.share is None else self._replace(tokens=min(_BURST, self.tokens + self.share))

    def spilled(self) -> SpillBudget | None:
        """The bucket after a read that went to the writer; None when it must not."""
        if self.share is None:
            return self
        return None if self.tokens < 1.0 else self._replace(tokens=self.tokens - 1.0)
