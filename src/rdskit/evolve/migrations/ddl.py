"""What a statement that changes the schema is about: read from its tokens, for all three products.

A tree is not needed for this: the head of a DDL statement is regular, and ``ALTER TABLE`` is a list of actions that are
separated by commas outside parentheses. What is not recognized is ``None``, and callers treat it as the worst case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rdskit.kernel.sql import Dialect

_VERBS: Final = frozenset(
    {"create", "alter", "drop", "rename", "truncate", "reindex", "comment", "refresh", "cluster", "optimize"}
)
_KINDS: Final = (
    ("materialized", "view"),
    ("foreign", "table"),
    ("event", "trigger"),
    ("table",),
    ("index",),
    ("view",),
    ("sequence",),
    ("type",),
    ("domain",),
    ("function",),
    ("procedure",),
    ("trigger",),
    ("policy",),
    ("schema",),
    ("database",),
    ("extension",),
    ("role",),
    ("user",),
    ("event",),
    ("publication",),
    ("statistics",),
)
#: Words between the verb and the kind, and behind the kind, that are no name.
_FLAGS: Final = frozenset(
    {
        "or",
        "replace",
        "unique",
        "temporary",
        "temp",
        "unlogged",
        "if",
        "not",
        "exists",
        "concurrently",
        "only",
        "fulltext",
    }
    | {"spatial", "online", "offline", "ignore", "global", "local", "recursive", "constraint", "aggregate", "verbose"}
)
#: Actions of ALTER TABLE that carry a list of their own: a comma inside parentheses never ends one.
_NAME_TYPES: Final = frozenset({TokenType.WORD, TokenType.NAME})


@dataclass(frozen=True, slots=True)
class Action:
    """One action of ``ALTER TABLE``, or the rest of another statement.

    Attributes:
        words: its tokens in lower case; quoted names without their quotes, strings as they stand.
    """

    words: tuple[str, ...]

    def begins(self, *words: str) -> bool:
        """Return whether the action begins with these words."""
        return self.words[: len(words)] == words

    def has(self, *words: str) -> bool:
        """Return whether it contains these words, next to each other."""
        length = len(words)
        return any(self.words[index : index + length] == words for index in range(len(self.words) - length + 1))


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement that changes the schema.

    Attributes:
        verb: ``create``, ``alter``, ``drop``, ``rename``, ``truncate``, ``reindex``, ``comment`` …
        kind: ``table``, ``index``, ``materialized view`` …; empty where the statement names none.
        names: the objects named, without quotes: of the index for an index, of the table for a table.
        table: the table concerned; None if it is not about one.
        flags: ``concurrently``, ``unique``, ``if``, ``exists``, ``only`` … that stand before the name.
        actions: of ``ALTER TABLE``; of other statements one, with what follows the name.
    """

    verb: str
    kind: str
    names: tuple[str, ...]
    table: str | None
    flags: frozenset[str] = field(default_factory=frozenset)
    actions: tuple[Action, ...] = ()

    @property
    def is_table_change(self) -> bool:
        """Whether it is an ``ALTER TABLE``."""
        return (self.verb, self.kind) == ("alter", "table")


def read_ddl(text: str, dialect: Dialect) -> Ddl | None:
    """Return what a statement is about; None if it changes no schema.

    Args:
        text: one statement.
        dialect: whose lexical rules apply.
    """
    tokens = [token for token in tokenize(text, dialect) if token.type not in BLANK]
    if not tokens or _word(tokens[0]) not in _VERBS:
        return None
    return _Reader(tokens).read()


class _Reader:
    """Parse one statement from left to right."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 1
        self._flags: set[str] = set()

    def read(self) -> Ddl:
        verb = _word(self._tokens[0])
        self._skip_flags()
        kind = self._kind()
        if verb == "truncate" and not kind:
            kind = "table"
        self._skip_flags()
        names = self._names() if kind or verb in {"rename", "cluster", "optimize"} else []
        table = names[0] if kind in {"table", "foreign table"} and names else None
        if kind == "index" or (verb == "create" and kind in {"trigger", "policy"}):
            table = self._behind("on") or table
        actions = self._actions() if kind == "table" and verb == "alter" else [self._rest()]
        return Ddl(verb, kind, tuple(names), table, frozenset(self._flags), tuple(actions))

    def _skip_flags(self) -> None:
        while self._at < len(self._tokens) and _word(self._tokens[self._at]) in _FLAGS:
            self._flags.add(_word(self._tokens[self._at]))
            self._at += 1

    def _kind(self) -> str:
        for words in _KINDS:
            if tuple(_word(token) for token in self._tokens[self._at : self._at + len(words)]) == words:
                self._at += len(words)
                return " ".join(words)
        return ""

    def _names(self) -> list[str]:
        """Read the names behind the kind; an index may have none (``create index on t``)."""
        names: list[str] = []
        while name := self._name():
            names.append(name)
            if not (self._at < len(self._tokens) and self._tokens[self._at].text == ","):
                break
            self._at += 1
        return names

    def _name(self) -> str:
        parts: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at].type in _NAME_TYPES:
            if not parts and _word(self._tokens[self._at]) == "on":
                return ""
            parts.append(unquoted(self._tokens[self._at]))
            self._at += 1
            if not (self._at < len(self._tokens) and self._tokens[self._at].text == "."):
                break
            self._at += 1
        return ".".join(parts)

    def _behind(self, word: str) -> str | None:
        """Return the name behind a word of the rest, ``only`` skipped."""
        for index in range(self._at, len(self._tokens)):
            if _word(self._tokens[index]) == word:
                reader = _Reader(self._tokens)
                reader._at = index + 1
                reader._skip_flags()
                return reader._name() or None
        return None

    def _rest(self) -> Action:
        return Action(tuple(map(unquoted, self._tokens[self._at :])))

    def _actions(self) -> Iterator[Action]:
        held: list[str] = []
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.type is TokenType.OPEN) - (token.type is TokenType.CLOSE)
            if token.text == "," and depth == 0:
                yield Action(tuple(held))
                held = []
            else:
                held.append(unquoted(token))
        if held:
            yield Action(tuple(held))


def _word(token: Token) -> str:
    return token.text.lower() if token.type is TokenType.WORD else ""


def unquoted(token: Token) -> str:
    """Return a token's text as names are compared: words in lower case, quoted names without their quotes."""
    if token.type is TokenType.NAME:
        quote = token.text[-1]
        return token.text.removeprefix("u&").removeprefix("U&")[1:-1].replace(quote * 2, quote)
    return token.text.lower() if token.type is TokenType.WORD else token.text


def drops_data(ddl: Ddl | None) -> bool:
    """Return whether a statement removes rows or columns for good.

    Args:
        ddl: as read; None for a statement that is no DDL.
    """
    if ddl is None:
        return False
    if ddl.verb in {"drop", "truncate"}:
        return ddl.kind in {"table", "foreign table", "materialized view", "schema", "database"}
    drops = (action for action in ddl.actions if action.begins("drop"))
    return ddl.is_table_change and any(
        action.words[1:2]
        not in {("constraint",), ("index",), ("key",), ("foreign",), ("primary",), ("check",), ("default",)}
        for action in drops
    )


#: Statements that remove rows without being DDL.
def deletes_rows(text: str, dialect: Dialect) -> bool:
    """Return whether a statement is a DELETE or TRUNCATE."""
    tokens = (token for token in tokenize(text, dialect) if token.type not in BLANK)
    first = next(tokens, None)
    return first is not None and _word(first) in {"delete", "truncate"}
