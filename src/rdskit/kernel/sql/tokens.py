"""Tokenize the SQL of PostgreSQL and of MySQL/MariaDB.

Every character of the source belongs to exactly one token, so joining the tokens' texts returns the source.
Sources: PostgreSQL manual 4.1 "Lexical Structure" and ``src/backend/parser/scan.l``; MySQL manual 11.1 "Literal
Values", 11.2 "Schema Object Names", 11.7 "Comments"; MariaDB "Comment Syntax".
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import cache
from typing import NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.sql.model import Dialect


class TokenType(Enum):
    """The type of a token."""

    SPACE = auto()
    COMMENT = auto()
    EXECUTABLE = auto()
    """``/*! … */``: a comment that MySQL runs."""
    STRING = auto()
    NAME = auto()
    """A quoted identifier."""
    WORD = auto()
    """A keyword or an identifier without quotes."""
    NUMBER = auto()
    PARAMETER = auto()
    """``:name``."""
    POSITION = auto()
    """``$1`` on PostgreSQL, ``?`` on MySQL: the server's own parameter syntax."""
    OPEN = auto()
    CLOSE = auto()
    SEMICOLON = auto()
    OPERATOR = auto()


class Token(NamedTuple):
    """A piece of the source."""

    type: TokenType
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset right after the token."""
        return self.start + len(self.text)


BLANK = frozenset({TokenType.SPACE, TokenType.COMMENT})

# Quantifiers are possessive (*+) and never backtrack, so even an open quote costs only linear time.
_SPACE = r"[ \t\n\r\f\v]++"
# Letters, `_` and everything beyond ASCII, then digits and `$` too; written as complements, which compile faster.
_WORD_START = r"[^\x00-@\[-^`{-\x7f]"
_WORD_PART = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
_TAG = rf"(?:{_WORD_START}[^\x00-/:-@\[-^`{{-\x7f]*+)?"
_POSTGRES_ESCAPED = r"'(?:[^'\\]|\\.|'')*+'"
# Literals with only space and a line break between them are one literal: an E'…' keeps its escapes in the next line.
_CONTINUATION = rf"(?:[ \t\f\v]*+(?:--[^\n\r]*+)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*+{_POSTGRES_ESCAPED})*+"
_MYSQL_STRING = r"'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.|\"\")*+\""
_MYSQL_NAME = r"`(?:[^`]|``)*+`"

_POSTGRES = {
    "SPACE": _SPACE,
    "COMMENT": r"--[^\n\r]*+",
    "STRING": (
        rf"[eE]{_POSTGRES_ESCAPED}{_CONTINUATION}|(?:[uU]&)?'(?:[^']|'')*+'"
        rf"|\$(?P<tag>{_TAG})\$(?s:.*?)\$(?P=tag)\$"
    ),
    "NAME": r"(?:[uU]&)?\"(?:[^\"]|\"\")*+\"",
    "unterminated": rf"'|\"|\${_TAG}\$",
    "block": r"/\*",
    "POSITION": r"\$[0-9]++",
    "WORD": rf"{_WORD_START}{_WORD_PART}*+",
}
_MYSQL = {
    "SPACE": _SPACE,
    "COMMENT": r"#[^\n]*+|--(?=[\x00-\x20]|\Z)[^\n]*+|/\*(?!M?!)(?s:.*?)\*/",
    # Not possessive: before 3.11.5 CPython forgets where it was when the last round fails behind a first character. The
    # alternatives begin differently, so that giving up is linear all the same.
    "EXECUTABLE": rf"/\*M?!(?:[^'\"`*]|\*(?!/)|{_MYSQL_STRING}|{_MYSQL_NAME})*\*/",
    "STRING": _MYSQL_STRING,
    "NAME": _MYSQL_NAME,
    "unterminated": r"'|\"|`|/\*",
    "POSITION": r"\?",
    "WORD": rf"{_WORD_START}{_WORD_PART}*+",
}
_COMMON = {
    "NUMBER": r"[0-9](?:[A-Za-z0-9_.])*+",
    "pair": r"::|:=",
    "PARAMETER": r":(?!\d)\w++",
    "OPEN": r"[(\[]",
    "CLOSE": r"[)\]]",
    "SEMICOLON": ";",
    "OPERATOR": r"(?s:.)",
}


@cache
def _pattern(dialect: Dialect) -> re.Pattern[str]:
    """Compiled on first use: that takes longer than importing this package."""
    rules = _POSTGRES if dialect is Dialect.POSTGRES else _MYSQL
    alternatives = (f"(?P<{name}>{rule})" for name, rule in (rules | _COMMON).items())
    return re.compile("|".join(alternatives), re.DOTALL)


_TYPES = TokenType.__members__ | {"pair": TokenType.OPERATOR, "block": TokenType.COMMENT}
_ALWAYS_OPERANDS = frozenset({TokenType.NUMBER, TokenType.STRING, TokenType.NAME, TokenType.PARAMETER})
_NEVER_OPERANDS = frozenset(
    {
        "all",
        "and",
        "any",
        "between",
        "by",
        "case",
        "else",
        "from",
        "having",
        "in",
        "like",
        "limit",
        "not",
        "offset",
        "on",
    }
    | {"or", "returning", "select", "then", "values", "when", "where"}
)
"""Reserved words in both dialects: a colon glued to one begins a parameter (``in:ids``)."""
_OPERANDS = _ALWAYS_OPERANDS | {TokenType.WORD, TokenType.CLOSE}


def tokenize(source: str, dialect: Dialect) -> list[Token]:
    """Split SQL text into tokens.

    A colon that follows an operand is not a parameter but the separator of an array slice (``a[1:n]``) or of a JSON
    constructor (``json_object('k':v)``): it becomes an operator and a word. ``a[:n]`` is the parameter ``n``; a slice
    between two parameters is written ``a[:low : :high]``.

    Args:
        source: SQL text.
        dialect: whose lexical rules apply.

    Returns:
        Tokens in order; their texts joined are ``source``.

    Raises:
        ConfigError: a quote or comment is opened and never closed.
    """
    match = _pattern(dialect).match
    tokens: list[Token] = []
    brackets: list[str] = []
    operand: Token | None = None
    position = 0
    while found := match(source, position):
        group = found.lastgroup or ""
        if group == "unterminated":
            raise _unterminated(source, position, found.group())
        end = _block_end(source, position) if group == "block" else found.end()
        token = Token(_TYPES[group], source[position:end], position)
        if token.type is TokenType.PARAMETER and operand is not None and _separates(token, operand, brackets):
            token = Token(TokenType.OPERATOR, ":", position)
        tokens.append(token)
        _track(brackets, token)
        if token.type not in BLANK:
            operand = token if _is_operand(token) else None
        position = token.end
    return tokens


def _is_operand(token: Token) -> bool:
    return token.type in _OPERANDS and not (token.type is TokenType.WORD and token.text.lower() in _NEVER_OPERANDS)


def _separates(colon: Token, operand: Token, brackets: list[str]) -> bool:
    """Return whether a colon after ``operand`` is a separator.

    A word or parenthesis with a space after it may be a keyword (``then :x``) or a clause (``distinct on (a) :x``).
    """
    if operand.end == colon.start or operand.type in _ALWAYS_OPERANDS:
        return True
    return operand.type is TokenType.CLOSE and brackets[-1:] == ["["]


def _track(brackets: list[str], token: Token) -> None:
    if token.type is TokenType.OPEN:
        brackets.append(token.text)
    elif token.type is TokenType.CLOSE and brackets:
        brackets.pop()


def _block_end(source: str, start: int) -> int:
    """Return the end of a PostgreSQL block comment; block comments nest."""
    depth = 0
    for edge in re.compile(r"/\*|\*/").finditer(source, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unterminated(source, start, "/*")


def excerpt(source: str, length: int = 120) -> str:
    """Return the beginning of a source on one line, for a message."""
    text = " ".join(source.split())
    return text if len(text) <= length else f"{text[:length]}…"


def _unterminated(source: str, position: int, opening: str) -> ConfigError:
    line = source.count("\n", 0, position) + 1
    rest = excerpt(source[position:], 30)
    return ConfigError(f"the SQL text opens {opening} in line {line} and never closes it, at: {rest!r}; close it")
