"""Decide from the text of stored code whether it can change the session that runs it.

A statement may look plain and still change its session: ``select set_tenant(7)`` where the function calls
``set_config``, an insert whose trigger takes a lock, a view over such a function. The catalog returns the code behind
each name that a statement mentions. This module decides, on the safe side, what the code can do.

Names are compared without their schema, and every identifier counts as a mention. A column with the name of a function
may cost an unnecessary reset, but no necessary reset is missed.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.sql.functions import SESSION_FUNCTIONS, word_set
from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NAMED: Final = frozenset({TokenType.WORD, TokenType.NAME})
_CHANGES: Final = frozenset({"insert", "update", "delete", "merge", "replace", "truncate", "copy"})
# Words of the grammar that are in nearly every statement: the catalog is not queried for them.
_GRAMMAR: Final = word_set(
    """
    all and any as asc between by case current_date current_timestamp cross default delete desc distinct else end
    exists false for from full group having if ilike in inner insert into is join left like limit not null offset on or
    order outer returning right select set then true union update using values when where with
    """
)
# Words that run text or keep state: dynamic SQL, channels, prepared names, cursors with hold, the temporary schema.
_RUNS_TEXT: Final = word_set(
    """
    execute prepare deallocate listen unlisten discard reset hold pg_temp
    query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml crosstab connectby ts_stat ts_rewrite
    dblink dblink_exec dblink_send_query
    """
)
_FAMILY_WORDS: Final = word_set("prepare execute lock unlock use handler")
_HANDLED: Final = frozenset({"continue", "exit", "undo"})  # DECLARE CONTINUE HANDLER is about errors, not tables
_STARTS: Final = frozenset({"", ";", "begin", "atomic", "then", "else", "loop", "do", "declare"})
_PASSING: Final = frozenset({"local", "constraints", "transaction"})  # PostgreSQL: SET LOCAL ends with the transaction
_TARGETS_LEFT: Final = frozenset({"null", "default"})  # ON DELETE SET NULL


class Code(NamedTuple):
    """A piece of stored code.

    Attributes:
        name: the function, procedure, table, view or type that it belongs to.
        on_write: whether it runs only when data is changed there: a trigger, a rule, a default.
        text: its text.
    """

    name: str
    on_write: bool
    text: str


class _Reading(NamedTuple):
    """The analysis of one text: whether it changes the session itself, whether it writes, and the names it mentions."""

    touches: bool
    writes: bool
    names: frozenset[str]


def mentioned(tokens: Sequence[Token], dialect: Dialect) -> frozenset[str]:
    """Return the identifiers in a text, without their schemas.

    Args:
        tokens: a statement's or stored code's.
        dialect: the server's; MySQL's names are returned in lower case.
    """
    names = {_name(token, dialect) for token in tokens if token.type in _NAMED}
    return frozenset(names - _GRAMMAR)


def _name(token: Token, dialect: Dialect) -> str:
    if token.type is TokenType.WORD:
        return token.text.lower()
    quote = token.text[-1]
    name = token.text.partition(quote)[2][:-1].replace(quote * 2, quote)
    return name.lower() if dialect is Dialect.MYSQL else name


_MOST_NAMES: Final = 20_000  # the limit; then all are dropped. Texts built from values would otherwise fill the memory


class SessionCode:
    """Track which names in a database's statements refer to code that changes the session.

    Attributes:
        known: names that the catalog was asked about.
        pending: names in statements that the catalog must still be asked about.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.pending: set[str] = set()
        self._when_read: frozenset[str] = frozenset()
        self._when_written: frozenset[str] = frozenset()

    def may_change_session(self, names: frozenset[str], *, writes: bool) -> bool:
        """Return whether code behind one of the names can change the session, or is not known.

        Unknown names are added to ``pending``.
        """
        unknown = names - self.known
        self.pending |= unknown
        return bool(unknown) or not names.isdisjoint(self._when_written if writes else self._when_read)

    def settle(self, names: frozenset[str], found: tuple[frozenset[str], frozenset[str]]) -> None:
        """Record what the catalog reported; arguments as for `StatementCache.settle`."""
        if len(self.known) > _MOST_NAMES:
            self.known.clear()
        self.known |= names
        self.pending -= names
        self._when_read = (self._when_read - names) | found[0]
        self._when_written = (self._when_written - names) | found[1]


