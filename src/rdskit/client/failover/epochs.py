"""Epochs of a cluster: what lives long learns here that the writer was lost and is there again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.topology import Epoch, EpochReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Epochs:
    """The current epoch, and those who follow it.

    Attributes:
        current: the epoch of now; number 0 before the writer was reached for the first time.
    """

    def __init__(self) -> None:
        self.current = Epoch(0, Endpoint("", 0), EpochReason.OPENED)
        self._changed = asyncio.Event()
        self._calls: list[Callable[[], None]] = []
        self._following = 0
        self._closed = False

    def begin(self, writer: Endpoint) -> None:
        """Begin an epoch: the writer has been reached, for the first time or after it was lost."""
        before = self.current
        reason = EpochReason.OPENED
        if before.number:
            reason = EpochReason.RECONNECTED if before.writer == writer else EpochReason.MOVED
        self.current = Epoch(before.number + 1, writer, reason)
        self._notify()

    @property
    def are_followed(self) -> bool:
        """Whether there is anyone who waits for the next epoch."""
        return bool(self._following or self._calls)

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called at each new epoch, and at the end; return what removes it."""
        self._calls.append(call)
        return lambda: self._calls.remove(call)

    async def follow(self) -> AsyncGenerator[Epoch, None]:
        """Yield the current epoch, then each later one; those that pass while the caller is busy are skipped."""
        seen = -1
        self._following += 1
        try:
            while not self._closed:
                changed, current = self._changed, self.current
                if current.number > seen:
                    seen = current.number
                    yield current
                else:
                    await changed.wait()
        finally:
            self._following -= 1

    def close(self) -> None:
        """End every iteration."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for call in tuple(self._calls):
            call()
