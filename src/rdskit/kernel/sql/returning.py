"""Add RETURNING to INSERT, UPDATE and DELETE, so that the matched rows can be counted."""

from __future__ import annotations

from typing import Final

from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.tokens import BLANK, TokenType, tokenize

_CHANGES: Final = frozenset({"insert", "update", "delete", "with"})
_UNCLEAR: Final = frozenset({"merge", "returning"})  # MERGE has RETURNING since PostgreSQL 17 only


def with_returning(text: str) -> str | None:
    """Return a PostgreSQL statement that returns one small row for each row that it matched.

    RETURNING is the last clause of each of them (PostgreSQL manual, "INSERT", "UPDATE", "DELETE").

    Args:
        text: a statement without result rows.

    Returns:
        The statement; None if it is another one, or if its words leave that open.
    """
    tokens = tokenize(text, Dialect.POSTGRES)
    while tokens and (tokens[-1].type in BLANK or tokens[-1].type is TokenType.SEMICOLON):
        tokens.pop()
    words = [token.text.lower() for token in tokens if token.type is TokenType.WORD]
    if not words or words[0] not in _CHANGES or not _UNCLEAR.isdisjoint(words):
        return None
    return "".join(token.text for token in tokens) + " returning 1"
