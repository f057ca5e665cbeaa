"""Classify what a statement does to data and session, from its words.

Unknown statements count as a WRITE that changes the session, which is the safe choice. A user's own function in a
SELECT is the exception (see `functions`): the server decides there, and the function is reported as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Final, NamedTuple

from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS, SESSION_FUNCTIONS, WRITING_FUNCTIONS
from rdskit.kernel.sql.model import Dialect, Effect, Kind
from rdskit.kernel.sql.tables import tables_of
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize


class _Term(NamedTuple):
    """A token that is not blank: words in lower case, identifiers without their quotes."""

    type: TokenType
    text: str
    depth: int


_Terms = Sequence[_Term]
_START: Final = _Term(TokenType.SPACE, "", 0)  # a placeholder before the first term

_QUERIES: Final = frozenset({"select", "values", "table"})
_CHANGES: Final = frozenset({"insert", "update", "delete", "merge", "replace"})
_LOCKS: Final = (
    ("for", "update"),
    ("for", "no", "key", "update"),
    ("for", "share"),
    ("for", "key", "share"),
    ("lock", "in", "share", "mode"),
)
# MariaDB's sequences; PREVIOUS VALUE depends on the session's own last value.
_SEQUENCES: Final = (("next", "value", "for"), ("previous", "value", "for"))
# SHOW statements of MySQL about one session, and about one host.
_SHOWN_OF_SESSION: Final = frozenset({"count", "errors", "profile", "profiles", "variables", "warnings"})
_SHOWN_OF_HOST: Final = frozenset(
    {"all", "binary", "binlog", "engine", "master", "open", "processlist", "relaylog", "replica", "slave", "status"}
)
_OF_THE_SERVER: Final = frozenset({"global", "persist", "persist_only", "password"})
_LOCK_STARTS: Final = frozenset({"for", "lock"})
_SEQUENCE_STARTS: Final = frozenset({"next", "previous"})
_NOT_CALLS_AFTER: Final = frozenset({"as", "recursive", "with"})
_NAMED: Final = frozenset({TokenType.WORD, TokenType.NAME})

_ROLES: Final = frozenset({"role", "authorization", "all"})  # SET ROLE, SET SESSION AUTHORIZATION, RESET ALL

_EXECUTABLE: Final = r"(?s)/\*M?!\d*(.*)\*/"

_TRANSACTION: Final = Effect(Kind.TRANSACTION, returns_rows=False, dirties_session=False, repeatable=False)
_SESSION: Final = Effect(Kind.SESSION, returns_rows=False, dirties_session=True, repeatable=False)


def effect_of(tokens: Sequence[Token], dialect: Dialect, readable: frozenset[str] = frozenset()) -> Effect:
    """Classify one statement's effect on data and session.

    Args:
        tokens: all tokens of the statement.
        dialect: the server's dialect.
        readable: functions besides the built-in ones that are known to only read; used for ``tables`` only.

    Returns:
        The effect of running it.
    """
    terms = list(_terms(tokens, dialect))
    tables = tables_of(tokens, dialect, readable)
    return replace(_classify(terms, dialect), changes_role=_changes_role(terms), tables=tables)


def defines(tokens: Sequence[Token]) -> bool:
    """Return whether a statement defines, alters or drops something that other statements may use."""
    first = next((token.text.lower() for token in tokens if token.type is TokenType.WORD), "")
    return _RULES.get(first) in {_create, _define}


def _classify(terms: _Terms, dialect: Dialect) -> Effect:
    verb = next((term.text for term in terms if term.type is TokenType.WORD), "")
    return _RULES.get(verb, _unknown)(terms, dialect)


def _terms(tokens: Sequence[Token], dialect: Dialect) -> Iterator[_Term]:
    depth = 0
    for token in tokens:
        if token.type in BLANK:
            continue
        if token.type is TokenType.EXECUTABLE:
            yield from _terms(tokenize(re.sub(_EXECUTABLE, r"\1", token.text), dialect), dialect)
            continue
        depth -= token.type is TokenType.CLOSE
        yield _Term(token.type, _plain(token), depth)
        depth += token.type is TokenType.OPEN


def _plain(token: Token) -> str:
    text = token.text.lower() if token.type is TokenType.WORD else token.text
    return text.strip('"`') if token.type is TokenType.NAME else text


def _words(terms: _Terms, count: int) -> list[str]:
    return [term.text for term in terms if term.type is TokenType.WORD][:count]


# --- rules, by the statement's first word -------------------------------------------------------------------------


def _query(terms: _Terms, dialect: Dialect) -> Effect:
    verb = _main_verb(terms)
    called, unknown = _called(terms, dialect)
    into = [term.depth for term in terms if term.text == "into" and term.type is TokenType.WORD]
    writes = verb not in _QUERIES or bool(into) or _locks_rows(terms) or _changes_inside(terms)
    writes = writes or not called.isdisjoint(WRITING_FUNCTIONS) or _uses_sequence(terms)
    dirties = _touches_session(terms, called, dialect)
    depends = dirties or (dialect is Dialect.MYSQL and _reads_variable(terms))
    once = writes or depends
    return Effect(
        kind=Kind.WRITE if writes else Kind.READ,
        returns_rows=_returning(terms) if verb not in _QUERIES else 0 not in into,
        dirties_session=dirties,
        repeatable=not (once or unknown),
        unknown=frozenset() if once else unknown,
    )


def _change(terms: _Terms, dialect: Dialect) -> Effect:
    called, _ = _called(terms, dialect)
    return Effect(Kind.WRITE, _returning(terms), _touches_session(terms, called, dialect), repeatable=False)


def _explain(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify EXPLAIN as its statement: a standby refuses even to plan a change."""
    inner = _QUERIES | _CHANGES | {"with", "execute", "create", "declare", "refresh"}
    begins = (index for index in range(1, len(terms)) if _begins(terms, index) and terms[index].text in inner)
    start = next(begins, None)
    if start is None:
        return Effect(Kind.READ, returns_rows=True, dirties_session=False, repeatable=True)
    while start > 1 and terms[start - 1].type is TokenType.OPEN:
        start -= 1
    return replace(_classify(terms[start:], dialect), returns_rows=True)


