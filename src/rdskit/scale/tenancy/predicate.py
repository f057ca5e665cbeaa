"""A predicate for the tenant in every place where a statement names a table.

A parse tree (sqlglot) says where the tables are; the text itself is changed only at these places, so that nothing of it
is generated again. What comes out is parsed again and must hold the predicate wherever a tenant's table is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import quote_part
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rdskit.scale.tenancy.model import TenantTables

_DIALECTS: Final = {Dialect.POSTGRES: "postgres", Dialect.MYSQL: "mysql"}
_AFTER_WHERE: Final = frozenset(
    {"group", "having", "window", "order", "limit", "offset", "fetch", "for", "lock", "into", "returning"}
    | {"union", "intersect", "except"}
)
_PLAIN_TABLE: Final = frozenset({"this", "alias", "joins"})
_KNOWN: Final = (exp.Query, exp.Insert, exp.Update, exp.Delete)
_NEVER: Final = (exp.Command, exp.Into, exp.PropertyEQ, exp.SetItem)


class NotUnderstoodError(Exception):
    """Where the tables of a statement are is not known; the text says why."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def with_predicate(source: str, tables: TenantTables) -> str:
    """Return a statement that reads and changes rows of the session's tenant only.

    Args:
        source: SELECT, INSERT, UPDATE or DELETE.
        tables: what is known of the database.

    Raises:
        NotUnderstoodError: it is something else, or has a form for which the predicate is not known to hold.
        ConfigError: it would write for another tenant, or to a table of all.
    """
    tree = _parsed(source, tables.dialect)
    _refuse_forms(tree, tables)
    statement = _Statement(source, tree, tables)
    changed = _applied(source, statement.edits())
    _verify(changed, tables)
    return changed


