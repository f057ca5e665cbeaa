"""Terms of a statement as a tree of parentheses, in which `tables` searches for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

QUERIES: Final = frozenset({"select", "with", "values", "table"})
SET_OPERATORS: Final = frozenset({"union", "except", "intersect", "minus"})


class Unclear(Exception):  # noqa: N818 - a signal inside this package
    """The text does not show its tables with certainty."""


class Term(NamedTuple):
    """A token that is not blank, or a parenthesis with its contents.

    Attributes:
        word: a keyword or a name without quotes, in lower case; empty for everything else.
        name: the identifier that it may be; empty if it cannot be one.
        mark: an operator's or literal's text; the closing parenthesis or bracket.
        inside: the contents of a parenthesis; None for a token.
    """

    word: str = ""
    name: str = ""
    mark: str = ""
    inside: tuple[Term, ...] | None = None


Terms = tuple[Term, ...]
Path = tuple[str, ...]
_END: Final = Term()


def tree_of(tokens: Sequence[Token], dialect: Dialect) -> Terms:
    """Return the terms of a statement.

    Raises:
        Unclear: parentheses do not match, or servers read a part of the text differently.
    """
    levels: list[list[Term]] = [[]]
    for token in tokens:
        if token.type is TokenType.OPEN:
            levels.append([])
        elif token.type is TokenType.CLOSE and len(levels) > 1:
            inside = tuple(levels.pop())
            levels[-1].append(Term(mark=token.text, inside=inside))
        # Whether a server runs the contents of /*! … */ depends on its version.
        elif token.type in {TokenType.EXECUTABLE, TokenType.CLOSE}:
            raise Unclear
        elif token.type not in BLANK and token.type is not TokenType.SEMICOLON:
            levels[-1].append(_term(token, dialect))
    if len(levels) > 1:
        raise Unclear
    return tuple(levels[0])


def _term(token: Token, dialect: Dialect) -> Term:
    text = token.text
    if token.type is TokenType.WORD:
        # PostgreSQL folds names without quotes; on MySQL the case of a table's name may count.
        return Term(word=text.lower(), name=text.lower() if dialect is Dialect.POSTGRES else text)
    if token.type is TokenType.NAME:
        quote = text[-1]
        if text[0] != quote:  # U&"…" has escapes of its own
            raise Unclear
        return Term(name=text[1:-1].replace(quote * 2, quote), mark=text)
    return Term(mark=text)


def at(terms: Terms, index: int) -> Term:
    """Return the term at a place, or an empty one beyond either end."""
    return terms[index] if 0 <= index < len(terms) else _END


def words_of(terms: Terms) -> frozenset[str]:
    """Return the words outside of parentheses."""
    return frozenset(term.word for term in terms)


def path_at(terms: Terms, index: int) -> tuple[Path, int]:
    """Return a name with its qualifiers, and the place after it.

    Raises:
        Unclear: there is no name.
    """
    names = [at(terms, index).name]
    while at(terms, index + 1).mark == "." and at(terms, index + 2).name:
        index += 2
        names.append(terms[index].name)
    if not all(names):
        raise Unclear
    return tuple(names), index + 1


def path_before(terms: Terms, index: int) -> Path:
    """Return the name that ends before ``index``; empty if there is none, or if AS gives it to columns."""
    names: list[str] = []
    place = index - 1
    while at(terms, place).name:
        names.append(terms[place].word or terms[place].name)
        if at(terms, place - 1).mark != ".":
            break
        place -= 2
    return () if at(terms, place - 1).word in {"as", "recursive"} else tuple(reversed(names))


def shown(path: Path) -> str:
    """Join a name's parts with dots; a part that contains a dot is quoted, so that it is not read as two."""
    return ".".join(f'"{name}"' if "." in name else name for name in path)


def is_query(terms: Terms | None) -> bool:
    """Return whether a parenthesis contains a query, or a combination of queries in parentheses."""
    if not terms:
        return False
    first = terms[0]
    if first.word:
        return first.word in QUERIES and at(terms, 1).mark != "."
    combined = len(terms) == 1 or not SET_OPERATORS.isdisjoint(words_of(terms))
    return is_query(first.inside) and combined


def with_begins(terms: Terms, index: int) -> bool:
    """Return whether a WITH list begins here, and not WITH TIES, WITH (fillfactor = …) and the like."""
    if at(terms, index).word != "with":
        return False
    index += 1 + (at(terms, index + 1).word == "recursive")
    columns = at(terms, index + 1).inside is not None
    return bool(at(terms, index).name) and at(terms, index + 1 + columns).word == "as"


def with_list(terms: Terms, index: int) -> tuple[list[tuple[str, Terms]], int]:
    """Return the parts of the WITH list at a place, each with its name, and the place after the list.

    Raises:
        Unclear: there is no WITH list, or it has a SEARCH or CYCLE clause.
    """
    parts: list[tuple[str, Terms]] = []
    index += 1 + (at(terms, index + 1).word == "recursive")
    while True:
        name = at(terms, index).name
        index += 1 + (at(terms, index + 1).inside is not None)
        if at(terms, index).word != "as":
            raise Unclear
        index += 1
        while at(terms, index).word in {"not", "materialized"}:
            index += 1
        body = at(terms, index).inside
        if body is None or at(terms, index + 1).word in {"search", "cycle"}:
            raise Unclear
        parts.append((name, body))
        if at(terms, index + 1).mark != ",":
            return parts, index + 1
        index += 2
