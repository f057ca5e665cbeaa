"""Walk through queries and changes, and collect their tables."""

from __future__ import annotations

from typing import Final, NamedTuple

from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS, TABLELESS_FUNCTIONS
from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.table_terms import (
    SET_OPERATORS,
    Path,
    Terms,
    Unclear,
    at,
    is_query,
    path_at,
    path_before,
    shown,
    with_begins,
    with_list,
)

CHANGES: Final = frozenset({"insert", "replace", "update", "delete", "merge"})
_MODIFIERS: Final = frozenset({"low_priority", "high_priority", "delayed", "ignore", "quick"})
_LIST_ENDS: Final = SET_OPERATORS | {
    *("fetch", "for", "group", "having", "limit", "lock", "offset", "order", "procedure", "returning", "select"),
    *("set", "values", "when", "where", "window"),
}
_NOT_ALIASES: Final = _LIST_ENDS | {
    *("cross", "force", "full", "ignore", "inner", "into", "join", "left", "natural", "on", "partition", "right"),
    *("straight_join", "tablesample", "use", "using", "with"),
}
# Words before a parenthesis that are not functions, besides those that `functions` lists.
_NOT_FUNCTIONS: Final = frozenset(
    {
        *("as", "conflict", "default", "ilike", "insert", "into", "is", "key", "regexp", "returning", "rlike", "row"),
        *("set", "table", "to", "update", "xor"),
    }
)


class Source(NamedTuple):
    """A table in a list of tables.

    Attributes:
        alias: the name by which the statement calls it.
        table: its name as text.
    """

    alias: str
    table: str


class Walk:
    """Collect the tables of one statement.

    Attributes:
        dialect: the server's dialect.
        reads: tables that are read.
        writes: tables that are written.
        reads_more: a user's function may read tables that the text does not name.
    """

    def __init__(self, dialect: Dialect, readable: frozenset[str]) -> None:
        self.dialect = dialect
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.reads_more = False
        self._readable = readable
        self._harmless = HARMLESS_FUNCTIONS[dialect]

    def query(self, terms: Terms, scope: frozenset[str] = frozenset()) -> None:
        """Walk a query or a change.

        Args:
            terms: all its terms.
            scope: names of WITH parts, which are not tables.

        Raises:
            Unclear: its tables are not certain.
        """
        index = 0
        if at(terms, 0).word == "with":
            parts, index = with_list(terms, 0)
            if at(terms, 1).word == "recursive":  # a part may refer to itself and to later ones
                scope = scope.union(name for name, _ in parts)
            for name, body in parts:
                self.query(body, scope)
                scope |= {name}
        _Level(self, terms, scope).walk(index)

    def expression(self, terms: Terms, scope: frozenset[str] = frozenset()) -> None:
        """Find queries and calls in the contents of a parenthesis.

        Raises:
            Unclear: it calls a function whose effects are unknown.
        """
        if is_query(terms):
            self.query(terms, scope)
            return
        for index, term in enumerate(terms):
            if term.inside is not None:
                self.call(terms, index)
                self.expression(term.inside, scope)

    def call(self, terms: Terms, index: int) -> None:
        """Record the function whose arguments are at ``index``, if there is one.

        Raises:
            Unclear: the function's effects are unknown.
        """
        path = path_before(terms, index) if terms[index].mark == ")" else ()
        path = path[1:] if path[:1] == ("pg_catalog",) else path
        if not path or (len(path) == 1 and self._is_tableless(path[0])):
            return
        if shown(path) not in self._readable:
            raise Unclear
        self.reads_more = True

    def _is_tableless(self, name: str) -> bool:
        return name in self._harmless or name in TABLELESS_FUNCTIONS or name in _NOT_FUNCTIONS


