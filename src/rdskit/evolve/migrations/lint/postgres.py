"""Rules of PostgreSQL. Each returns what is wrong with a statement, or None.

Sources: PostgreSQL 18 manual, ALTER TABLE ("Notes"), CREATE INDEX, "Explicit Locking".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.evolve.migrations.lint.case import added_column, default_of

if TYPE_CHECKING:
    from rdskit.evolve.migrations.ddl import Action
    from rdskit.evolve.migrations.lint.case import Case

#: Functions whose result is the same for all rows of a statement: no rewrite.
_STABLE: Final = frozenset(
    {"now", "current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "transaction_timestamp"}
    | {
        "statement_timestamp",
        "current_user",
        "session_user",
        "current_setting",
        "to_date",
        "to_timestamp",
        "lower",
        "upper",
    }
    | {"make_interval", "jsonb_build_object", "json_build_object", "jsonb_build_array", "array", "cast", "interval"}
    | {"current_schema", "coalesce", "timezone", "date_trunc", "concat", "numeric", "varchar", "char"}
)
_VALIDATED: Final = {"references": "foreign key", "check": "check"}
_TYPES_THAT_COUNT: Final = frozenset({"serial", "bigserial", "smallserial", "serial4", "serial8"})


def index_not_concurrent(case: Case) -> str | None:
    """Find CREATE INDEX without CONCURRENTLY."""
    ddl = case.ddl
    if (
        ddl is None
        or (ddl.verb, ddl.kind) != ("create", "index")
        or "concurrently" in ddl.flags
        or not case.on_old_table
    ):
        return None
    return f"the index on {ddl.table!r} is built while writes wait"


def drop_index_not_concurrent(case: Case) -> str | None:
    """Find DROP INDEX without CONCURRENTLY."""
    ddl = case.ddl
    if ddl is None or (ddl.verb, ddl.kind) != ("drop", "index") or "concurrently" in ddl.flags:
        return None
    return f"index {ddl.names[0] if ddl.names else ''!r} is dropped while reads and writes of its table wait"


def concurrently_in_transaction(case: Case) -> str | None:
    """Find CONCURRENTLY in a script that runs in a transaction."""
    concurrent = case.ddl is not None and ("concurrently" in case.ddl.flags or case.has("concurrently"))
    refreshes = case.begins("refresh")  # the one form that a transaction may hold
    return "the script runs in a transaction" if concurrent and case.transactional and not refreshes else None


def column_rewrites_table(case: Case) -> str | None:
    """Find a column whose values differ from row to row is added."""
    for action in case.actions():
        column = added_column(action)
        if column is None:
            continue
        name, definition = column
        if definition[:1] and definition[0] in _TYPES_THAT_COUNT:
            return f"column {name!r} is a {definition[0]}: every row gets a number"
        if "generated" in definition and ("stored" in definition or "identity" in definition):
            return f"column {name!r} is computed for every row"
        called = _volatile(default_of(definition))
        if called:
            return f"column {name!r} has the default {called}(), which is called for every row"
    return None


def _volatile(default: tuple[str, ...]) -> str | None:
    for index, word in enumerate(default[:-1]):
        if (
            default[index + 1] == "("
            and (word.isidentifier() or "." in word)
            and word.rpartition(".")[2] not in _STABLE
        ):
            return word
    return None


def set_not_null(case: Case) -> str | None:
    """Find ALTER COLUMN … SET NOT NULL without a check that was validated."""
    for action in case.actions():
        # A check that is dropped in the same statement is the mark of the safe way.
        drops_check = any(each.begins("drop", "constraint") for each in case.actions())
        if action.begins("alter") and action.has("set", "not", "null") and not drops_check:
            return f"column {_column(action)!r} is made NOT NULL by reading the whole table"
    return None


def change_type(case: Case) -> str | None:
    """Find ALTER COLUMN … TYPE, but for the changes that rewrite nothing."""
    for action in case.actions():
        if not action.begins("alter") or "type" not in action.words or action.has("drop", "type"):
            continue
        new = action.words[action.words.index("type") + 1 :]
        if new[:1] == ("text",) and "using" not in new:
            continue  # from varchar, the usual case, nothing is rewritten
        return f"the type of column {_column(action)!r} changes"
    return None


def constraint_validates(case: Case) -> str | None:
    """Find ADD FOREIGN KEY or CHECK without NOT VALID."""
    for action in case.actions():
        column = added_column(action)
        if column is not None:
            kind = next((name for word, name in _VALIDATED.items() if word in column[1]), None)
            if kind:
                return f"column {column[0]!r} is added with a {kind}, which is validated at once"
            continue
        if not action.begins("add") or action.has("not", "valid"):
            continue
        if action.has("foreign", "key"):
            return "the foreign key is validated at once"
        if "check" in action.words and not action.has("using", "index"):
            return "the check is validated at once"
    return None


def constraint_builds_index(case: Case) -> str | None:
    """Find ADD UNIQUE, PRIMARY KEY or EXCLUDE without an index that is there."""
    for action in case.actions():
        if not action.begins("add") or action.has("using", "index"):
            continue
        column = added_column(action)
        words = column[1] if column else action.words
        kind = next((word for word in words if word in {"unique", "primary", "exclude"}), None)
        if kind:
            return f"the index of the {'primary key' if kind == 'primary' else kind} constraint is built under its lock"
    return None


def maintenance_locks(case: Case) -> str | None:
    """Find VACUUM FULL, CLUSTER, REINDEX, REFRESH without CONCURRENTLY."""
    if case.begins("vacuum") and "full" in case.words[1:4]:
        return "VACUUM FULL rewrites the table"
    if case.begins("cluster"):
        return "CLUSTER rewrites the table"
    for verb in ("reindex", "refresh"):
        if case.begins(verb) and "concurrently" not in case.words:
            return f"{verb.upper()} runs without CONCURRENTLY"
    return None


def enum_value_in_transaction(case: Case) -> str | None:
    """Find ALTER TYPE … ADD VALUE in a transaction."""
    adds = case.begins("alter", "type") and case.has("add", "value")
    return "the value is added in a transaction that may use it" if adds and case.transactional else None


def domain_constraint(case: Case) -> str | None:
    """Find ALTER DOMAIN … ADD CONSTRAINT."""
    adds = case.begins("alter", "domain") and "add" in case.words and not case.has("not", "valid")
    return "the constraint is checked in every table that uses the domain" if adds else None


def _column(action: Action) -> str:
    rest = [word for word in action.words[1:] if word != "column"]
    return rest[0] if rest else ""
