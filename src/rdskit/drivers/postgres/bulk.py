"""Many rows to and from PostgreSQL: inserts, and portals."""

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
"""Rows that are sent as statements; to begin a COPY would take longer than that."""


class PortalCursor:
    """A portal: rows that stay on the server.

    Args:
        cursor: asyncpg's.
        watched: makes the driver's errors ours.
        look: raises if a value of the rows could not be read.
    """

    def __init__(
        self,
        cursor: Any,
        watched: Callable[[str], AbstractContextManager[None]],
        look: Callable[[Sequence[Row]], None],
    ) -> None:
        self._cursor = cursor
        self._watched = watched
        self._look = look

    async def fetch(self, count: int, timeout: float | None) -> Sequence[Row]:
        """The next rows."""
        with self._watched("fetch"):
            rows: Sequence[Row] = await self._cursor.fetch(count, timeout=timeout)
        self._look(rows)
        return rows

    async def close(self, timeout: float | None) -> None:
        """Close the portal."""
        with self._watched("close"):
            await self._cursor._close_portal(timeout)  # noqa: SLF001 - asyncpg leaves it open until the transaction ends


async def insert_rows(
    raw: asyncpg.Connection, fetch: Fetch, insertion: Insertion, first: Batch, portions: Batches
) -> int:
    """Insert rows. Needs an open transaction.

    Args:
        raw: the connection.
        fetch: gives the first row of a query, as ``Connection.fetch_one`` does.
        insertion: where to, and what happens to a row that is there.
        first: the first portion of the rows.
        portions: the others.

    Returns:
        How many rows were inserted or updated.

    Raises:
        SourceError: the portions raised.
        DriverError: a value cannot be sent.
    """
    target = await target_of(raw, fetch, insertion)
    records = Records(raw, target, first, portions)
    if not target.takes_copy:
        return sum([await insert_staged(raw, insertion, batch) async for batch in records.batches()])
    if len(first) <= _FEW and target.takes_few:
        return await _insert_few(raw, insertion, records)
    if insertion.on_conflict is not None:
        key = await types_of_key(raw, insertion)
        return sum([await insert_batch(raw, insertion, key, batch) async for batch in records.batches()])
    return await _copy(raw, insertion, records)


async def _insert_few(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    done = before = 0
    async for portion in records.portions():
        done += await insert_pipelined(raw, insertion, portion, before)
        before += len(portion)
    return done


async def _copy(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    """By COPY, or in another way if a type cannot be copied."""
    await raw.execute("savepoint rdskit_bulk")
    try:
        return await copy(raw, insertion, records, insertion.table)
    except asyncpg.InternalClientError:
        if records.taken:
            raise
        # asyncpg cannot write a column's type in COPY's binary format: an enum, or a type of an extension.
        await raw.execute("rollback to savepoint rdskit_bulk")
        return await _insert_few(raw, insertion, records)
