"""Buffer the messages of one receiver, up to a limit."""

from __future__ import annotations

import asyncio
from collections import deque

from rdskit.kernel.notifications import Notification


class Inbox:
    """Keeps messages up to a limit; a mark replaces those that do not fit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._notes: deque[Notification] = deque()
        self._marked: set[str] = set()  # channels whose mark is at the end, where the inbox is full
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    def put(self, note: Notification) -> None:
        """Add a message; if the inbox is full, add one mark per channel instead."""
        if len(self._notes) < self._limit:
            self._marked.clear()
            self._notes.append(note)
        elif note.channel not in self._marked:
            self._marked.add(note.channel)
            self._notes.append(mark(note.channel))
        self._arrived.set()

    def end(self, error: Exception | None = None) -> None:
        """End the inbox; the receiver still gets the buffered messages, then the error if there is one."""
        self._ended, self._error = True, self._error or error
        self._arrived.set()

    async def next(self) -> Notification | None:
        """Wait for the next message and return it; None after the end.

        Raises:
            Exception: the error that ended the inbox.
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
    """Return the notification that marks possibly missing messages of a channel."""
    return Notification(channel, "", 0, missed=True)
