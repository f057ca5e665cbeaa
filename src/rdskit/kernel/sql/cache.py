"""Cache compiled statements by their text, and bind the arguments of one call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from rdskit.errors import ConfigError
from rdskit.kernel.sql.bind import bind
from rdskit.kernel.sql.compile import compile_statement
from rdskit.kernel.sql.effects import defines
from rdskit.kernel.sql.model import Kind
from rdskit.kernel.sql.session_code import SessionCode, mentioned
from rdskit.kernel.sql.tokens import tokenize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rdskit.kernel.sql.model import Dialect, ParameterStyle, Statement

_TEXTS = 2048  # the limit; the oldest is dropped first. Texts built from values would otherwise fill the memory.
OPTIONS = frozenset({"timeout", "into", "after"})
"""Keywords of a call that are not parameters of its statement."""
STREAM_OPTIONS = OPTIONS | {"batch"}
"""Keywords of a stream that are not parameters of its statement."""


class Rewriter(Protocol):
    """Changes what a view of a database sends, such as by a predicate that keeps tenants apart."""

    def text(self, source: str) -> str:
        """Return the statement that is sent in place of the caller's.

        Raises:
            ConfigError: the statement is refused.
        """
        ...

    def rows(self, table: str, rows: Any, tenant: str | None) -> Any:
        """Return the rows that ``insert_many`` sends in place of the caller's.

        Args:
            table: where they go.
            rows: an iterable or async iterable of mappings.
            tenant: whose connection sends them.

        Raises:
            ConfigError: they are refused.
        """
        ...


class StatementCache(dict[str, "Statement"]):
    """Cache of compiled statements: ``cache[text]`` compiles a missing one.

    A text that is not one statement with ``:name`` parameters raises ConfigError.

    Attributes:
        dialect: the texts' dialect.
        style: the driver's parameter style; None for the dialect's own.
        readable: functions that are known to only read, besides the built-in ones.
        session_code: what is known about the stored code behind names in statements.
        defined: a statement that creates, alters or drops something was compiled since this was set to False.
        rewriter: changes each text before it is compiled, and rows before they are sent; None for none.
    """

    def __init__(self, dialect: Dialect, readable: Iterable[str] = (), style: ParameterStyle | None = None) -> None:
        super().__init__()
        self.dialect = dialect
        self.style = style
        self.readable = frozenset(readable)
        self.session_code = SessionCode()
        self.defined = False
        self.rewriter: Rewriter | None = None
        self._leader = self
        self._siblings: list[StatementCache] = []

    def sibling(self, rewriter: Rewriter | None = None) -> StatementCache:
        """Return an empty cache that shares this one's knowledge of stored code, but learns no readable functions.

        Args:
            rewriter: changes each text before it is compiled.
        """
        other = StatementCache(self.dialect, self.readable, self.style)
        other.rewriter = rewriter
        other.session_code, other._leader = self.session_code, self
        self._siblings.append(other)
        return other

    def learn(self, readable: Iterable[str]) -> None:
        """Record functions that only read; statements that depend on them are compiled again."""
        self.readable = self.readable.union(readable)
        for source in [source for source, statement in self.items() if not self.readable.isdisjoint(statement.unknown)]:
            del self[source]

    def settle(self, names: frozenset[str], found: tuple[frozenset[str], frozenset[str]]) -> None:
        """Record what the catalog reported for names that statements mention; all statements are compiled again.

        Args:
            names: the names that the catalog was asked about.
            found: those that change the session, as `session_changing` returns them.
        """
        self.session_code.settle(names, found)
        for cache in (self, *self._siblings):
            cache.clear()

    def table_changes_session(self, table: str) -> bool:
        """Return whether writing to a table may change the session, for example by a trigger; True if unknown."""
        names = mentioned(tokenize(table, self.dialect), self.dialect)
        return self.session_code.may_change_session(names, writes=True)

    def of(self, source: str) -> Statement:
        """Return the compiled statement of a text.

        Raises:
            ConfigError: it is not a text, or not one statement with ``:name`` parameters.
        """
        try:
            return self[source]
        except TypeError as error:
            raise sql_expected(source, error) from None

    def __missing__(self, source: str) -> Statement:
        if not isinstance(source, str):
            raise sql_expected(source)
        text = source if self.rewriter is None else self.rewriter.text(source)
        statement = compile_statement(text, self.dialect, self.readable, self.style)
        tokens = tokenize(text, self.dialect)
        if defines(tokens):
            self._leader.defined = True
            return statement  # not cached: each run of it makes the known catalog outdated
        if not statement.dirties_session and statement.kind in {Kind.READ, Kind.WRITE}:
            names = mentioned(tokens, self.dialect)
            if self.session_code.may_change_session(names, writes=statement.kind is Kind.WRITE):
                statement = replace(statement, dirties_session=True)
        if len(self) >= _TEXTS:
            del self[next(iter(self))]
        self[source] = statement
        return statement


def sql_expected(given: object, cause: TypeError | None = None) -> Exception:
    """Return the error for an argument that is not SQL text.

    Args:
        given: the argument.
        cause: the error that it caused; it is returned itself if the argument is a text.
    """
    if cause is not None and isinstance(given, str):
        return cause
    return ConfigError(f"the SQL is of type {type(given).__name__}: give one statement as a str")


def bind_call(
    statement: Statement,
    params: Mapping[str, Any] | None,
    named: Mapping[str, Any],
    options: frozenset[str] = OPTIONS,
) -> tuple[str, list[Any]]:
    """Return text and arguments for a call whose parameters are keywords, or one mapping.

    Args:
        statement: the compiled statement.
        params: the mapping, or None.
        named: the keywords.
        options: keywords of the call that are not parameters.

    Raises:
        ConfigError: both were given, or a parameter has the name of an option and came as a keyword.
    """
    try:
        return bind(statement, named if params is None else one_mapping(params, named))
    except ConfigError as error:
        clash = options.intersection(statement.names)
        if params is not None or not clash:
            raise
        name = min(clash)
        raise ConfigError(
            f"parameter :{name} has the name of an option of this call: pass the parameters as one mapping, "
            f"as in fetch_all(sql, {{{name!r}: …}})"
        ) from error


def one_mapping(params: Mapping[str, Any] | None, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a call, which come as keywords or as one mapping.

    Raises:
        ConfigError: both were given, or the mapping is not one.
    """
    if params is None:
        return named
    if not hasattr(type(params), "keys"):
        raise ConfigError(
            f"the parameters are of type {type(params).__name__}: write `:id` in the SQL text and give the value by "
            "its name, as in fetch_one(sql, id=7), or all values in one mapping, as in fetch_one(sql, {'id': 7})"
        )
    if named:
        raise ConfigError(
            f"parameters were given both as a mapping and as keywords ({', '.join(named)}): give them one way"
        )
    return params
