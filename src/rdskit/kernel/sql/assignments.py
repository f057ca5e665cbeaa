"""Find the columns that a statement of MySQL or MariaDB assigns a parameter to directly, without an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MODIFIERS: Final = frozenset({"low_priority", "delayed", "high_priority", "ignore", "into"})
_NAMES: Final = frozenset({TokenType.WORD, TokenType.NAME})
_ENDS: Final = frozenset({",", ")", "", ";", "where", "order", "limit", "on", "as", "returning"})
"""Tokens that may follow an assignment: a separator, or the start of the next clause."""


class Assignments(NamedTuple):
    """The parameters that become column values without an expression around them.

    Attributes:
        schema: of the table; None for the session's.
        table: its name.
        columns: their names, by the parameters' places from 0.
    """

    schema: str | None
    table: str
    columns: dict[int, str]


def assignments_of(text: str) -> Assignments | None:
    """Return the assignments of an INSERT, REPLACE or UPDATE of one table; None where they are not certain.

    Args:
        text: the statement, with ``?`` for its parameters.
    """
    tokens = [token for token in tokenize(text, Dialect.MYSQL) if token.type not in BLANK]
    verb = tokens[0].text.lower() if tokens else ""
    if verb not in {"insert", "replace", "update"}:
        return None
    begin = next((n for n in range(1, len(tokens)) if tokens[n].text.lower() not in _MODIFIERS), len(tokens))
    names, place = _dotted(tokens, begin)
    if not 1 <= len(names) <= 2:  # noqa: PLR2004 - a table, with its schema or without
        return None
    if verb == "update" and "set" not in {_text(tokens, at) for at in (place, place + 1, place + 2)}:
        return None  # several tables
    numbers = _numbered(tokens)
    columns = dict(_set_columns(tokens, place, numbers))
    if verb != "update":
        columns.update(_listed(tokens, place, numbers))
    *schema, table = names
    return Assignments(schema[0] if schema else None, table, columns) if columns else None


def _numbered(tokens: Sequence[Token]) -> dict[int, int]:
    places = [place for place, token in enumerate(tokens) if token.type is TokenType.POSITION]
    return {place: number for number, place in enumerate(places)}


def _dotted(tokens: Sequence[Token], place: int) -> tuple[list[str], int]:
    """Parse ``a`` or ``a.b``; return its parts and the place after it."""
    names: list[str] = []
    while place < len(tokens) and tokens[place].type in _NAMES:
        names.append(_plain(tokens[place]))
        place += 1
        if place >= len(tokens) or tokens[place].text != ".":
            break
        place += 1
    return names, place


def _plain(token: Token) -> str:
    return token.text[1:-1].replace("``", "`") if token.type is TokenType.NAME else token.text


def _text(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].text.lower() if place < len(tokens) else ""


def _set_columns(tokens: Sequence[Token], begin: int, numbers: dict[int, int]) -> Iterator[tuple[int, str]]:
    """Yield the assignments after SET, or after ON DUPLICATE KEY UPDATE."""
    assigns = False
    for place in range(begin, len(tokens)):
        word = _text(tokens, place)
        if tokens[place].type is TokenType.WORD and word in {"set", "update", "where"}:
            assigns = word != "where"
        if not assigns or place not in numbers or _text(tokens, place - 1) != "=":
            continue
        before = place - 3
        while before > begin and _text(tokens, before) == ".":
            before -= 2
        is_first = tokens[place - 2].type in _NAMES and _text(tokens, before) in {"set", "update", ","}
        if is_first and _text(tokens, place + 1) in _ENDS:
            yield numbers[place], _plain(tokens[place - 2])


def _listed(tokens: Sequence[Token], place: int, numbers: dict[int, int]) -> Iterator[tuple[int, str]]:
    """Yield the assignments of ``(columns) values (…), (…)``."""
    names: list[str] = []
    while _text(tokens, place) in {"(", ","}:
        found, place = _dotted(tokens, place + 1)
        names += found[-1:]
    if _text(tokens, place) != ")" or _text(tokens, place + 1) not in {"values", "value"}:
        return
    depth = column = 0
    for at in range(place + 2, len(tokens)):
        kind, text = tokens[at].type, tokens[at].text
        if kind is TokenType.OPEN:
            depth += 1
            column = column if depth > 1 else 0
        elif kind is TokenType.CLOSE:
            depth -= 1
        elif text == ",":
            column += depth == 1
        elif depth == 0:
            return
        is_whole = at in numbers and _text(tokens, at - 1) in {"(", ","} and _text(tokens, at + 1) in {")", ","}
        if depth == 1 and is_whole and column < len(names):
            yield numbers[at], names[column]
