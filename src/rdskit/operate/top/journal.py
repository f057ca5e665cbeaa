"""Collect events for display: the client's events, its log, and the watch's own entries."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rdskit.operate.top.model import Entry, Level
from rdskit.operate.top.policy import entry_of, noted

if TYPE_CHECKING:
    from rdskit.kernel.events import Event


class Journal(logging.Handler):
    """Keep the last entries; as a handler of ``rdskit``'s log it collects warnings, which would disturb the screen.

    Attributes:
        changed: set after each new entry.
        names: by endpoint, which the client's events have, the identifiers of hosts.
        entries: the entries, the newest last.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.changed = asyncio.Event()
        self.names: dict[str, str] = {}
        self.entries: tuple[Entry, ...] = ()

    def note(self, subject: str, words: str, level: Level = Level.INFO) -> None:
        """Add an entry with the current time."""
        self.add(Entry(time.time(), subject, words, level))

    def observe(self, event: Event) -> None:
        """Add an entry for an event of the client."""
        entry = entry_of(event, time.time())
        if entry is not None:
            self.add(replace(entry, subject=self.names.get(entry.subject, entry.subject)))

    def emit(self, record: logging.LogRecord) -> None:
        """Add an entry for a log record."""
        self.add(Entry(record.created, record.name.removeprefix("rdskit."), record.getMessage(), Level.BAD))

    def add(self, entry: Entry) -> None:
        """Add an entry and notify the screen."""
        self.entries = noted(self.entries, entry)
        self.changed.set()
