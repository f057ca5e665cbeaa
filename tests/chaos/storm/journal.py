"""The answers that a storm's application received, the final content of the database, and whether the two agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN = 5  # examples of each violation


class Outcome(Enum):
    """How a write ended for the application."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(slots=True)
class Journal:
    """The answers that the application received.

    Attributes:
        writes: the outcome of each write, by its name.
        errors: how often which error was raised.
        reads: how many reads were answered, by kind.
        stale: reads that did not show what they had to show.
        surprises: errors that the faults do not justify, and what failed behind the application's back.
    """

    writes: dict[str, Outcome] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    def acknowledged(self, kind: str = "") -> int:
        """Count how many writes of a kind were acknowledged so far; of every kind by default."""
        return sum(name.startswith(kind) and outcome is Outcome.ACKNOWLEDGED for name, outcome in self.writes.items())

    def names(self, outcome: Outcome) -> set[str]:
        """Return the writes that ended in this way."""
        return {name for name, ended in self.writes.items() if ended is outcome}


@dataclass(frozen=True, slots=True)
class Books:
    """What the writer holds.

    Attributes:
        copies: how often each write is there, by its name.
        total: the sum of all balances.
        expected_total: what it was in the beginning.
        wrong_accounts: accounts whose balance is not what the transfers in the ledger make it.
    """

    copies: Mapping[str, int]
    total: int
    expected_total: int
    wrong_accounts: tuple[int, ...] = ()


def violations(journal: Journal, books: Books) -> list[str]:
    """Return every broken promise in words."""
    return [*_of_writes(journal, books.copies), *_of_money(books), *_of_reads(journal)]


def _of_writes(journal: Journal, copies: Mapping[str, int]) -> Iterator[str]:
    present = copies.keys()
    yield from _told("acknowledged and not there", journal.names(Outcome.ACKNOWLEDGED) - present)
    yield from _told("there more than once", {name for name, count in copies.items() if count > 1})
    yield from _told("there although the answer was that nothing happened", _undone(journal) & present)
    yield from _told("there although no worker wrote it", present - journal.writes.keys())


def _undone(journal: Journal) -> set[str]:
    return journal.names(Outcome.FAILED)


def _of_money(books: Books) -> Iterator[str]:
    if books.total != books.expected_total:
        yield f"the balances sum up to {books.total} instead of {books.expected_total}"
    yield from _told("accounts that do not fit their ledger", {str(each) for each in books.wrong_accounts})


def _of_reads(journal: Journal) -> Iterator[str]:
    yield from _told("stale reads", set(journal.stale))
    yield from _told("surprises", set(journal.surprises))


def _told(what: str, names: set[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} {what}: {'; '.join(sorted(names)[:SHOWN])}"