def _show(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify SHOW: output about one host or session must come from the writer, not from any reader."""
    general = dialect is Dialect.POSTGRES or (_SHOWN_OF_HOST | _SHOWN_OF_SESSION).isdisjoint(_words(terms, 4))
    return Effect(Kind.READ, returns_rows=True, dirties_session=False, repeatable=general)


def _transaction(_terms: _Terms, _dialect: Dialect) -> Effect:
    return _TRANSACTION


def _session(_terms: _Terms, _dialect: Dialect) -> Effect:
    return _SESSION


def _write(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify a known statement that changes data or definitions but not the session."""
    called, _ = _called(terms, dialect)
    return Effect(Kind.WRITE, _returning(terms), _touches_session(terms, called, dialect), repeatable=False)


def _define(terms: _Terms, _dialect: Dialect) -> Effect:
    """Classify a definition: event triggers, defaults and `create table … as` may run code on the way."""
    return Effect(Kind.WRITE, _returning(terms), dirties_session=True, repeatable=False)


def _flush(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify FLUSH: on MySQL WITH READ LOCK and FOR EXPORT keep tables locked until UNLOCK TABLES."""
    return replace(_write(terms, dialect), dirties_session=not {"lock", "export"}.isdisjoint(_bare_words(terms)))


def _unknown(_terms: _Terms, _dialect: Dialect) -> Effect:
    """Classify an unknown statement, or one that runs code from elsewhere; it may return rows."""
    return Effect(Kind.WRITE, returns_rows=True, dirties_session=True, repeatable=False, atomic=False)


def _run(_terms: _Terms, _dialect: Dialect) -> Effect:
    """Classify `do`: code that may do anything, without a result."""
    return Effect(Kind.WRITE, returns_rows=False, dirties_session=True, repeatable=False, atomic=False)


def _maintenance(_terms: _Terms, dialect: Dialect) -> Effect:
    """Classify `analyze`, `check table` and the like: MySQL returns a table of findings."""
    return Effect(Kind.WRITE, returns_rows=dialect is Dialect.MYSQL, dirties_session=False, repeatable=False)


def _set(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify the variants of SET.

    On PostgreSQL LOCAL, TRANSACTION and CONSTRAINTS end with the transaction. On MySQL LOCAL means SESSION, and SET
    TRANSACTION outside of a transaction applies to the next one. GLOBAL, PERSIST and PASSWORD change the server only.
    """
    if dialect is Dialect.MYSQL and not _OF_THE_SERVER.isdisjoint(_words(terms, 2)):
        return _write(terms, dialect)
    passing = {"local", "transaction", "constraints"}
    if dialect is Dialect.POSTGRES and not passing.isdisjoint(_words(terms, 2)):
        return _TRANSACTION
    return _SESSION


def _start(terms: _Terms, dialect: Dialect) -> Effect:
    return _TRANSACTION if "transaction" in _words(terms, 2) else _unknown(terms, dialect)


def _prepare(terms: _Terms, _dialect: Dialect) -> Effect:
    return _TRANSACTION if _words(terms, 2) == ["prepare", "transaction"] else _SESSION


def _lock(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify LOCK: PostgreSQL's table lock ends with the transaction, MySQL's lasts for the session."""
    return _SESSION if dialect is Dialect.MYSQL else _write(terms, dialect)


def _load(terms: _Terms, dialect: Dialect) -> Effect:
    """Classify LOAD: a library on PostgreSQL, a file of rows on MySQL."""
    return _write(terms, dialect) if dialect is Dialect.MYSQL else _SESSION


def _create(terms: _Terms, dialect: Dialect) -> Effect:
    return _SESSION if not {"temp", "temporary"}.isdisjoint(_words(terms, 5)) else _define(terms, dialect)


_RULES: Final[dict[str, Callable[[_Terms, Dialect], Effect]]] = {
    **dict.fromkeys(("select", "values", "table", "with"), _query),
    **dict.fromkeys(("insert", "update", "delete", "merge", "replace"), _change),
    **dict.fromkeys(("explain", "describe", "desc"), _explain),
    **dict.fromkeys(("show", "help"), _show),
    **dict.fromkeys(("begin", "commit", "end", "rollback", "abort", "savepoint", "release", "xa"), _transaction),
    **dict.fromkeys(("reset", "discard", "listen", "unlisten", "deallocate", "declare", "use", "unlock"), _session),
    **dict.fromkeys(
        ("alter", "drop", "rename", "grant", "revoke", "comment", "security", "reassign", "import"), _define
    ),
    **dict.fromkeys(("copy", "vacuum", "reindex", "cluster", "refresh", "truncate", "checkpoint"), _write),
    **dict.fromkeys(("notify", "kill"), _write),
    "flush": _flush,
    **dict.fromkeys(("analyze", "optimize", "repair", "check", "checksum"), _maintenance),
    "set": _set,
    "start": _start,
    "prepare": _prepare,
    "lock": _lock,
    "load": _load,
    "create": _create,
    "do": _run,
}


# --- conditions of the rules ----------------------------------------------------------------------------------------


def _bare_words(terms: _Terms) -> Iterator[str]:
    return (term.text for term in terms if term.type is TokenType.WORD)


def _main_verb(terms: _Terms, depth: int = 0) -> str:
    """Return the verb after a WITH list; a word after WITH, RECURSIVE or a comma is the name of a part."""
    verbs = _QUERIES | _CHANGES
    outer = [term for term in takewhile(lambda term: term.depth >= depth, terms) if term.depth == depth]
    named = {"with", "recursive", ","} if outer and outer[0].text == "with" else set()
    pairs = pairwise([_START, *outer])
    return next(
        (b.text for a, b in pairs if b.type is TokenType.WORD and b.text in verbs and a.text not in named), "select"
    )


def _begins(terms: _Terms, index: int) -> bool:
    """Return whether a statement may begin there: at a word outside of parentheses, or the first one inside."""
    term = terms[index]
    return term.type is TokenType.WORD and (term.depth == 0 or terms[index - 1].type is TokenType.OPEN)


def _returning(terms: _Terms) -> bool:
    return any(term.text == "returning" and term.depth == 0 and term.type is TokenType.WORD for term in terms)


def _locks_rows(terms: _Terms) -> bool:
    return _has_phrase(terms, _LOCK_STARTS, _LOCKS)


def _uses_sequence(terms: _Terms) -> bool:
    return _has_phrase(terms, _SEQUENCE_STARTS, _SEQUENCES)


def _has_phrase(terms: _Terms, starts: frozenset[str], phrases: Sequence[tuple[str, ...]]) -> bool:
    words = [term.text if term.type is TokenType.WORD else "" for term in terms]
    begun = (index for index, word in enumerate(words) if word in starts)
    return any(tuple(words[index : index + len(phrase)]) == phrase for index in begun for phrase in phrases)


def _changes_inside(terms: _Terms) -> bool:
    """Return whether a WITH query changes data: a verb after a parenthesis, maybe after a WITH list of its own."""
    begins = (index for index in range(1, len(terms)) if terms[index].depth and _begins(terms, index))
    return any(
        terms[index].text in _CHANGES
        or (terms[index].text == "with" and _main_verb(terms[index:], terms[index].depth) in _CHANGES)
        for index in begins
    )


def _called(terms: _Terms, dialect: Dialect) -> tuple[set[str], frozenset[str]]:
    """Return the last names of called functions, and the full names of those not known to be harmless."""
    calls = list(_calls(terms))
    harmless = HARMLESS_FUNCTIONS[dialect]
    unknown = (_in_full(path) for path in calls if len(path) > 1 or path[0] not in harmless)
    return {path[-1] for path in calls}, frozenset(unknown)


def _calls(terms: _Terms) -> Iterator[tuple[str, ...]]:
    """Yield names before a parenthesis with their qualifiers, except names of WITH parts and of columns after AS."""
    for index, (name, opening) in enumerate(pairwise(terms)):
        if name.type in _NAMED and opening.type is TokenType.OPEN and opening.text == "(":
            start = index
            while start >= 2 and terms[start - 1].text == "." and terms[start - 2].type in _NAMED:  # noqa: PLR2004 - a name and its dot
                start -= 2
            if start == 0 or terms[start - 1].text not in _NOT_CALLS_AFTER:
                yield _unqualified(tuple(term.text for term in terms[start : index + 1 : 2]))


def _unqualified(path: tuple[str, ...]) -> tuple[str, ...]:
    return path[-1:] if path[:-1] == ("pg_catalog",) else path


def _in_full(path: tuple[str, ...]) -> str:
    """Join a name's parts with dots; a part that contains a dot is quoted, so that it is not read as two."""
    return ".".join(f'"{name}"' if "." in name else name for name in path)


def _touches_session(terms: _Terms, called: set[str], dialect: Dialect) -> bool:
    touching = called & SESSION_FUNCTIONS
    if touching == {"set_config"}:
        return not _sets_locally(terms)
    in_family = dialect is Dialect.MYSQL and (_sets_variable(terms) or _chooses_insert_id(terms))
    return bool(touching) or _into_temporary(terms) or in_family


def _changes_role(terms: _Terms) -> bool:
    """Return whether the role may change; the name in a set_config may be a parameter, so any set_config counts."""
    words = list(_bare_words(terms))
    sets = words[:1] in (["set"], ["reset"], ["discard"])
    return "set_config" in words or (sets and not _ROLES.isdisjoint(words[:4]))


def _sets_locally(terms: _Terms) -> bool:
    """Return whether each set_config(…) ends in the word true, which limits it to the transaction."""
    pairs = enumerate(pairwise(terms))
    openings = (index + 1 for index, (a, b) in pairs if a.text == "set_config" and b.type is TokenType.OPEN)
    return all(_last_inside(terms, opening) == "true" for opening in openings)


def _last_inside(terms: _Terms, opening: int) -> str:
    """Return the last term before the parenthesis that closes the one at ``opening``."""
    depth = terms[opening].depth
    inside = takewhile(lambda term: term.depth > depth, terms[opening + 1 :])
    return next(reversed([term.text for term in inside]), "")


def _into_temporary(terms: _Terms) -> bool:
    words = list(_bare_words(terms))
    targets = (words[index + 1 : index + 3] for index, word in enumerate(words) if word == "into")
    return any(not {"temp", "temporary"}.isdisjoint(target) for target in targets)


def _sets_variable(terms: _Terms) -> bool:
    """Return whether MySQL sets a user variable: `@a := 1`, `select … into @a`."""
    pairs = pairwise(terms)
    return any(a.text == ":=" or (a.text == "into" and b.text == "@") for a, b in pairs)


def _chooses_insert_id(terms: _Terms) -> bool:
    """Return whether MySQL's ``last_insert_id(…)`` has an argument, which the session then keeps."""
    triples = zip(terms, terms[1:], terms[2:], strict=False)
    return any(a.text.lower() == "last_insert_id" and b.text == "(" != c.text != ")" for a, b, c in triples)


def _reads_variable(terms: _Terms) -> bool:
    """Return whether MySQL reads a user variable, ``@a``; ``@@a`` is a setting."""
    texts = ["", *(term.text for term in terms), ""]
    return any(b == "@" and a != "@" and c != "@" for a, b, c in zip(texts, texts[1:], texts[2:], strict=False))
