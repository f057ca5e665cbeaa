"""What happened, as it is heard: the client's events, its log, and what the watch itself notices."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rdskit.operate.top.model import Entry, Level
from rdskit.operate.top.policy import noted, told

if TYPE_CHECKING:
    from rdskit.kernel.events import Event


class Journal(logging.Handler):
    """Keeps the last entries. As a handler of ``rdskit``'s log it keeps warnings too, and off the screen.

    Attributes:
        changed: set after each new entry.
        names: identifiers of hosts by their endpoints, which is how the client calls them.
        entries: the newest last.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.changed = asyncio.Event()
        self.names: dict[str, str] = {}
        self.entries: tuple[Entry, ...] = ()

    def note(self, subject: str, words: str, level: Level = Level.INFO) -> None:
        """Add what happens now."""
        self.add(Entry(time.time(), subject, words, level))

    def hear(self, event: Event) -> None:
        """Add what the client tells."""
        entry = told(event, time.time())
        if entry is not None:
            self.add(replace(entry, subject=self.names.get(entry.subject, entry.subject)))

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line of the log."""
        self.add(Entry(record.created, record.name.removeprefix("rdskit."), record.getMessage(), Level.BAD))

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries = noted(self.entries, entry)
        self.changed.set()