class _Level:
    """One query or change, without its WITH parts and without the contents of its parentheses."""

    def __init__(self, walk: Walk, terms: Terms, scope: frozenset[str]) -> None:
        self._walk = walk
        self._terms = terms
        self._scope = scope

    def walk(self, start: int) -> None:
        """Walk from the verb to the end."""
        verb = at(self._terms, start).word
        if verb in {"insert", "replace", "merge"}:
            start = self._target(start + 1)
        elif verb == "update":
            start = self._update(start + 1)
        elif verb == "delete":
            start = self._delete(start + 1)
        self._rest(start, verb)

    # -- changes -------------------------------------------------------------------------------------------------

    def _target(self, index: int) -> int:
        """Record the table of INSERT, REPLACE or MERGE, and skip its alias and columns."""
        terms = self._terms
        while at(terms, index).word in _MODIFIERS | {"into", "only"}:
            index += 1
        path, index = path_at(terms, index)
        self._walk.writes.add(shown(path))
        if at(terms, index).word == "partition":
            index += 2
        if at(terms, index).word == "as":
            index += 2
        elif at(terms, index + 1).word == "using":  # MERGE INTO table alias USING
            index += 1
        columns = at(terms, index).inside
        if columns is None:
            return index
        self._walk.expression(columns, self._scope)  # or a query in parentheses
        return index + 1

    def _update(self, index: int) -> int:
        """Record the tables that UPDATE names before SET: one on PostgreSQL, maybe several on MySQL."""
        sources, index = self._sources(self._after_modifiers(index))
        if len(sources) == 1:
            self._changed(sources, None)
            return index
        targets, place = [], index  # each assignment begins with a column
        while at(self._terms, place).word == "set" or at(self._terms, place).mark == ",":
            targets.append(path_at(self._terms, place + 1)[0][:-1])
            place += 1
            while place < len(self._terms) and self._terms[place].mark != "," and not self._ends_list(place):
                place += 1
        self._changed(sources, targets if all(targets) else None)
        return index

    def _delete(self, index: int) -> int:
        """Record the tables of DELETE: ``from a using b``, ``a, b from a join b``, ``from a, b using a join b``."""
        terms, index = self._terms, self._after_modifiers(index)
        leads = at(terms, index).word == "from"
        targets, index = self._targets(index + leads)
        if not leads or (self._walk.dialect is Dialect.MYSQL and at(terms, index).word == "using"):
            if at(terms, index).word not in {"from", "using"}:
                raise Unclear
            sources, index = self._sources(index + 1)
            self._changed(sources, targets)
            return index
        if len(targets) > 1:
            raise Unclear
        self._walk.writes.add(shown(targets[0]))
        while index < len(terms) and not self._ends_list(index) and terms[index].word != "using":
            index += 1
        if at(terms, index).word != "using":
            return index
        sources, index = self._sources(index + 1)
        self._walk.reads.update(source.table for source in sources)
        return index

    def _targets(self, index: int) -> tuple[list[Path], int]:
        """Parse a list of tables, each optionally with ``.*``."""
        found: list[Path] = []
        while True:
            path, index = path_at(self._terms, index + (at(self._terms, index).word == "only"))
            found.append(path)
            if (at(self._terms, index).mark, at(self._terms, index + 1).mark) == (".", "*"):
                index += 2
            if at(self._terms, index).mark != ",":
                return found, index
            index += 1

    def _changed(self, sources: list[Source], targets: list[Path] | None) -> None:
        """Divide listed tables into those that are changed and those that are only read.

        Args:
            sources: the tables.
            targets: the names of the changed ones; None if all are changed.
        """
        if not sources:
            raise Unclear
        called = {shown(path) for path in targets or ()}
        changed = [source for source in sources if source.alias in called or source.table in called]
        if targets is None or not called <= {name for source in changed for name in source}:
            changed = sources  # the two lists spell a name differently
        self._walk.writes.update(source.table for source in changed)
        self._walk.reads.update(source.table for source in sources if source not in changed)

    # -- lists of tables -----------------------------------------------------------------------------------------

    def _sources(self, index: int) -> tuple[list[Source], int]:
        """Parse a list of tables with its joins; return it and the place of the clause that ends it."""
        terms = self._terms
        sources, index = self._source(index)
        while index < len(terms) and not self._ends_list(index):
            if terms[index].mark == "," or self._joins(index):
                more, index = self._source(index + 1)
                sources += more
            else:
                self._look_into(index)
                index += 1
        return sources, index

    def _source(self, index: int) -> tuple[list[Source], int]:
        """Parse one table, function or query with its alias; return its tables and the place after it."""
        terms, only = self._terms, False
        while at(terms, index).word == "lateral" or (at(terms, index).word == "only" and not only):
            only = only or terms[index].word == "only"
            index += 1
        inside = at(terms, index).inside
        if inside is not None:
            return self._nested(inside), self._after_alias(index + 1)[1]
        if at(terms, index + 1).word == "from":  # ROWS FROM (function, …)
            return [], index + 2
        path, index = path_at(terms, index)
        if at(terms, index).inside is not None:
            self._look_into(index)
            return [], self._after_alias(index + 1)[1]
        alias, after = self._after_alias(index)
        if path == ("dual",) or (len(path) == 1 and path[0] in self._scope):
            return [], after
        return [Source(alias or path[-1], shown(path))], after

    def _after_alias(self, index: int) -> tuple[str, int]:
        """Parse an alias and its columns, if there are any."""
        if at(self._terms, index).word == "with":  # WITH ORDINALITY
            index += 2
        explicit = at(self._terms, index).word == "as"
        index += explicit
        alias = at(self._terms, index)
        if not alias.name or (alias.word in _NOT_ALIASES and not explicit):
            return "", index
        return alias.name, index + 1 + (at(self._terms, index + 1).inside is not None)

    def _nested(self, terms: Terms) -> list[Source]:
        """Parse a query, or joins, in parentheses."""
        if not is_query(terms):
            return _Level(self._walk, terms, self._scope)._sources(0)[0]  # noqa: SLF001 - the same class
        self._walk.query(terms, self._scope)
        return []

    # -- everything else -----------------------------------------------------------------------------------------

    def _rest(self, index: int, verb: str) -> None:
        terms, listing = self._terms, False
        while index < len(terms):
            if with_begins(terms, index):
                self._walk.query(terms[index:], self._scope)
                return
            if self._opens(index, verb) or (listing and terms[index].mark == ","):
                sources, index = self._source(index + 1)
                self._walk.reads.update(source.table for source in sources)
                listing = True
                continue
            if self._is_word(index, "into") and verb not in CHANGES:
                index = self._into(index + 1)
                continue
            self._look_into(index)
            listing = listing and not self._ends_list(index)
            index += 1

    def _opens(self, index: int, verb: str) -> bool:
        """Return whether a table follows this word."""
        if self._is_word(index, "from"):
            words = at(self._terms, index - 2).word, at(self._terms, index - 1).word
            return words not in {("is", "distinct"), ("not", "distinct")}
        if self._is_word(index, "table"):
            return True
        return self._joins(index) or (verb == "merge" and self._is_word(index, "using"))

    def _joins(self, index: int) -> bool:
        """Return whether this is a JOIN, not a part of MySQL's index hints or an option of SELECT."""
        before = at(self._terms, index - 1).word
        if self._is_word(index, "straight_join"):
            return before not in {"select", "distinct", "distinctrow", "all", "high_priority"}
        return self._is_word(index, "join") and before != "for"

    def _is_word(self, index: int, word: str) -> bool:
        return at(self._terms, index).word == word and at(self._terms, index - 1).mark != "."

    def _ends_list(self, index: int) -> bool:
        """Return whether a clause begins here; MySQL's index hints do not count (``use index for order by (i)``)."""
        before, term = at(self._terms, index - 1), at(self._terms, index)
        hints = {"join", "order", "group"}
        is_hint = before.word == "for" or (term.word == "for" and at(self._terms, index + 1).word in hints)
        return term.word in _LIST_ENDS and before.mark != "." and not is_hint

    def _after_modifiers(self, index: int) -> int:
        while at(self._terms, index).word in _MODIFIERS:
            index += 1
        return index

    def _look_into(self, index: int) -> None:
        inside = at(self._terms, index).inside
        if inside is not None:
            self._walk.call(self._terms, index)
            self._walk.expression(inside, self._scope)

    def _into(self, index: int) -> int:
        """Record the target of SELECT INTO: a new table on PostgreSQL, variables or a file on MySQL."""
        terms = self._terms
        if self._walk.dialect is Dialect.MYSQL:
            if at(terms, index).mark != "@" and at(terms, index).word not in {"outfile", "dumpfile"}:
                raise Unclear
            return index
        while at(terms, index).word in {"temp", "temporary", "unlogged", "table"}:
            index += 1
        path, index = path_at(terms, index)
        self._walk.writes.add(shown(path))
        return index
