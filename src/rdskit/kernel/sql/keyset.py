"""Keyset pagination: pages that begin after a given row, whatever is inserted or deleted between two pages.

A page is requested by the key of a neighboring row instead of an offset. So it costs an index range and no count from
the start, and no row is repeated or skipped. Source: Markus Winand, "SQL Performance Explained", "Paging Through
Results".
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import uuid
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_texts
from rdskit.kernel.sql.model import Dialect
from rdskit.kernel.sql.tokens import BLANK, TokenType, excerpt, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE: Final = "rdskit_size"
"""The parameter for the number of rows."""


class Keyed(Protocol):
    """A row, or another object with values by name."""

    def __getitem__(self, key: Any, /) -> Any: ...


class KeyColumn(NamedTuple):
    """One column of the sort order."""

    name: str
    descending: bool


class Keyset(NamedTuple):
    """A query in a total order.

    Attributes:
        source: the query, without a closing semicolon.
        columns: the sort order; together they are unique and never NULL.
        dialect: the server's.
    """

    source: str
    columns: tuple[KeyColumn, ...]
    dialect: Dialect

    @property
    def fingerprint(self) -> str:
        """A hash that distinguishes cursors of different queries and orders."""
        text = json.dumps([self.source, self.columns])
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def keyset(source: str, key: str | Sequence[str], dialect: Dialect) -> Keyset:
    """Return a query with its parsed sort order.

    Args:
        source: a query whose result has the key's columns.
        key: column names of the result, each optionally with ``asc`` or ``desc``; unique together, never NULL.
        dialect: the server's.

    Raises:
        ConfigError: there is no key, or a part of it is not a column name.
    """
    parts = require_texts("key", key)
    if not parts:
        raise ConfigError('pages need a key, the columns of a unique order, as in key=("created_at", "id")')
    return Keyset(_without_end(source, dialect), tuple(map(_column, parts)), dialect)


def page_text(query: Keyset, *, bounded: bool, backward: bool) -> str:
    """Return the query of one page.

    Args:
        query: the query.
        bounded: begin after the row whose key is passed as the parameters of ``bounds``.
        backward: return the page before that row; its rows are in reverse order.
    """
    columns = [KeyColumn(name, descending != backward) for name, descending in query.columns]
    where = f" where {_after_key(columns, query.dialect)}" if bounded else ""
    order = ", ".join(f"{_quoted(name, query.dialect)}{' desc' if down else ''}" for name, down in columns)
    # Names are quoted and values are parameters; the query itself is the caller's.
    return f"select * from ({query.source}) as rdskit_page{where} order by {order} limit :{SIZE}"  # noqa: S608


def bounds(query: Keyset, values: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters of a bounded page."""
    return {_parameter(number): value for number, value in enumerate(values[: len(query.columns)])}


def key_of(query: Keyset, row: Keyed) -> list[Any]:
    """Return the key of a row.

    Raises:
        ConfigError: a column is missing or NULL, so that the row has no defined place in the order.
    """
    values = []
    for name, _ in query.columns:
        try:
            value = row[name]
        except (KeyError, AttributeError) as error:
            raise ConfigError(f"the page key {name!r} is not a column of the query: {excerpt(query.source)}") from error
        if value is None:
            raise ConfigError(
                f"the page key {name!r} is NULL in a row, which has no place in the order: "
                f"use columns that are never NULL, or coalesce({name}, …) as {name}"
            )
        values.append(value)
    return values


# -- cursors -----------------------------------------------------------------------------------------------------------

_LONGEST_CURSOR: Final = 65_536  # characters
_DAMAGES: Final = (
    *(binascii.Error, ValueError, KeyError, TypeError, AttributeError),
    *(InvalidOperation, OverflowError, RecursionError),
)
_CODECS: Final[dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "b": (bool, bool, bool),
    "i": (int, int, int),
    "f": (float, float.hex, float.fromhex),
    "s": (str, str, str),
    "d": (Decimal, str, Decimal),
    "T": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "D": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "l": (
        dt.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: dt.timedelta(*parts),
    ),
    "t": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "u": (uuid.UUID, str, uuid.UUID),
    "x": (bytes, bytes.hex, bytes.fromhex),
}
"""Tag, type, encoder to JSON and decoder; the first match counts, so subclasses come before their bases."""


