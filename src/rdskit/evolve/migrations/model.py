"""Migrations as values: their files, their statements, and what is known of them in a database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Direction(Enum):
    """The direction of a migration."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement of a script.

    Attributes:
        text: without the semicolon that ends it.
        line: its first line in the file, from 1.
        waivers: rules of lint that do not count for it, each with its reason.
    """

    text: str
    line: int
    waivers: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Eight characters that identify the statement; white space at line ends does not count."""
        return digest(self.text)[:8]


@dataclass(frozen=True, slots=True)
class Script:
    """The statements of one direction.

    Attributes:
        statements: in order.
        transactional: False after ``-- no transaction``.
        lock_timeout: seconds that a statement waits for a lock, of ``-- lock timeout``; None for the default.
    """

    statements: tuple[Statement, ...]
    transactional: bool = True
    lock_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration of a directory.

    Attributes:
        version: its file's name without suffixes: ``20261130_1200_add_users``. Versions are ordered as text.
        path: its file.
        source: the file's text.
        up: the script forward; None for a Python file.
        down: the script back; None for a Python file, or where there is no way back.
    """

    version: str
    path: Path
    source: str = field(repr=False)
    up: Script | None = None
    down: Script | None = None

    @property
    def is_python(self) -> bool:
        """Whether it is a Python file."""
        return self.path.suffix == ".py"

    @property
    def checksum(self) -> str:
        """A hash of the whole source; white space at line ends and the kind of line break do not count."""
        return digest(self.source)


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the history.

    Attributes:
        version: of the migration.
        checksum: of its file when it was applied.
        source: the file's text then.
        applied_at: when, as text in UTC.
    """

    version: str
    checksum: str
    source: str = field(repr=False)
    applied_at: str


class State(Enum):
    """The state of a migration in a database."""

    APPLIED = "applied"
    PENDING = "pending"
    MODIFIED = "modified"
    """Applied, and its file has changed since."""
    MISSING = "missing"
    """Applied, and its file is gone."""
    INTERRUPTED = "interrupted"
    """Started and not finished: a process was killed, or a statement failed where each commits by itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One migration with its state."""

    version: str
    state: State
    applied_at: str | None = None


def digest(text: str) -> str:
    """Return a hash of a text; white space at line ends and the kind of line break do not count."""
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    return hashlib.sha256("\n".join(lines).strip().encode()).hexdigest()
