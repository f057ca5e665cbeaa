"""Find the tables that a statement reads and writes, as far as its text shows.

This is one pass over the tokens with a tree of parentheses, without a grammar. Text that it does not understand is
reported as unknown: too wide an invalidation costs a lookup, too narrow a one serves stale rows.
Sources: PostgreSQL 18 manual, "SQL Commands"; MySQL 8.4 manual, chapter 15; MariaDB documentation, "SQL Statements".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.kernel.sql.model import NO_TABLES, UNKNOWN_TABLES, Dialect, Tables
from rdskit.kernel.sql.table_terms import (
    QUERIES,
    Terms,
    Unclear,
    at,
    is_query,
    path_at,
    shown,
    tree_of,
    with_begins,
    words_of,
)
from rdskit.kernel.sql.table_walk import CHANGES, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.kernel.sql.tokens import Token

_WITHOUT_TABLES: Final = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"})
_WITHOUT_TABLES_ON_POSTGRES: Final = frozenset(
    {"set", "reset", "discard", "listen", "unlisten", "deallocate", "notify"}
)
_EXPLAINS: Final = frozenset({"explain", "describe", "desc"})


def tables_of(tokens: Sequence[Token], dialect: Dialect, readable: frozenset[str] = frozenset()) -> Tables:
    """Return the tables that one statement reads and writes.

    Args:
        tokens: all tokens of the statement.
        dialect: the server's dialect.
        readable: functions besides the built-in ones that are known to only read.

    Returns:
        The tables; None instead of a set that the text does not show completely.
    """
    try:
        return _statement(tree_of(tokens, dialect), dialect, readable)
    except Unclear:
        return UNKNOWN_TABLES


def _statement(terms: Terms, dialect: Dialect, readable: frozenset[str]) -> Tables:
    verb, words = at(terms, 0).word, words_of(terms)
    on_postgres = dialect is Dialect.POSTGRES
    if verb in _WITHOUT_TABLES or (on_postgres and verb in _WITHOUT_TABLES_ON_POSTGRES):
        return UNKNOWN_TABLES if words & {"prepared", "slave", "replica", "group_replication"} else NO_TABLES
    if verb in {"show", "help"}:
        return Tables(None, frozenset())
    walk = Walk(dialect, readable)
    if verb in _DEFINITIONS and not (verb == "load" and on_postgres):
        _DEFINITIONS[verb](walk, terms)
    elif verb in QUERIES or verb in CHANGES or is_query(terms):
        walk.query(terms)
    elif verb not in _EXPLAINS:
        raise Unclear
    elif not _explained(walk, terms):
        return Tables(None, frozenset())
    return Tables(None if walk.reads_more else frozenset(walk.reads), frozenset(walk.writes))


def _explained(walk: Walk, terms: Terms) -> bool:
    """Walk the statement in EXPLAIN as if it ran, which ANALYZE does; return False if there is none."""
    if words_of(terms) & {"create", "execute", "declare", "refresh"}:
        raise Unclear
    verbs = QUERIES | CHANGES
    starts = (index for index in range(1, len(terms)) if terms[index].word in verbs or is_query(terms[index].inside))
    start = next(starts, None)
    if start is not None:
        walk.query(terms[start:])
    return start is not None


# --- definitions, which count as writes ---------------------------------------------------------------------------


def _create(walk: Walk, terms: Terms) -> None:
    index = 1
    while at(terms, index).word in {"or", "replace", "temp", "temporary", "unlogged", "global", "local"}:
        index += 1
    if at(terms, index).word in {"unique", "index", "fulltext", "spatial"}:
        _index_of(walk, terms, index)
        return
    # PARTITION OF and INHERITS make the rows of one table those of another too, and a foreign key has writes to another
    # table change this one from now on.
    others = words_of(terms) & {"of", "inherits", "execute"}
    columns = (words_of(term.inside) for term in terms if term.inside is not None)
    if at(terms, index).word != "table" or others or any("references" in words for words in columns):
        raise Unclear
    path, index = path_at(terms, _after_if(terms, index + 1))
    walk.writes.add(shown(path))
    for place in range(index, len(terms)):
        given = at(terms, place - 1).word == "as" and (terms[place].word == "values" or terms[place].inside is not None)
        if given or terms[place].word in {"select", "table"} or with_begins(terms, place):
            walk.query(terms[place:])
            return


def _index_of(walk: Walk, terms: Terms, index: int) -> None:
    """Record the table of ``create index … on table`` or ``drop index … on table``."""
    while at(terms, index).word != "on":
        if index >= len(terms):
            raise Unclear
        index += 1
    path, _ = path_at(terms, index + 1 + (at(terms, index + 1).word == "only"))
    walk.writes.add(shown(path))


def _alter(walk: Walk, terms: Terms) -> None:
    """Record the table of ALTER TABLE, if the statement affects no other table."""
    others = {"rename", "attach", "detach", "inherit", "exchange", "schema", "references", "partition"}
    words = words_of(terms)
    if at(terms, 1).word != "table" or others & words:
        raise Unclear
    index = _after_if(terms, 2)
    path, index = path_at(terms, index + (at(terms, index).word == "only"))
    walk.writes.add(shown(path))
    if words & {"using", "default"}:  # these have expressions
        walk.expression(terms[index:])


def _drop(walk: Walk, terms: Terms) -> None:
    if at(terms, 1).word == "index" and "on" in words_of(terms):
        _index_of(walk, terms, 2)
        return
    index = 1 + (at(terms, 1).word == "temporary")
    if at(terms, index).word != "table" or "cascade" in words_of(terms):
        raise Unclear
    _listed(walk, terms, _after_if(terms, index + 1))


def _truncate(walk: Walk, terms: Terms) -> None:
    if "cascade" in words_of(terms):
        raise Unclear
    _listed(walk, terms, 1 + (at(terms, 1).word == "table"))


def _rename(walk: Walk, terms: Terms) -> None:
    if at(terms, 1).word not in {"table", "tables"}:
        raise Unclear
    _listed(walk, terms, _after_if(terms, 2))


def _load(walk: Walk, terms: Terms) -> None:
    """Record the table of ``load data [local] infile '…' into table name``."""
    for index in range(len(terms)):
        if (terms[index].word, at(terms, index + 1).word) == ("into", "table"):
            path, after = path_at(terms, index + 2)
            walk.writes.add(shown(path))
            walk.expression(terms[after + (at(terms, after).inside is not None) :])
            return
    raise Unclear


def _listed(walk: Walk, terms: Terms, index: int) -> None:
    """Record a list of tables, separated by commas or TO."""
    while True:
        path, index = path_at(terms, index + (at(terms, index).word == "only"))
        walk.writes.add(shown(path))
        index += at(terms, index).mark == "*"
        if at(terms, index).mark != "," and at(terms, index).word != "to":
            return
        index += 1


def _after_if(terms: Terms, index: int) -> int:
    while at(terms, index).word in {"if", "not", "exists"}:
        index += 1
    return index


_DEFINITIONS: Final[dict[str, Callable[[Walk, Terms], None]]] = {
    "create": _create,
    "alter": _alter,
    "drop": _drop,
    "truncate": _truncate,
    "rename": _rename,
    "load": _load,
}
