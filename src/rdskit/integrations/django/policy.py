"""Decide where a read goes, on plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Reading:
    """A unit of work, such as a request, whose reads may go to replicas until it writes.

    Attributes:
        pinned: aliases of writers that serve all further reads themselves.
        wrote: whether this unit of work has written.
    """

    pinned: set[str] = field(default_factory=set)
    wrote: bool = False


@dataclass(frozen=True, slots=True)
class Aliases:
    """The assignment of reader aliases to writer aliases in ``DATABASES``.

    Attributes:
        writers: writer's alias by reader's alias.
    """

    writers: Mapping[str, str]

    def writer_of(self, alias: str) -> str:
        """Return the writer of a reader's alias; any other alias unchanged."""
        return self.writers.get(alias, alias)

    def reader_of(self, alias: str) -> str | None:
        """Return the alias of a writer's reader, if there is one."""
        return next((reader for reader, writer in self.writers.items() if writer == alias), None)


def alias_for_read(aliases: Aliases, near: str, reading: Reading | None, *, in_transaction: bool) -> str | None:
    """Return the alias for a read; None leaves it to the next router.

    Args:
        aliases: the readers of writers.
        near: the alias of the object whose relation is followed; else the default alias.
        reading: the unit of work; None outside of one, where it is unknown which writes must be visible, so the writer
            serves.
        in_transaction: whether a transaction is open on the writer, whose own writes must be visible.
    """
    writer = aliases.writer_of(near)
    reader = aliases.reader_of(writer)
    if reader is None:
        return None
    if reading is None or writer in reading.pinned or in_transaction:
        return writer
    return reader
