"""The fence that tells whether a COMMIT whose answer was lost took effect.

A fenced transaction writes a row with a number of its own as its last act. Whoever has lost the answer writes a row
with the same number: if that succeeds, the transaction can never commit any more, because its own row would be refused.
If the row is there, it has committed. If the server makes us wait, it is still running.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Final

from rdskit.errors import QueryError
from rdskit.kernel.sql import Dialect

FEATURE: Final = "exactly_once=True"
TABLE: Final = "rdskit_txn"
_ASK_AGAIN: Final = 60.0
"""Seconds after which the table is looked for again: somebody may have made it meanwhile."""
#: Both by their whole name, because a closure may change the search path; and only where the user may write a row.
_WHERE: Final = {
    Dialect.POSTGRES: """
        select format('%I.%I', space.nspname, found.relname)
          from pg_class found join pg_namespace space on space.oid = found.relnamespace
         where found.oid = to_regclass('rdskit_txn') and has_table_privilege(found.oid, 'insert')
           and has_table_privilege(found.oid, 'select') and has_table_privilege(found.oid, 'update')
    """,
    Dialect.MYSQL: """
        select concat('`', replace(table_schema, '`', '``'), '`.rdskit_txn')
          from information_schema.tables where table_schema = database() and table_name = 'rdskit_txn'
    """,
}
_PERMISSION: Final = """
    select pg_catalog.has_schema_privilege(space.oid, 'usage') and pg_catalog.has_table_privilege(found.oid, 'insert')
      from pg_catalog.pg_class found join pg_catalog.pg_namespace space on space.oid = found.relnamespace
     where found.relname = 'rdskit_txn' and pg_catalog.format('%I.%I', space.nspname, found.relname) = '{table}'
"""
_REFUSED: Final = frozenset({"42P01", "42501", 1146, 1142})  # no such table any more, or none for this role


def new_number() -> str:
    """Give a number that nobody else has; later ones sort behind earlier ones, so that an index grows at its end."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


class CommitMarker:
    """What a lost COMMIT can be resolved by.

    Args:
        table: where its row goes.
        fences: whose it is, if it is there unasked: the transaction goes on without one that is refused.

    Attributes:
        table: as given.
    """

    __slots__ = ("_fences", "_number", "table")

    def __init__(self, table: str = TABLE, fences: CommitMarkers | None = None) -> None:
        self.table = table
        self._fences = fences
        self._number: str | None = None

    @property
    def used(self) -> bool:
        """Whether its row was sent: a transaction that only reads needs none."""
        return self._number is not None

    @property
    def is_unasked(self) -> bool:
        """Whether the transaction goes on without it where it is refused."""
        return self._fences is not None

    @property
    def number(self) -> str:
        """Its own, made when it is first needed."""
        if self._number is None:
            self._number = new_number()
        return self._number

    def commit(self, dialect: Dialect) -> tuple[str, ...]:
        """The texts that write its row and commit, each sent when the one before was answered.

        On PostgreSQL it is one message: the server stops at the first error in it, so without the row there is no
        commit.
        """
        row = f"insert into {self.table} (id, committed) values ('{self.number}', true)"  # noqa: S608 - both are ours
        return (f"{row}; commit",) if dialect is Dialect.POSTGRES else (row, "commit")

    def permission(self, dialect: Dialect) -> str | None:
        """The question whether the transaction's role may write its row; None where to try costs nothing."""
        return _PERMISSION.format(table=self.table.replace("'", "''")) if dialect is Dialect.POSTGRES else None

    def is_given_up(self, error: Exception, now: float) -> bool:
        """Whether the transaction goes on without it after this error, and those after it too for a while."""
        if self._fences is None or not isinstance(error, QueryError):
            return False
        refused = not _REFUSED.isdisjoint({error.sqlstate, error.errno})
        if refused:
            self._fences.found(None, now)
        return refused


class CommitMarkers:
    """Where a database has the table of fences; it is used unasked where it is there."""

    def __init__(self) -> None:
        self._table: str | None = None
        self._ask_at = -math.inf

    def are_unknown(self, now: float) -> bool:
        """Whether to ask for the table; ``now`` in seconds of the event loop's clock."""
        return self._table is None and now >= self._ask_at

    def found(self, table: str | None, now: float) -> None:
        """Note its name, or that there is none at ``now``."""
        self._table, self._ask_at = table, now + _ASK_AGAIN

    def forget(self) -> None:
        """Ask again when it is next needed."""
        self._table, self._ask_at = None, -math.inf

    def new(self) -> CommitMarker | None:
        """A fence for one transaction; None where the database has no table for it."""
        return None if self._table is None else CommitMarker(self._table, self)


def where_fences_are(dialect: Dialect) -> str:
    """The question for the table's name; no row where it is not there."""
    return _WHERE[dialect]
