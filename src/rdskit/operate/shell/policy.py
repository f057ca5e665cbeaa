"""Decisions on typed text: whether a statement is complete, what it does, and whether history may keep it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.sql.split import split
from rdskit.kernel.sql.tokens import TokenType, tokenize

if TYPE_CHECKING:
    from rdskit.kernel.sql import Dialect, Statement

_WORDS: Final = ("quit", "exit", "help")
_OBJECT: Final = frozenset({"create", "alter", "drop", "refresh"})
_SKIPPED: Final = frozenset({"or", "replace", "temporary", "temp", "unlogged", "unique", "materialized", "if", "not"})
_SECRET: Final = re.compile(r"\b(password|identified\s+(with\s+\S+\s+)?(by|as))\b", re.IGNORECASE)
_ISOLATION: Final = re.compile(
    r"isolation\s+level\s+(read\s+uncommitted|read\s+committed|repeatable\s+read|serializable)"
)


def is_command(text: str) -> bool:
    r"""Return whether a text is for the prompt itself, as in ``\d orders`` or ``quit``."""
    words = text.strip().rstrip(";").strip()
    return words.startswith("\\") or words.lower() in _WORDS


def is_complete(text: str, dialect: Dialect) -> bool:
    """Return whether Enter runs a text: it is a command, is empty, or its last statement is terminated."""
    if not text.strip() or is_command(text):
        return True
    try:
        before = len(split(text, dialect))
        return len(split(f"{text}\nx", dialect)) > before
    except ConfigError:  # an open quote or comment
        return False


def statements(text: str, dialect: Dialect) -> list[str]:
    """Return the statements of a text.

    Raises:
        ConfigError: a quote or comment is opened and never closed.
    """
    return [statement for statement, _ in split(text, dialect)]


def words_of(statement: str, dialect: Dialect) -> list[str]:
    """Return the keywords and names of a statement in lower case, without comments and quoted text."""
    return [token.text.lower() for token in tokenize(statement, dialect) if token.type is TokenType.WORD]


def verb_of(statement: str, dialect: Dialect) -> str:
    """Return a statement's verb for the line below its result: ``INSERT``, ``CREATE TABLE``."""
    words = words_of(statement, dialect)
    if not words:
        return "OK"
    if words[0] not in _OBJECT:
        return words[0].upper()
    found = next((word for word in words[1:] if word not in _SKIPPED), "")
    return f"{words[0]} {found}".strip().upper()


def leaves_state(statement: Statement) -> bool:
    """Return whether later statements may depend on the session state that a statement leaves."""
    words = words_of(statement.source, statement.dialect)
    if words[:1] == ["create"]:
        return bool({"temp", "temporary"}.intersection(words[:4]))
    return statement.dirties_session


def isolation_of(statement: str) -> str | None:
    """Return the isolation level that BEGIN or START TRANSACTION names; None for the default."""
    found = _ISOLATION.search(" ".join(statement.lower().split()))
    return " ".join(found[1].split()) if found else None


def may_be_kept(text: str) -> bool:
    """Return whether history may keep a text: False if it sets a password."""
    return _SECRET.search(text) is None
