"""Number the cluster's epochs, and notify followers each time the writer has been lost and reached again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.topology import Epoch, EpochReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Epochs:
    """Keeps the current epoch, and notifies its followers of the next one.

    Attributes:
        current: the current epoch; number 0 before the writer was first reached.
    """

    def __init__(self) -> None:
        self.current = Epoch(0, Endpoint("", 0), EpochReason.OPENED)
        self._changed = asyncio.Event()
        self._calls: list[Callable[[], None]] = []
        self._following = 0
        self._closed = False

    def begin(self, writer: Endpoint) -> None:
        """Begin a new epoch, after the writer was reached for the first time or after a loss."""
        before = self.current
        reason = EpochReason.OPENED
        if before.number:
            reason = EpochReason.RECONNECTED if before.writer == writer else EpochReason.MOVED
        self.current = Epoch(before.number + 1, writer, reason)
        self._notify()

    @property
    def are_followed(self) -> bool:
        """Whether the next epoch has followers."""
        return bool(self._following or self._calls)

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Register a function to call at each new epoch and at ``close``; return a function that removes it."""
        self._calls.append(call)
        return lambda: self._calls.remove(call)

    async def follow(self) -> AsyncGenerator[Epoch, None]:
        """Yield the current epoch, then each later one; those that pass while the caller is busy are skipped."""
        seen = -1
        self._following += 1
        try:
            while not self._closed:
                # Read both together: a later epoch replaces the event, and sets exactly the event that was read here.
                changed, current = self._changed, self.current
                if current.number > seen:
                    seen = current.number
                    yield current
                else:
                    await changed.wait()
        finally:
            self._following -= 1

    def close(self) -> None:
        """End every iteration of ``follow``."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for call in tuple(self._calls):
            call()
