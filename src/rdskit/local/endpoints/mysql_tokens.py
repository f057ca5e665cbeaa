"""Split statements of MySQL and MariaDB into tokens, as far as an endpoint must read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# The marks of an executable comment (/*! … */, /*M! … */) count as space, and its text is read, as the servers do. A
# quote or comment that is never closed runs to the end.
_TOKEN: Final = re.compile(
    rb"""
    (?P<space>\s+ | /\*(?!M?!) (?:.*?\*/|.*) | /\*M?!\d* | \*/ | (?:\#|--(?=\s|$)) [^\n]*)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`)
    | (?P<open>['"`].*)
    | (?P<word>[\w$\x80-\xff]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A token of a statement: its kind, its text in lower case, and its position."""

    kind: str
    text: bytes
    start: int
    end: int


def statements(sql: bytes) -> Iterator[list[Token]]:
    """Yield the tokens of each statement, without spaces and comments.

    Args:
        sql: one or more statements, in a character set whose ASCII is ASCII.
    """
    statement: list[Token] = []
    for found in _TOKEN.finditer(sql):
        token = Token(str(found.lastgroup), found[0].lower(), *found.span())
        if token.kind == "other" and token.text == b";":
            yield statement
            statement = []
        elif token.kind != "space":
            statement.append(token)
    yield statement
