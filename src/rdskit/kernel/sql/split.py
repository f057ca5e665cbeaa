"""Split SQL text into statements, as the servers' own clients do.

Sources: psql's ``psqlscan.l`` (``BEGIN ATOMIC … END`` nests), MySQL manual 6.5.1.4 (``DELIMITER``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELIMITER: Final = re.compile(r"^[ \t]*delimiter[ \t]+(\S+)[ \t]*$", re.IGNORECASE | re.MULTILINE)


def split(text: str, dialect: Dialect) -> list[tuple[str, int]]:
    """Return the statements of a text, each with the offset at which it begins; comments between them are dropped.

    Args:
        text: SQL, statements ended by semicolons. For MySQL and MariaDB ``DELIMITER`` lines count.
        dialect: the lexical rules.

    Raises:
        ConfigError: a quote or comment is opened and never closed.
    """
    if dialect is Dialect.POSTGRES:
        return list(_by_semicolon(text, 0, dialect))
    found: list[tuple[str, int]] = []
    delimiter, start = ";", 0
    for line in [*_DELIMITER.finditer(text), None]:
        part = text[start : line.start() if line else len(text)]
        if delimiter == ";":
            found += _by_semicolon(part, start, dialect)
        else:
            found += _by_text(part, start, delimiter)
        if line:
            delimiter, start = line[1], line.end()
    return found


def _by_semicolon(text: str, offset: int, dialect: Dialect) -> Iterator[tuple[str, int]]:
    held: list[Token] = []
    depth = 0
    for token in tokenize(text, dialect):
        if token.type is TokenType.SEMICOLON and depth == 0:
            yield from _statement(held, offset)
            held = []
            continue
        depth = _depth(depth, held, token)
        held.append(token)
    yield from _statement(held, offset)


def _depth(depth: int, before: list[Token], token: Token) -> int:
    """Return the nesting depth in ``BEGIN ATOMIC`` bodies after a token; ``CASE`` has an ``END`` too."""
    if token.type is not TokenType.WORD:
        return depth
    word = token.text.lower()
    if word == "atomic":
        words = [each.text.lower() for each in before if each.type not in BLANK]
        return depth + (words[-1:] == ["begin"])
    if depth and word == "case":
        return depth + 1
    return depth - 1 if depth and word == "end" else depth


def _statement(tokens: list[Token], offset: int) -> Iterator[tuple[str, int]]:
    while tokens and tokens[0].type in BLANK:
        tokens = tokens[1:]
    while tokens and tokens[-1].type in BLANK:
        tokens = tokens[:-1]
    if tokens:
        yield "".join(token.text for token in tokens), offset + tokens[0].start


def _by_text(text: str, offset: int, delimiter: str) -> Iterator[tuple[str, int]]:
    position = 0
    for part in text.split(delimiter):
        if part.strip():
            yield part.strip(), offset + position + len(part) - len(part.lstrip())
        position += len(part) + len(delimiter)
