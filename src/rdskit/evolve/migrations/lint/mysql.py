"""Rules of MySQL and MariaDB. Each returns what is wrong with a statement, or None.

Sources: MySQL 9.7 manual 17.12.1 "Online DDL Operations"; MariaDB "InnoDB Online DDL Operations".
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rdskit.evolve.migrations.lint.case import added_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.evolve.migrations.lint.case import Case


def table_copy(case: Case) -> str | None:
    """Find MODIFY or CHANGE to another type, and what else only a copy can do."""
    for action in case.actions():
        if action.begins("modify") or (action.begins("change") and len(action.words) > 3):  # noqa: PLR2004 - old, new, type
            column = next(word for word in action.words[1:] if word not in {"column", "if", "exists"})
            return (
                f"column {column!r} gets a new definition; unless only its default, name or place changes, that copies"
            )
        if action.begins("order", "by"):
            return "ORDER BY copies the table"
        added = added_column(action)
        if added and ("stored" in added[1] or "persistent" in added[1]):
            return f"stored column {added[0]!r} is computed for every row"
    return None


def convert_charset(case: Case) -> str | None:
    """Find CONVERT TO CHARACTER SET."""
    found = any(action.begins("convert", "to") for action in case.actions())
    return "every text column is converted" if found else None


def foreign_key_copies(case: Case) -> str | None:
    """Find ADD FOREIGN KEY."""
    found = any(action.begins("add") and action.has("foreign", "key") for action in case.actions())
    return "a foreign key is added" if found else None


def unique_over_duplicates(case: Case) -> str | None:
    """Find a unique key on a table with rows."""
    ddl = case.ddl
    if ddl is not None and (ddl.verb, ddl.kind) == ("create", "index") and "unique" in ddl.flags and case.on_old_table:
        return "a unique key is added"
    found = any(action.begins("add") and "unique" in action.words for action in case.actions())
    return "a unique key is added" if found else None


def explicit_lock(case: Case) -> str | None:
    """Find ALGORITHM=COPY, LOCK=SHARED, LOCK=EXCLUSIVE."""
    ddl = case.ddl
    if ddl is None or not case.on_old_table:
        return None
    words = [word for action in ddl.actions for word in action.words if word != "="]
    pairs = set(itertools.pairwise(words))
    found = pairs & {("algorithm", "copy"), ("lock", "shared"), ("lock", "exclusive")}
    return f"{'='.join(min(found)).upper()} is asked for" if found else None


def no_primary_key(case: Case) -> str | None:
    """Find CREATE TABLE without a primary key."""
    ddl = case.ddl
    if ddl is None or (ddl.verb, ddl.kind) != ("create", "table") or "temporary" in ddl.flags:
        return None
    copies = case.has("like") or "select" in case.words or case.has("primary", "key") or case.has("serial")
    return None if copies else f"table {ddl.table!r} has no primary key"


def not_innodb(case: Case) -> str | None:
    """Find ENGINE other than InnoDB."""
    engine = _option(case, ("engine",))
    return f"the engine is {engine}" if engine and engine.lower() not in {"innodb", "'innodb'"} else None


def narrow_charset(case: Case) -> str | None:
    """Find utf8 of three bytes."""
    if case.ddl is None:
        return None
    charset = _option(case, ("charset",)) or _option(case, ("character", "set"))
    return f"the character set is {charset}" if charset and charset.strip("'") in {"utf8", "utf8mb3"} else None


def primary_key_rebuild(case: Case) -> str | None:
    """Find DROP or ADD PRIMARY KEY."""
    found = any(action.has("primary", "key") and action.words[0] in {"add", "drop"} for action in case.actions())
    return "the primary key changes" if found else None


def fulltext_index(case: Case) -> str | None:
    """Find a fulltext or spatial index on a table with rows."""
    ddl = case.ddl
    kinds = {"fulltext", "spatial"}
    if ddl is not None and ddl.kind == "index" and kinds & ddl.flags and case.on_old_table:
        return "the index is built while writes wait"
    found = any(action.words[:1] == ("add",) and kinds & {*action.words[1:2]} for action in case.actions())
    return "the index is built while writes wait" if found else None


def optimize_table(case: Case) -> str | None:
    """Find OPTIMIZE TABLE, or ENGINE=InnoDB on a table that has it."""
    if case.begins("optimize"):
        return "the table is rebuilt"
    found = any(action.begins("engine") or action.begins("force") for action in case.actions())
    return "the table is rebuilt" if found else None


def mixed_commit(case: Case) -> str | None:
    """Find data is written in the same migration in which a table was created or changed before."""
    writes = case.begins("insert") or case.begins("update") or case.begins("delete")
    changed = bool(case.new_tables or case.new_columns)
    return "rows are written behind a schema change that has committed" if writes and changed else None


def _option(case: Case, words: Iterable[str]) -> str | None:
    """Return the value of a table's option: ``ENGINE = x`` or ``ENGINE x``."""
    name = tuple(words)
    if case.ddl is None or case.ddl.kind != "table":
        return None
    for index in range(len(case.words) - len(name)):
        if case.words[index : index + len(name)] == name:
            rest = case.words[index + len(name) :]
            rest = rest[1:] if rest[:1] == ("=",) else rest
            return rest[0] if rest else None
    return None
