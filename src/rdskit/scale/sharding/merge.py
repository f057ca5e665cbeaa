"""One query over all shards: what each of them runs, and how their rows become one result.

What cannot be merged exactly is refused with the reason: no result is ever nearly right.
"""

from __future__ import annotations

import functools
import heapq
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rdskit.drivers.rows import row_class
from rdskit.errors import ConfigError, ResultError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, excerpt, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rdskit.kernel.ports import Row

_DIALECTS: Final = {Dialect.POSTGRES: "postgres", Dialect.MYSQL: "mysql"}
_LIMIT: Final = "rdskit_limit"
_AGGREGATES: Final = {exp.Count: "count", exp.Sum: "sum", exp.Min: "min", exp.Max: "max", exp.Avg: "avg"}
_BYTEWISE: Final = {"c": False, "ucs_basic": False, "utf8mb4_bin": True, "utf8mb4_0900_bin": False, "binary": False}
"""Collations that compare code points → whether they ignore blanks at the end."""
_TEXT: Final = "a text is ordered by its collation, which only the server knows"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One part of ORDER BY.

    Attributes:
        place: the column of the result.
        descending: from the largest to the smallest.
        nulls_last: where NULL stands.
        collated: the collation that the statement names; empty for none.
    """

    place: int
    descending: bool
    nulls_last: bool
    collated: str = ""


@dataclass(frozen=True, slots=True)
class Merge:
    """How one statement runs over shards.

    Attributes:
        text: what each shard runs.
        order: how the rows of each are sorted.
        limit: the parameter or number of LIMIT; None for none.
        offset: that of OFFSET.
        aggregates: what each column computes; empty where rows are not aggregated.
        counts: for each AVG the column with its count, which is left out of the result.
        distinct: equal rows are one.
    """

    text: str
    order: tuple[SortKey, ...]
    limit: int | str | None
    offset: int | str | None
    aggregates: tuple[str, ...]
    counts: Mapping[int, int]
    distinct: bool

    def bounds(self, params: Mapping[str, Any]) -> tuple[int | None, int]:
        """Return LIMIT and OFFSET of the whole result.

        Args:
            params: of the call.

        Raises:
            ConfigError: one of them is no whole number.
        """
        limit, offset = (params.get(each) if isinstance(each, str) else each for each in (self.limit, self.offset))
        for name, value in (("LIMIT", limit), ("OFFSET", offset)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ConfigError(f"{name} of a query over shards is {value!r}: give a whole number")
        return limit, offset or 0

    def parameters(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that each shard gets."""
        limit, offset = self.bounds(params)
        own = {name: value for name, value in params.items() if name not in {self.limit, self.offset}}
        return own if limit is None else own | {_LIMIT: limit + offset}

    def rows(self, parts: Sequence[Sequence[Row]], params: Mapping[str, Any]) -> list[Row]:
        """Return the rows of the whole result.

        Args:
            parts: what each shard returned.
            params: of the call.

        Raises:
            ResultError: values came that cannot be ordered as the server orders them.
        """
        if self.aggregates:
            return [self._total([part[0] for part in parts])]
        limit, offset = self.bounds(params)
        found = self.merged([iter(part) for part in parts])
        end = None if limit is None else offset + limit
        return [row for place, row in enumerate(found) if place >= offset and (end is None or place < end)]

    def merged(self, parts: Sequence[Iterator[Row]]) -> Iterator[Row]:
        """Yield the rows of all shards in order, each once if they are to be distinct."""
        rows = heapq.merge(*parts, key=self.key) if self.order else (row for part in parts for row in part)
        if not self.distinct:
            yield from rows
            return
        seen: set[tuple[Any, ...]] = set()
        for row in rows:
            values = tuple(row)
            if values not in seen:
                seen.add(values)
                yield row

    def key(self, row: Row) -> tuple[Any, ...]:
        """Return what a row is sorted by.

        Raises:
            ResultError: the server may order its values in another way.
        """
        return tuple(_Place(row[each.place], each) for each in self.order)

    def _total(self, rows: Sequence[Row]) -> Row:
        values = []
        for place, kind in enumerate(self.aggregates):
            parts = [row[place] for row in rows if row[place] is not None]
            if kind == "avg":
                values.append(_mean(parts, sum(row[self.counts[place]] for row in rows)))
            elif kind == "count":
                values.append(sum(parts))
            elif not parts:
                values.append(None)
            elif kind == "sum":
                values.append(functools.reduce(lambda one, other: one + other, parts))
            else:
                if any(isinstance(part, str) for part in parts):
                    raise ResultError(f"{kind} over shards cannot be merged: {_TEXT}")
                values.append((min if kind == "min" else max)(parts))
        names = list(rows[0].keys())[: len(values)]
        return row_class(tuple(names))(values)


