"""Which lock a statement takes on PostgreSQL, and what waits behind it.

Source: PostgreSQL 18 manual, "Explicit Locking" and the "Notes" of ALTER TABLE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rdskit.evolve.migrations.ddl import Action, Ddl

ACCESS_EXCLUSIVE: Final = "ACCESS EXCLUSIVE"
SHARE_ROW_EXCLUSIVE: Final = "SHARE ROW EXCLUSIVE"
SHARE: Final = "SHARE"
SHARE_UPDATE_EXCLUSIVE: Final = "SHARE UPDATE EXCLUSIVE"

#: From the strongest to the weakest.
STRENGTH: Final = (ACCESS_EXCLUSIVE, SHARE_ROW_EXCLUSIVE, SHARE, SHARE_UPDATE_EXCLUSIVE, "")

BLOCKS: Final = {
    ACCESS_EXCLUSIVE: "reads and writes",
    SHARE_ROW_EXCLUSIVE: "writes",
    SHARE: "writes",
    SHARE_UPDATE_EXCLUSIVE: "nothing but other schema changes and VACUUM",
    "": "nothing",
}
_WEAK_ACTIONS: Final = (
    ("validate", "constraint"),
    ("attach", "partition"),
    ("cluster", "on"),
    ("set", "without", "cluster"),
    ("set", "("),
    ("reset", "("),
)


def postgres_lock(ddl: Ddl | None) -> str:
    """Return the strongest lock that a statement takes on its table; empty for none, and for new tables.

    Args:
        ddl: as read; None for a statement that is no DDL, which locks rows only.
    """
    if ddl is None or ddl.table is None:
        return ""
    if ddl.is_table_change:
        return min((_of_action(action) for action in ddl.actions), key=STRENGTH.index, default=ACCESS_EXCLUSIVE)
    if ddl.kind == "index" and "concurrently" in ddl.flags:
        return SHARE_UPDATE_EXCLUSIVE
    return _OTHERS.get((ddl.verb, ddl.kind), "" if ddl.verb == "create" else ACCESS_EXCLUSIVE)


_OTHERS: Final = {
    ("create", "index"): SHARE,
    ("reindex", "index"): SHARE,
    ("create", "trigger"): SHARE_ROW_EXCLUSIVE,
    ("create", "policy"): ACCESS_EXCLUSIVE,
    ("comment", "table"): SHARE_UPDATE_EXCLUSIVE,
}


def _of_action(action: Action) -> str:
    if any(action.begins(*words) for words in _WEAK_ACTIONS):
        return SHARE_UPDATE_EXCLUSIVE
    if action.begins("alter") and (action.has("set", "statistics") or action.has("set", "n_distinct")):
        return SHARE_UPDATE_EXCLUSIVE
    if action.begins("detach", "partition") and action.has("concurrently"):
        return SHARE_UPDATE_EXCLUSIVE
    if (
        action.begins("add")
        and (action.has("foreign", "key") or action.has("references"))
        and not action.begins("add", "column")
    ):
        return SHARE_ROW_EXCLUSIVE
    if action.words[:2] in {("enable", "trigger"), ("disable", "trigger")}:
        return SHARE_ROW_EXCLUSIVE
    return ACCESS_EXCLUSIVE