def encode_cursor(query: Keyset, values: Sequence[Any]) -> str:
    """Encode a row's key as an opaque text for URLs and JSON.

    Raises:
        ConfigError: a value has a type that cursors do not support.
    """
    tagged = [_tagged(column.name, value) for column, value in zip(query.columns, values, strict=True)]
    text = json.dumps([query.fingerprint, *tagged], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_cursor(query: Keyset, cursor: str) -> list[Any]:
    """Decode a cursor into a row's key.

    Raises:
        ConfigError: it is damaged, or belongs to another query or key.
    """
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError("longer than any that was given out")
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, *tagged = json.loads(text)
        values = [_CODECS[tag][2](value) for tag, value in tagged]
    except _DAMAGES as error:
        raise ConfigError(f"the page cursor {excerpt(cursor, 30)!r} is damaged: start from the first page") from error
    if fingerprint != query.fingerprint or len(values) != len(query.columns):
        raise ConfigError(
            f"the page cursor {excerpt(cursor, 30)!r} belongs to another query or key: "
            "use it with those that it came from, or start from the first page"
        )
    return values


def _tagged(name: str, value: Any) -> list[Any]:
    for tag, (kind, write, _) in _CODECS.items():
        if isinstance(value, kind):
            return [tag, write(value)]
    raise ConfigError(f"the page key {name!r} is a {type(value).__name__}, which no cursor can carry: cast it to text")


# -- text --------------------------------------------------------------------------------------------------------------


def _after_key(columns: Sequence[KeyColumn], dialect: Dialect) -> str:
    """Return the condition that a row comes after the given key."""
    if dialect is Dialect.POSTGRES and len({column.descending for column in columns}) == 1:
        # PostgreSQL uses one index range for a row comparison; MySQL evaluates such a condition row by row.
        names = ", ".join(_quoted(column.name, dialect) for column in columns)
        values = ", ".join(f":{_parameter(number)}" for number in range(len(columns)))
        return f"({names}) {_beyond(columns[0])} ({values})"
    condition = ""
    for number, column in reversed(list(enumerate(columns))):
        name, value = _quoted(column.name, dialect), f":{_parameter(number)}"
        rest = f" or {name} = {value} and {condition}" if condition else ""
        condition = f"({name} {_beyond(column)} {value}{rest})"
    first = columns[0]
    # The first column's condition is repeated before the alternatives: it gives the optimizer an index range.
    return f"{_quoted(first.name, dialect)} {_beyond(first)}= :{_parameter(0)} and {condition}"


def _beyond(column: KeyColumn) -> str:
    return "<" if column.descending else ">"


def _parameter(number: int) -> str:
    return f"rdskit_key_{number}"


def _quoted(name: str, dialect: Dialect) -> str:
    mark = '"' if dialect is Dialect.POSTGRES else "`"
    return mark + name.replace(mark, mark * 2) + mark


def _column(part: str) -> KeyColumn:
    name, _, direction = part.strip().partition(" ")
    if not name or direction.strip().lower() not in {"", "asc", "desc"}:
        raise ConfigError(f'page key {part!r}: give a column name, or one with its direction, as in "created_at desc"')
    return KeyColumn(name, direction.strip().lower() == "desc")


def _without_end(source: str, dialect: Dialect) -> str:
    """Return the text without a closing semicolon, which is not allowed inside parentheses."""
    tokens = tokenize(source, dialect)
    while tokens and (tokens[-1].type in BLANK or tokens[-1].type is TokenType.SEMICOLON):
        tokens.pop()
    return "".join(token.text for token in tokens)