class _Statement:
    """One statement, and the places of its text that change."""

    def __init__(self, source: str, tree: exp.Expression, tables: TenantTables) -> None:
        self._source = source
        self._tree = tree
        self._tables = tables
        self._tokens = [token for token in tokenize(source, tables.dialect) if token.type not in BLANK]

    def edits(self) -> list[_Edit]:
        """Return the changes, from the beginning of the text to its end."""
        target = _target(self._tree)
        locked = None if target is not None else _locked(self._tree, self._tables.dialect)
        found: list[_Edit] = []
        for table in _references(self._tree, self._tables):
            name = _name(table)
            if table is target:
                self._refuse_shared(name)
            elif name in self._tables.shared:
                continue
            if table is target or table is locked:
                continue
            found.append(self._wrapped(table, name))
        if isinstance(self._tree, exp.Insert) and target is not None:
            found += self._inserted(_name(target))
        elif target is not None or locked is not None:
            found += self._narrowed(target or locked)
        return sorted(found)

    def _wrapped(self, table: exp.Table, name: str) -> _Edit:
        start, end = _place(table)
        condition = f"{self._column} = {self._tables.values[name]}"
        written = self._source[start:end]
        alias = "" if table.alias else f" as {written}"
        return _Edit(start, end, f"(select * from {written} where {condition}){alias}")  # noqa: S608 - its own text

    def _narrowed(self, table: exp.Table | None) -> list[_Edit]:
        """Add the condition to the WHERE of the outermost statement."""
        assert table is not None, "the caller checks it"
        start, end = _place(table)
        called = quote_part(table.alias, self._tables.dialect) if table.alias else self._source[start:end]
        condition = f"{called}.{self._column} = {self._tables.values[_name(table)]}"
        where = next((token for token in self._outer() if _word(token) == "where"), None)
        behind = where.end if where else end
        stop = next(
            (
                token.start
                for token in self._outer()
                if token.start >= behind and (_word(token) in _AFTER_WHERE or token.type is TokenType.SEMICOLON)
            ),
            len(self._source),
        )
        # A comment up to the end of its line may stand in front of what is added.
        if where is None:
            return [_Edit(stop, stop, f"\nwhere {condition} ")]
        return [_Edit(where.end, where.end, f" {condition} and ("), _Edit(stop, stop, "\n) ")]

    def _inserted(self, name: str) -> list[_Edit]:
        """Add the column and its value to an INSERT."""
        tree, value = self._tree, self._tables.values[name]
        columns = tree.this.expressions if isinstance(tree.this, exp.Schema) else []
        if not columns:
            raise NotUnderstoodError("an INSERT needs the list of its columns")
        if any(_is(column, self._tables.column, self._tables.dialect) for column in columns):
            if self._tables.dialect is Dialect.POSTGRES:
                return []  # the policy compares it
            raise ConfigError(f"INSERT INTO {name}: leave {self._tables.column!r} out, rdskit writes it")
        self._refuse_upsert(name)
        groups = self._groups(_place(tree.this.this)[1])
        _, closing = next(groups)
        found = [_Edit(closing, closing, f", {self._column}")]
        source = tree.expression
        if isinstance(source, exp.Values):
            rows = [next(groups) for _ in source.expressions]
            return found + [_Edit(end, end, f", {value}") for _, end in rows]
        if not isinstance(source, exp.Query):
            raise NotUnderstoodError("an INSERT takes its rows from VALUES or from a query")
        begin = closing + 1
        stops = {"on", "returning", "as"} if self._tables.dialect is Dialect.MYSQL else {"on", "returning"}
        stop = next(
            (
                token.start
                for token, after in zip(self._outer(), [*self._outer()[1:], None], strict=True)
                if token.start > begin
                and (
                    token.type is TokenType.SEMICOLON
                    or _word(token) == "returning"
                    or (_word(token) in stops and after is not None and _word(after) in {"duplicate", "conflict"})
                )
            ),
            len(self._source),
        )
        return [
            *found,
            _Edit(begin, begin, f" select rdskit_rows.*, {value} from ("),  # noqa: S608 - an expression of ours
            _Edit(stop, stop, "\n) as rdskit_rows "),
        ]

    def _refuse_upsert(self, name: str) -> None:
        conflict = self._tree.args.get("conflict")
        if conflict is None or self._tables.dialect is Dialect.POSTGRES:  # the policy compares the row that is there
            return
        if name not in self._tables.whole_keys:
            raise ConfigError(
                f"ON DUPLICATE KEY UPDATE could change another tenant's row of {name!r}: have {self._tables.column!r} "
                "in each of its unique keys, or use UPDATE and INSERT"
            )

    def _refuse_shared(self, name: str) -> None:
        if name in self._tables.shared:
            raise ConfigError(
                f"table {name!r} is shared by all tenants, who may only read it: write it without a tenant"
            )

    def _outer(self) -> list[Token]:
        """Return the tokens outside all parentheses."""
        found, depth = [], 0
        for token in self._tokens:
            depth -= token.type is TokenType.CLOSE
            if depth == 0 and token.type not in {TokenType.OPEN, TokenType.CLOSE}:
                found.append(token)
            depth += token.type is TokenType.OPEN
        return found

    def _groups(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the outermost pairs of parentheses behind a place: where each opens, and where it closes."""
        depth = opened = 0
        for token in self._tokens:
            if token.start < start:
                continue
            if token.type is TokenType.OPEN:
                opened = token.start if depth == 0 else opened
                depth += 1
            elif token.type is TokenType.CLOSE:
                depth -= 1
                if depth == 0:
                    yield opened, token.start
        raise NotUnderstoodError("the parentheses of the INSERT are not where they are expected")

    @property
    def _column(self) -> str:
        return quote_part(self._tables.column, self._tables.dialect)


# --- the tree -----------------------------------------------------------------------------------------------------


def _parsed(source: str, dialect: Dialect) -> exp.Expression:
    try:
        found = [tree for tree in sqlglot.parse(source, dialect=_DIALECTS[dialect]) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise NotUnderstoodError("it cannot be parsed") from error
    known = len(found) == 1 and isinstance(found[0], _KNOWN)
    if not known or not isinstance(found[0], exp.Expression):
        raise NotUnderstoodError("only SELECT, INSERT, UPDATE and DELETE are known")
    return found[0]


def _refuse_forms(tree: exp.Expression, tables: TenantTables) -> None:
    if isinstance(tree, exp.Insert) and (tree.args.get("overwrite") or tree.args.get("alternative")):
        raise NotUnderstoodError("REPLACE may delete rows of other tenants")
    changes = list(tree.find_all(exp.Insert, exp.Update, exp.Delete))
    if any(change is not tree for change in changes):
        raise NotUnderstoodError("a change inside another statement is not known")
    if isinstance(tree, exp.Update | exp.Delete):
        _refuse_more_tables(tree)
    if any(True for _ in tree.find_all(*_NEVER)):
        raise NotUnderstoodError("it has a form that is not known")
    for function in tree.find_all(exp.Anonymous):
        if str(function.this).lower() in tables.routines:
            raise NotUnderstoodError(f"the stored function {function.this!s} may read other tenants' rows")
    for assignment in _assignments(tree):
        if _is(assignment, tables.column, tables.dialect):
            raise ConfigError(f"{tables.column!r} says whose a row is, and cannot be changed by a tenant")


def _refuse_more_tables(tree: exp.Expression) -> None:
    target = tree.this
    joined = isinstance(target, exp.Table) and target.args.get("joins")
    if not isinstance(target, exp.Table) or joined or any(tree.args.get(name) for name in ("tables", "using", "from_")):
        raise NotUnderstoodError("a change of one table joined with others is not known: use a sub-query in its WHERE")


def _assignments(tree: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(tree, exp.Update):
        yield from (each.this for each in tree.expressions)
    conflict = tree.args.get("conflict") if isinstance(tree, exp.Insert) else None
    if conflict is not None:
        yield from (each.this for each in conflict.expressions or () if isinstance(each, exp.EQ))


def _target(tree: exp.Expression) -> exp.Table | None:
    """Return the table that a statement changes."""
    if not isinstance(tree, exp.Insert | exp.Update | exp.Delete):
        return None
    found = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(found, exp.Table):
        raise NotUnderstoodError("the table that changes is not known")
    return found


def _locked(tree: exp.Expression, dialect: Dialect) -> exp.Table | None:
    """Return the table whose rows a SELECT locks. MySQL locks nothing in a sub-query that stands in for a table."""
    locking = [each for each in tree.find_all(exp.Select) if each.args.get("locks")]
    if not locking or dialect is Dialect.POSTGRES:
        return None
    source = tree.args.get("from_")
    if locking != [tree] or tree.args.get("joins") or source is None or not isinstance(source.this, exp.Table):
        raise NotUnderstoodError("a locking read is known for one table, without joins and sub-queries of its own")
    found: exp.Table = source.this
    return found


def _references(tree: exp.Expression, tables: TenantTables) -> list[exp.Table]:
    """Return the places where a table is named.

    Raises:
        NotUnderstoodError: one of them is neither a tenant's nor a shared table.
    """
    named = {_folded(cte.args["alias"].this, tables.dialect) for cte in tree.find_all(exp.CTE)}
    if clash := named & (tables.values.keys() | tables.shared):
        raise NotUnderstoodError(f"WITH gives the name of the table {min(clash)!r} to something else")
    found = []
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            if isinstance(table.this, exp.JSONTable | exp.Func) and not isinstance(table.this, exp.Anonymous):
                continue  # rows that are made of values
            raise NotUnderstoodError("it reads from something that is no table")
        name = _folded(table.this, tables.dialect)
        if table.args.get("db"):
            raise NotUnderstoodError(f"{name!r} is named with a schema: leave the schema out")
        if name in named:
            continue
        if extra := [key for key, value in table.args.items() if value and key not in _PLAIN_TABLE]:
            raise NotUnderstoodError(f"table {name!r} is named with {extra[0].upper().rstrip('_')}, which is not known")
        if name not in tables.values and name not in tables.shared:
            raise NotUnderstoodError(
                f"table {name!r} has no column {tables.column!r} and is not shared: if all tenants may read it, name "
                "it in shared=; if it is new, call tenants.refresh()"
            )
        if table.this.meta.get("start") is None:
            raise NotUnderstoodError(f"the place of table {name!r} in the text is not known")
        found.append(table)
    return found


def _place(table: exp.Table) -> tuple[int, int]:
    return table.this.meta["start"], table.this.meta["end"] + 1


def _name(table: exp.Table) -> str:
    return str(table.this.meta["rdskit"])


def _folded(identifier: exp.Identifier, dialect: Dialect) -> str:
    """Return a name as the catalog has it, and keep it with the identifier."""
    name = str(identifier.this)
    if dialect is Dialect.POSTGRES and not identifier.quoted:
        name = name.lower()
    identifier.meta["rdskit"] = name
    return name


def _is(column: exp.Expression, name: str, dialect: Dialect) -> bool:
    """Return whether an expression is the column of a name. Names of columns ignore case on MySQL."""
    found = str(column.name)
    return found.lower() == name.lower() if dialect is Dialect.MYSQL else found == name or found.lower() == name


def _word(token: Token) -> str:
    return token.text.lower() if token.type is TokenType.WORD else ""


def _applied(source: str, edits: Sequence[_Edit]) -> str:
    pieces, position = [], 0
    for edit in edits:
        if edit.start < position:
            raise NotUnderstoodError("its parts lie inside each other in a way that is not known")
        pieces += [source[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, source[position:]])


# --- the proof ----------------------------------------------------------------------------------------------------


def _verify(changed: str, tables: TenantTables) -> None:
    """Look in the parse tree of what is sent whether each table of tenants has the predicate.

    Raises:
        NotUnderstoodError: one has not.
    """
    tree = _parsed(changed, tables.dialect)
    target = _target(tree)
    for table in _references(tree, tables):
        name = _name(table)
        if name in tables.shared:
            continue
        holder = table.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
        if table is target and isinstance(tree, exp.Insert):
            held = any(_is(column, tables.column, tables.dialect) for column in tree.this.expressions)
        else:
            held = holder is not None and _holds(holder, table, tables.values[name], tables)
        if not held:
            raise NotUnderstoodError(f"the predicate for table {name!r} could not be placed")


def _holds(holder: exp.Expression, table: exp.Table, value: str, tables: TenantTables) -> bool:
    where = holder.args.get("where")
    if where is None or holder.args.get("joins"):
        return False
    condition = where.this
    parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
    expected = sqlglot.parse_one(value, dialect=_DIALECTS[tables.dialect])
    return any(
        isinstance(part, exp.EQ)
        and isinstance(part.this, exp.Column)
        and _is(part.this, tables.column, tables.dialect)
        and part.this.table in {"", table.alias_or_name}
        and part.expression == expected
        for part in parts
    )