def session_changing(codes: Iterable[Code], dialect: Dialect) -> tuple[frozenset[str], frozenset[str]]:
    """Decide which names refer to code that can change the session.

    Args:
        codes: all code behind the names, and behind those that it mentions itself.
        dialect: the server's.

    Returns:
        The names that change the session wherever they are used, and those that do where a statement writes.
    """
    behind: dict[str, list[tuple[bool, _Reading]]] = defaultdict(list)
    for code in codes:
        behind[code.name].append((code.on_write, read_code(code.text, dialect)))
    changing: set[tuple[str, bool]] = set()  # name, and whether the statement writes
    grown = True
    while grown:
        found = {
            (name, writes)
            for name, texts in behind.items()
            for writes in (False, True)
            if any(_changes(reading, changing, writes=writes) for on_write, reading in texts if writes or not on_write)
        }
        grown = found != changing
        changing = found
    return (
        frozenset(name for name, writes in changing if not writes),
        frozenset(name for name, writes in changing if writes),
    )


def _changes(reading: _Reading, changing: set[tuple[str, bool]], *, writes: bool) -> bool:
    return reading.touches or any((name, writes or reading.writes) in changing for name in reading.names)


def read_code(text: str, dialect: Dialect) -> _Reading:
    """Return the analysis of stored code; a text that cannot be tokenized counts as changing the session."""
    try:
        tokens = [token for token in tokenize(text, dialect) if token.type not in BLANK]
    except ConfigError:
        return _Reading(touches=True, writes=True, names=frozenset())
    words = {_name(token, dialect) for token in tokens if token.type in _NAMED}
    touching = words & SESSION_FUNCTIONS or _creates_temporary(tokens)
    if dialect is Dialect.POSTGRES:
        touching = touching or words & _RUNS_TEXT or any(_session_settings(tokens)) or _runs_a_literal(tokens)
    else:
        touching = touching or _touches_in_family(tokens)
    return _Reading(bool(touching), not words.isdisjoint(_CHANGES), frozenset(words - _GRAMMAR))


def _texts(tokens: Sequence[Token]) -> list[str]:
    return [token.text.lower() if token.type is TokenType.WORD else token.text for token in tokens]


def _creates_temporary(tokens: Sequence[Token]) -> bool:
    texts = _texts(tokens)
    places = (index for index, text in enumerate(texts) if text in {"temp", "temporary"})
    return any(not {"create", "into"}.isdisjoint(texts[max(0, index - 4) : index]) for index in places)


def _runs_a_literal(tokens: Sequence[Token]) -> bool:
    """Return whether the code has LOAD 'library' or DO $$…$$."""
    return any(
        first.text.lower() in {"load", "do", "language"} and second.type is TokenType.STRING
        for first, second in pairwise(tokens)
    )


def _set_statements(tokens: Sequence[Token]) -> Iterator[list[str]]:
    """Yield the rest of each SET that is a statement of its own, not a part of UPDATE or ALTER."""
    texts = ["", *_texts(tokens)]
    changing = False
    for index, text in enumerate(texts):
        if text == ";":
            changing = False
        elif text in {"update", "alter", "on", "character"}:
            changing = True
        elif text == "set" and (not changing or texts[index - 1] in _STARTS):
            yield texts[index + 1 :]


def _session_settings(tokens: Sequence[Token]) -> Iterator[bool]:
    for rest in _set_statements(tokens):
        yield rest[:1] == [] or rest[0] not in _PASSING | _TARGETS_LEFT


def _touches_in_family(tokens: Sequence[Token]) -> bool:
    """Return whether code uses user variables, settings, SET of non-local variables, or other session state."""
    texts = _texts(tokens)
    if "@" in texts:
        return True
    for before, text in pairwise(["", *texts]):
        if text in _FAMILY_WORDS and not (text == "handler" and before in _HANDLED):
            return True
    local = _declared(texts)
    return any(_sets_more_than(local, rest) for rest in _set_statements(tokens))


def _declared(texts: Sequence[str]) -> set[str]:
    """Return the words of all DECLARE statements: names and types."""
    found, inside = set(), False
    for text in texts:
        inside = text == "declare" or (inside and text != ";")
        if inside:
            found.add(text.strip("`"))
    return found


def _sets_more_than(local: set[str], rest: Sequence[str]) -> bool:
    """Return whether a SET has a target besides local variables and columns of the new row."""
    first = rest[:1] == ["new"] or (rest[:1] != [] and rest[0].strip("`") in local)
    end = rest.index(";") if ";" in rest else len(rest)
    assigned = [
        (rest[index - 2] if index > 1 else "", rest[index - 1])
        for index in range(1, end)
        if rest[index] in {"=", ":="} and (index < 2 or rest[index - 2] in {",", "."})  # noqa: PLR2004 - a name and what precedes it
    ]
    return not first or any(before == "," and name.strip("`") not in local for before, name in assigned)
