"""Messages that wait for one receiver."""

from __future__ import annotations

import asyncio
from collections import deque

from rdskit.kernel.notifications import Notification


class Inbox:
    """Keeps messages up to a limit; a mark stands in the place of those that did not fit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._notes: deque[Notification] = deque()
        self._marked: set[str] = set()  # channels whose mark is at the end, where the inbox is full
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    def put(self, note: Notification) -> None:
        """Add a message, or the mark that says that it was dropped."""
        if len(self._notes) < self._limit:
            self._marked.clear()
            self._notes.append(note)
        elif note.channel not in self._marked:
            self._marked.add(note.channel)
            self._notes.append(mark(note.channel))
        self._arrived.set()

    def end(self, error: Exception | None = None) -> None:
        """Take no more messages; the receiver gets those that are here, then the error if there is one."""
        self._ended, self._error = True, self._error or error
        self._arrived.set()

    async def next(self) -> Notification | None:
        """Return the next message, waiting for it; None when there will be no more.

        Raises:
            Exception: what ended it.
        """
        while not self._notes:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._notes.popleft()


def mark(channel: str) -> Notification:
    """Return the mark for messages that may be missing."""
    return Notification(channel, "", 0, missed=True)
