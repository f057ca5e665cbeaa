"""Decisions on plain values: where a read goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Reading:
    """One stretch of work, such as a request, whose reads may go to replicas until it writes.

    Attributes:
        pinned: aliases of writers whose reads stay with them from now on.
        wrote: whether this stretch of work has written itself.
    """

    pinned: set[str] = field(default_factory=set)
    wrote: bool = False


@dataclass(frozen=True, slots=True)
class Aliases:
    """Which entries of ``DATABASES`` read for which.

    Attributes:
        writers: writer's alias by reader's alias.
    """

    writers: Mapping[str, str]

    def writer_of(self, alias: str) -> str:
        """The alias itself, unless it is a reader's."""
        return self.writers.get(alias, alias)

    def reader_of(self, alias: str) -> str | None:
        """The alias that reads for a writer, if there is one."""
        return next((reader for reader, writer in self.writers.items() if writer == alias), None)


def alias_for_read(aliases: Aliases, near: str, reading: Reading | None, *, in_transaction: bool) -> str | None:
    """Where a read goes; None leaves it to the next router.

    Args:
        aliases: who reads for whom.
        near: where the object comes from whose relation is followed; else the default alias.
        reading: the stretch of work; None outside of one, where nobody can tell what must be visible: the writer then.
        in_transaction: whether the writer has a transaction open, whose own writes must be seen.
    """
    writer = aliases.writer_of(near)
    reader = aliases.reader_of(writer)
    if reader is None:
        return None
    if reading is None or writer in reading.pinned or in_transaction:
        return writer
    return reader
