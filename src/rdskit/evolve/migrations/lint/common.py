"""Rules that hold on every product. Each returns what is wrong with a statement, or None."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.evolve.migrations.lint.case import added_column, default_of

if TYPE_CHECKING:
    from rdskit.evolve.migrations.lint.case import Case

_SMALL = frozenset(
    {"int", "integer", "int4", "serial", "serial4", "smallint", "int2", "smallserial", "mediumint", "tinyint"}
)


def required_column(case: Case) -> str | None:
    """Find a column NOT NULL without a default is added to a table that has rows."""
    for action in case.actions():
        column = added_column(action)
        if column is None:
            continue
        name, definition = column
        required = any(definition[index : index + 2] == ("not", "null") for index in range(len(definition)))
        fills = default_of(definition) or {"generated", "auto_increment", "serial", "bigserial", "identity"} & {
            *definition
        }
        if required and not fills:
            return f"column {name!r} is added NOT NULL without a default"
    return None


def locks_table(case: Case) -> str | None:
    """Find statements that lock a table: LOCK TABLE."""
    return "the table is locked as a whole" if case.begins("lock", "table") or case.begins("lock", "tables") else None


def drop_column(case: Case) -> str | None:
    """Find ALTER TABLE … DROP COLUMN."""
    kept = {
        "constraint",
        "index",
        "key",
        "primary",
        "foreign",
        "check",
        "partition",
        "default",
        "expression",
        "identity",
    }
    for action in case.actions():
        if action.begins("drop") and action.words[1:2] and action.words[1] not in kept:
            rest = [word for word in action.words[1:] if word not in {"column", "if", "exists", "cascade", "restrict"}]
            return f"column {rest[0] if rest else ''!r} is dropped"
    return None


def drop_table(case: Case) -> str | None:
    """Find statements that drop tables: DROP TABLE."""
    ddl = case.ddl
    if ddl is None or ddl.verb != "drop" or ddl.kind != "table" or "temporary" in ddl.flags:
        return None
    old = [name for name in ddl.names if name not in case.new_tables]
    return f"table {old[0]!r} is dropped" if old else None


def rename(case: Case) -> str | None:
    """Find a table or column gets another name."""
    ddl = case.ddl
    if ddl is not None and ddl.verb == "rename":
        return "a table is renamed"
    for action in case.actions():
        if action.begins("rename", "index") or action.begins("rename", "key") or action.begins("rename", "constraint"):
            continue
        if action.begins("rename"):
            return (
                "a table is renamed"
                if action.begins("rename", "to") or action.begins("rename", "as")
                else "a column is renamed"
            )
        if action.begins("change"):
            rest = [word for word in action.words[1:] if word not in {"column", "if", "exists"}]
            if len(rest) > 1 and rest[0] != rest[1]:
                return f"column {rest[0]!r} is renamed to {rest[1]!r}"
    return None


def whole_table_write(case: Case) -> str | None:
    """Find UPDATE or DELETE without WHERE."""
    if not (case.begins("update") or case.begins("delete", "from")) or "where" in case.words or "limit" in case.words:
        return None
    verb = case.words[0].upper()
    skipped = {"update", "delete", "from", "only", "low_priority", "ignore", "quick"}
    table = next((word for word in case.words if word not in skipped), "")
    return None if table in case.new_tables else f"{verb} of table {table!r} has no WHERE"


def truncate(case: Case) -> str | None:
    """Find statements that empty tables: TRUNCATE."""
    ddl = case.ddl
    if ddl is None or ddl.verb != "truncate" or not case.on_old_table:
        return None
    return f"table {ddl.table!r} is emptied" + (", and by CASCADE others" if case.has("cascade") else "")


def small_key(case: Case) -> str | None:
    """Find a primary key of four bytes or fewer that the server counts up."""
    ddl = case.ddl
    if ddl is None or (ddl.verb, ddl.kind) != ("create", "table"):
        return None
    for definition in _columns(case.words):
        counted = {"auto_increment", "identity", "serial", "smallserial", "serial4"} & {*definition}
        if counted and len(definition) > 1 and definition[1] in _SMALL:
            return f"key {definition[0]!r} is {definition[1]}"
    return None


def _columns(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the definitions between the outer parentheses of CREATE TABLE."""
    if "(" not in words:
        return []
    found: list[list[str]] = [[]]
    depth = 0
    for word in words[words.index("(") :]:
        depth += (word == "(") - (word == ")")
        if depth == 0:
            break
        if word == "," and depth == 1:
            found.append([])
        elif not (word == "(" and depth == 1 and not found[-1]):
            found[-1].append(word)
    return [tuple(each) for each in found if each]


def drop_schema(case: Case) -> str | None:
    """Find DROP SCHEMA, DROP DATABASE, DROP OWNED."""
    ddl = case.ddl
    if ddl is not None and ddl.verb == "drop" and (ddl.kind in {"schema", "database"} or case.begins("drop", "owned")):
        return f"{' '.join(case.words[1:4])} is dropped with all that is in it"
    return None
