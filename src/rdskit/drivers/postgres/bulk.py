"""Insert many rows into PostgreSQL, and fetch large results through portals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg

from rdskit.drivers.postgres.conflicts import insert_batch, insert_staged, types_of_key
from rdskit.drivers.postgres.records import Records, copy, insert_pipelined
from rdskit.drivers.postgres.tables import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rdskit.drivers.postgres.tables import Fetch
    from rdskit.kernel.ports import Batch, Batches, Row
    from rdskit.kernel.sql.insert import Insertion

_FEW: Final = 64
"""Up to this many rows are sent as statements, because starting a COPY takes longer."""


class PortalCursor:
    """Fetch rows in batches from a portal, whose result stays on the server.

    Args:
        cursor: asyncpg's.
        mapping_errors: maps the driver's errors to rdskit's.
        check_rows: raises if a value of the rows could not be read.
    """

    def __init__(
        self,
        cursor: Any,
        mapping_errors: Callable[[str], AbstractContextManager[None]],
        check_rows: Callable[[Sequence[Row]], None],
    ) -> None:
        self._cursor = cursor
        self._mapping_errors = mapping_errors
        self._check_rows = check_rows

    async def fetch(self, count: int, timeout: float | None) -> Sequence[Row]:
        """Return the next rows, at most ``count``."""
        with self._mapping_errors("fetch"):
            rows: Sequence[Row] = await self._cursor.fetch(count, timeout=timeout)
        self._check_rows(rows)
        return rows

    async def close(self, timeout: float | None) -> None:
        """Close the portal on the server."""
        with self._mapping_errors("close"):
            await self._cursor._close_portal(timeout)  # noqa: SLF001 - asyncpg leaves it open until the transaction ends


async def insert_rows(
    raw: asyncpg.Connection, fetch: Fetch, insertion: Insertion, first: Batch, batches: Batches
) -> int:
    """Insert rows by the fastest way that the table allows. Needs an open transaction.

    Args:
        raw: the connection.
        fetch: returns the first row of a query, as ``Connection.fetch_one`` does.
        insertion: the target table, and what to do with rows that exist already.
        first: the first batch of rows.
        batches: the other batches.

    Returns:
        How many rows were inserted or updated.

    Raises:
        SourceError: the source of the rows raised.
        DriverError: a value cannot be sent.
    """
    target = await target_of(raw, fetch, insertion)
    records = Records(raw, target, first, batches)
    if not target.takes_copy:
        return sum([await insert_staged(raw, insertion, batch) async for batch in records.row_batches()])
    if len(first) <= _FEW and target.takes_few:
        return await _insert_few(raw, insertion, records)
    if insertion.on_conflict is not None:
        key = await types_of_key(raw, insertion)
        return sum([await insert_batch(raw, insertion, key, batch) async for batch in records.row_batches()])
    return await _copy(raw, insertion, records)


async def _insert_few(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    done = before = 0
    async for batch in records.batches():
        done += await insert_pipelined(raw, insertion, batch, before)
        before += len(batch)
    return done


async def _copy(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    """Insert rows by COPY; as pipelined statements if asyncpg cannot encode a type for COPY."""
    await raw.execute("savepoint rdskit_bulk")
    try:
        return await copy(raw, insertion, records, insertion.table)
    except asyncpg.InternalClientError:
        if records.taken:
            raise
        # asyncpg cannot write a column's type in COPY's binary format: an enum, or a type of an extension.
        await raw.execute("rollback to savepoint rdskit_bulk")
        return await _insert_few(raw, insertion, records)
