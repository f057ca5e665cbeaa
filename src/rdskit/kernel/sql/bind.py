"""Bind values to the parameters of a compiled statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rdskit.errors import ConfigError
from rdskit.kernel.sql.insert import MOST_MARKERS
from rdskit.kernel.sql.literals import mysql_literal
from rdskit.kernel.sql.model import Dialect, ParameterStyle, Statement
from rdskit.kernel.sql.tokens import TokenType, excerpt, tokenize

_EMPTY_LISTS = {Dialect.POSTGRES: "select null where false", Dialect.MYSQL: "select 1 from dual where 1 = 0"}
"""Replaces an empty list in ``in (…)``, because ``in ()`` is a syntax error: ``in`` is false, ``not in`` is true."""


def bind(statement: Statement, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the text and the arguments for one execution.

    Args:
        statement: a compiled statement.
        values: a value for each of the statement's names, and no others; for a list parameter a list, tuple or set.

    Returns:
        The text for the driver and its arguments in order; `named_arguments` pairs those of a driver that takes names.

    Raises:
        ConfigError: a name is missing or unknown, or a list parameter's value is not a list.
    """
    try:
        arguments = list(map(values.__getitem__, statement.names))
    except KeyError as missing:
        raise _names_differ(statement, values) from missing
    if len(values) != len(statement.parameters):
        raise _names_differ(statement, values)
    if statement.plain:
        return statement.text, arguments
    return _bind_lists(statement, values, arguments)


def named_arguments(text: str, args: Sequence[Any], dialect: Dialect) -> dict[str, Any]:
    """Return the arguments of a call by name, for a driver with named parameters.

    Args:
        text: the text that `bind` returned for a statement in the named style.
        args: the arguments that `bind` returned.
        dialect: the server's dialect.
    """
    return dict(zip(_names_in(text, dialect), args, strict=True))


@lru_cache(maxsize=512)
def _names_in(text: str, dialect: Dialect) -> tuple[str, ...]:
    return tuple(token.text[1:] for token in tokenize(text, dialect) if token.type is TokenType.PARAMETER)


def expand(statement: Statement, lengths: Mapping[str, int], marker: str = "?") -> str:
    """Return the text of a MySQL statement for lists of given lengths.

    Args:
        statement: a statement compiled for MySQL.
        lengths: the number of elements of each list.
        marker: ``?`` for a server-side prepare, ``%s`` for a driver with that style. With ``%s`` each literal percent
            sign is doubled, so arguments must be passed even if there are none.

    Returns:
        The text, with as many markers in each ``in (…)`` as its list has elements.
    """
    pieces = statement.pieces
    if marker == "%s":
        pieces = tuple(piece.replace("%", "%%") for piece in pieces)
    return interleave(pieces, [_repeat(marker, lengths.get(name, 1)) for name in statement.names])


def _repeat(marker: str, count: int) -> str:
    return ", ".join([marker] * count) if count else _EMPTY_LISTS[Dialect.MYSQL]


def _bind_lists(statement: Statement, values: Mapping[str, Any], arguments: list[Any]) -> tuple[str, list[Any]]:
    for name in statement.alone:
        if isinstance(values[name], list | tuple | set | frozenset):
            raise ConfigError(
                f"parameter {name!r} is a {type(values[name]).__name__} and stands in parentheses: write `in :{name}` "
                f"for a list, without them; SQL: {excerpt(statement.source)}"
            )
    lists = {name: _elements(name, values[name]) for name in statement.lists}
    if statement.style is ParameterStyle.NAMED:
        return _bind_named_lists(statement, lists, arguments)
    if statement.style is ParameterStyle.NUMBERED:
        return statement.text, [lists.get(name, value) for name, value in zip(statement.names, arguments, strict=True)]
    flat: list[Any] = []
    for name, value in zip(statement.names, arguments, strict=True):
        flat.extend(lists.get(name, [value]))
    if len(flat) > MOST_MARKERS:
        return _with_literals(statement, lists, arguments)
    return expand(statement, {name: len(elements) for name, elements in lists.items()}), flat


def _bind_named_lists(
    statement: Statement, lists: Mapping[str, list[Any]], values: Sequence[Any]
) -> tuple[str, list[Any]]:
    """Replace each list with one named parameter for each of its elements."""
    markers: list[str] = []
    arguments: list[Any] = []
    for name, value in zip(statement.names, values, strict=True):
        elements = lists.get(name)
        if elements is None:
            markers.append(f":{name}")
            arguments.append(value)
            continue
        prefix = f"{name}_"
        while any(other.startswith(prefix) for other in statement.parameters):
            prefix += "_"
        listed = ", ".join(f":{prefix}{number}" for number in range(1, len(elements) + 1))
        markers.append(listed or _EMPTY_LISTS[statement.dialect])
        arguments.extend(elements)
    return interleave(statement.pieces, markers), arguments


def _with_literals(statement: Statement, lists: Mapping[str, list[Any]], arguments: list[Any]) -> tuple[str, list[Any]]:
    """Write lists into the text as literals: a statement has at most 65,535 markers."""
    texts = {
        name: ", ".join(map(mysql_literal, elements)) or _EMPTY_LISTS[Dialect.MYSQL] for name, elements in lists.items()
    }
    rest = [value for name, value in zip(statement.names, arguments, strict=True) if name not in lists]
    return interleave(statement.pieces, [texts.get(name, "?") for name in statement.names]), rest


def _elements(name: str, value: object) -> list[Any]:
    if not isinstance(value, Collection) or isinstance(value, str | bytes | bytearray | Mapping):
        raise ConfigError(f"parameter {name!r} is used as `in :{name}`: give a list, not a {type(value).__name__}")
    return list(value)


def _names_differ(statement: Statement, values: Mapping[str, Any]) -> ConfigError:
    wanted = dict.fromkeys(statement.names)
    missing = ", ".join(f":{name}" for name in wanted if name not in values)
    unknown = ", ".join(repr(name) for name in values if name not in wanted)
    faults = [f"needs a value for {missing}"] * bool(missing) + [f"has no parameter {unknown}"] * bool(unknown)
    has = ", ".join(f":{name}" for name in wanted) or "none"
    return ConfigError(
        f"the statement {' and '.join(faults)}; its parameters are: {has}; SQL: {excerpt(statement.source)}"
    )


def interleave(pieces: Sequence[str], markers: Sequence[str]) -> str:
    """Join pieces of text with one marker between each two."""
    return "".join(piece + marker for piece, marker in zip(pieces, [*markers, ""], strict=True))