def _mean(sums: Sequence[Any], count: int) -> Any:
    if not count or not sums:
        return None
    total = functools.reduce(lambda one, other: one + other, sums)
    return total / count if isinstance(total, float) else Decimal(total) / count


@functools.total_ordering
class _Place:
    """A value in the order of the server."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any, key: SortKey) -> None:
        if isinstance(value, str):
            if not key.collated:
                raise ResultError(
                    f'ORDER BY over shards cannot be merged: {_TEXT}; write `order by name collate "C"`, on MySQL and '
                    "MariaDB `collate utf8mb4_bin`"
                )
            value = (value.rstrip(" ") if _BYTEWISE[key.collated] else value).encode()
        elif isinstance(value, list | tuple | dict):
            raise ResultError(f"ORDER BY over shards cannot be merged for a {type(value).__name__}")
        self.value = value
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: _Place) -> bool:
        if self.value is None or other.value is None:
            if self.value is other.value:
                return False
            return (other.value is None) if self.key.nulls_last else (self.value is None)
        smaller: bool = other.value < self.value if self.key.descending else self.value < other.value
        return smaller


def planned(source: str, dialect: Dialect, reference: frozenset[str], *, colocated: bool) -> Merge:
    """Return how a query runs over shards.

    Args:
        source: one SELECT.
        dialect: whose SQL.
        reference: tables that are the same on every shard.
        colocated: the caller says that joins and sub-queries only meet rows of one shard key.

    Raises:
        ConfigError: it cannot be merged; the error says why.
    """
    tree = _parsed(source, dialect)
    _refuse(tree, source, reference, colocated=colocated)
    tokens = [token for token in tokenize(source, dialect) if token.type not in BLANK]
    aggregates = _aggregates(tree, source)
    order = _order(tree, source, dialect)
    if aggregates and order:
        order = ()
    text, counts = _text(source, tokens, aggregates)
    return Merge(
        text=text if tree.args.get("limit") is None or aggregates else f"{text}\nlimit :{_LIMIT}",
        order=order,
        limit=None if aggregates else _bound(tree.args.get("limit"), source),
        offset=None if aggregates else _bound(tree.args.get("offset"), source),
        aggregates=aggregates,
        counts=counts,
        distinct=tree.args.get("distinct") is not None,
    )


def _refused(source: str, reason: str) -> ConfigError:
    return ConfigError(f"the query cannot be merged over shards: {reason}; SQL: {excerpt(source)}")


def _parsed(source: str, dialect: Dialect) -> exp.Select:
    try:
        found = [tree for tree in sqlglot.parse(source, dialect=_DIALECTS[dialect]) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise _refused(source, "it cannot be parsed") from error
    if len(found) != 1 or not isinstance(found[0], exp.Select):
        raise _refused(source, "only one plain SELECT is known: no UNION, no changes")
    return found[0]


def _refuse(tree: exp.Select, source: str, reference: frozenset[str], *, colocated: bool) -> None:
    reasons = {
        "group": "GROUP BY: one group may be on several shards, and its texts equal by their collation only",
        "having": "HAVING looks at groups",
        "qualify": "QUALIFY looks at windows",
        "locks": "it locks rows; do that by shards.on(key).transaction()",
        "into": "INTO writes",
        "with_": "WITH is not known",
        "windows": "windows look at the rows of one shard",
    }
    for name, reason in reasons.items():
        if tree.args.get(name):
            raise _refused(source, reason)
    if tree.find(exp.Window):
        raise _refused(source, reasons["windows"])
    if isinstance(tree.args.get("limit"), exp.Fetch):
        raise _refused(source, "FETCH FIRST is not known; write LIMIT")
    if tree.args.get("distinct") is not None and tree.args["distinct"].args.get("on"):
        raise _refused(source, "DISTINCT ON keeps one row for each shard")
    if colocated:
        return
    if any(each is not tree for each in tree.find_all(exp.Query)):
        raise _refused(source, "a sub-query sees one shard only; pass colocated=True if that is all it needs")
    sharded = [table for table in tree.find_all(exp.Table) if table.name not in reference]
    if len(sharded) > 1:
        raise _refused(
            source, "a join sees one shard only; pass colocated=True if its rows have one shard key, or name reference"
        )


def _aggregates(tree: exp.Select, source: str) -> tuple[str, ...]:
    kinds = []
    for projection in tree.expressions:
        inner = projection.unalias()
        kind = _AGGREGATES.get(type(inner))
        if kind is None:
            if inner.find(exp.AggFunc):
                raise _refused(source, f"{inner.sql()} is not one of COUNT, SUM, MIN, MAX and AVG alone")
            kinds.append("")
            continue
        if inner.find(exp.Distinct):
            raise _refused(source, f"{kind.upper()}(DISTINCT …) would count a value once for each shard")
        kinds.append(kind)
    if not any(kinds):
        return ()
    if not all(kinds):
        raise _refused(source, "aggregates and plain columns need GROUP BY, which is not merged")
    if tree.args.get("distinct") is not None:
        raise _refused(source, "DISTINCT of aggregates")
    return tuple(kinds)


def _order(tree: exp.Select, source: str, dialect: Dialect) -> tuple[SortKey, ...]:
    clause = tree.args.get("order")
    if clause is None:
        return ()
    names = [projection.alias_or_name for projection in tree.expressions]
    found = []
    for ordered in clause.expressions:
        inner, collation = ordered.this, ""
        if isinstance(inner, exp.Collate):
            inner, collation = inner.this, inner.expression.name.lower()
            if collation not in _BYTEWISE:
                raise _refused(source, f'ORDER BY with collation {collation!r}; use "C", on MySQL utf8mb4_bin')
        if isinstance(inner, exp.Literal) and inner.is_int:
            place = int(inner.name) - 1
        elif isinstance(inner, exp.Column) and any(isinstance(each.unalias(), exp.Star) for each in tree.expressions):
            raise _refused(source, "ORDER BY with *: name the columns")
        elif isinstance(inner, exp.Column) and names.count(inner.name) == 1:
            place = names.index(inner.name)
        else:
            raise _refused(source, f"ORDER BY {inner.sql()}: order by a column that is selected, by its name")
        descending = bool(ordered.args.get("desc"))
        last = not descending if dialect is Dialect.POSTGRES else descending
        written = ordered.sql(_DIALECTS[dialect]).lower()
        if "nulls first" in written or "nulls last" in written:
            last = "nulls last" in written
        found.append(SortKey(place, descending, last, collation))
    return tuple(found)


def _bound(clause: Any, source: str) -> int | str | None:
    if clause is None:
        return None
    value = clause.expression
    if isinstance(value, exp.Literal) and value.is_int:
        return int(value.name)
    if isinstance(value, exp.Placeholder) and value.name:
        return str(value.name)
    raise _refused(source, "LIMIT and OFFSET are numbers or parameters")


def _text(source: str, tokens: Sequence[Token], aggregates: Sequence[str]) -> tuple[str, dict[int, int]]:
    """Return the text without LIMIT, and with SUM and COUNT in place of each AVG."""
    outer = list(_outer(tokens))
    words = [(token.text.lower() if token.type is TokenType.WORD else "") for token in outer]
    cut = next(
        (outer[place].start for place, word in enumerate(words) if word in {"limit", "offset"}),
        next((token.start for token in outer if token.type is TokenType.SEMICOLON), len(source)),
    )
    if "avg" not in aggregates:
        return source[:cut], {}
    begin = next((outer[place].start for place, word in enumerate(words) if word == "from"), cut)
    edits, extra = [], []
    counts: dict[int, int] = {}
    place = -1
    averages = [number for number, kind in enumerate(aggregates) if kind == "avg"]
    for token, word in zip(outer, words, strict=True):
        if word == "avg" and token.start < begin and len(counts) < len(averages):
            place += 1
            opening, closing = _parentheses(tokens, token.end)
            edits.append((token.start, token.end, "sum"))
            extra.append(f"count({source[opening + 1 : closing]})")
            counts[averages[place]] = len(aggregates) + place
    if place + 1 != len(averages):
        raise _refused(source, "AVG is not where it is expected")
    text = source[begin:cut]
    head = source[:begin]
    for start, end, new in reversed(edits):
        head = head[:start] + new + head[end:]
    return f"{head}\n, {', '.join(extra)} {text}", counts


def _outer(tokens: Sequence[Token]) -> Iterator[Token]:
    depth = 0
    for token in tokens:
        depth -= token.type is TokenType.CLOSE
        if depth == 0 and token.type is not TokenType.OPEN:
            yield token
        depth += token.type is TokenType.OPEN


def _parentheses(tokens: Sequence[Token], start: int) -> tuple[int, int]:
    depth, opening = 0, start
    for token in tokens:
        if token.start < start:
            continue
        if token.type is TokenType.OPEN:
            opening = token.start if depth == 0 else opening
            depth += 1
        elif token.type is TokenType.CLOSE:
            depth -= 1
            if depth == 0:
                return opening, token.start
    return opening, start
