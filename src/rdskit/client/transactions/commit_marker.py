"""Define the commit marker: the row that tells whether a COMMIT whose answer was lost took effect.

Just before COMMIT, a transaction inserts a row with a unique number into ``rdskit_txn``. If the answer to COMMIT is
lost, the client inserts a row with the same number. If that succeeds, the transaction can never commit, because its own
row would violate the primary key. If the transaction's row is there, it has committed. If the insert blocks, the
transaction is still running.
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
_LOOK_AGAIN_AFTER: Final = 60.0
"""Seconds after which to look for the table again: another client may have created it."""
# The queries return the table's qualified name, because a closure may change the search path. PostgreSQL's returns the
# table only if the user may write to it.
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
# Undefined table and insufficient privilege, as SQLSTATE of PostgreSQL and as error number of MySQL.
_REFUSED: Final = frozenset({"42P01", "42501", 1146, 1142})


def new_number() -> str:
    """Return a unique number of 32 hex digits that starts with the time, so that an index grows at its end."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


class CommitMarker:
    """The row by which a lost COMMIT is resolved.

    Args:
        table: qualified name of the table for its row.
        marker_table: given if the application has not asked for a marker. If the server then refuses the row, the
            transaction commits without it.

    Attributes:
        table: as given.
    """

    __slots__ = ("_marker_table", "_number", "table")

    def __init__(self, table: str = TABLE, marker_table: MarkerTable | None = None) -> None:
        self.table = table
        self._marker_table = marker_table
        self._number: str | None = None

    @property
    def used(self) -> bool:
        """Whether its row was sent; a transaction that only reads sends none."""
        return self._number is not None

    @property
    def is_implicit(self) -> bool:
        """Whether the application has not asked for it, so that the transaction may commit without it."""
        return self._marker_table is not None

    @property
    def number(self) -> str:
        """Its unique number, created at the first use."""
        if self._number is None:
            self._number = new_number()
        return self._number

    def commit(self, dialect: Dialect) -> tuple[str, ...]:
        """Return the statements that write its row and commit, to be sent one after the other.

        On PostgreSQL both are one simple query, which saves a round trip. The server stops at its first error, so
        without the row there is no commit.
        """
        row = f"insert into {self.table} (id, committed) values ('{self.number}', true)"  # noqa: S608 - both are ours
        return (f"{row}; commit",) if dialect is Dialect.POSTGRES else (row, "commit")

    def permission(self, dialect: Dialect) -> str | None:
        """Return the query whether the transaction's role may write the row; None on MySQL.

        On MySQL a refused INSERT leaves the transaction usable, so the client simply tries.
        """
        return _PERMISSION.format(table=self.table.replace("'", "''")) if dialect is Dialect.POSTGRES else None

    def is_refused_by(self, error: Exception, now: float) -> bool:
        """Return whether this error lets the transaction commit without it.

        If so, later transactions get no marker either, until the next search for the table.
        """
        if self._marker_table is None or not isinstance(error, QueryError):
            return False
        refused = not _REFUSED.isdisjoint({error.sqlstate, error.errno})
        if refused:
            self._marker_table.found(None, now)
        return refused


class MarkerTable:
    """Remembers whether a database has the table ``rdskit_txn``, and under which name.

    Where it has, every transaction that writes gets a marker, unless the application declines.
    """

    def __init__(self) -> None:
        self._table: str | None = None
        self._look_at = -math.inf

    def is_unknown(self, now: float) -> bool:
        """Return whether to look for the table; ``now`` is on the event loop's clock."""
        return self._table is None and now >= self._look_at

    def found(self, table: str | None, now: float) -> None:
        """Record the table's name, or that there is none at ``now``."""
        self._table, self._look_at = table, now + _LOOK_AGAIN_AFTER

    def forget(self) -> None:
        """Look for the table again when it is next needed."""
        self._table, self._look_at = None, -math.inf

    def new(self) -> CommitMarker | None:
        """Return a marker for one transaction; None if no table is known."""
        return None if self._table is None else CommitMarker(self._table, self)


def table_query(dialect: Dialect) -> str:
    """Return the query for the table's name; it gives no row if there is no table."""
    return _WHERE[dialect]
