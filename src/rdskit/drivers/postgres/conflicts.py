"""Insert many rows into PostgreSQL, some of which may exist already.

For each batch the server is asked which rows exist. The others go straight into the table by COPY, which takes a third
of the time of INSERT … ON CONFLICT. COPY may still meet an existing row: it was passed twice, another client stored it
in the meantime, or it conflicts by another unique key. Then COPY is undone, and the whole batch takes the path that is
always right: into a temporary table, and from existing by INSERT … ON CONFLICT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from rdskit.drivers.postgres.records import copy, count, insert_pipelined
from rdskit.kernel.sql.insert import (
    STAGING,
    drop_staging,
    key_types_query,
    keys_there_query,
    merge_staging,
    postgres_values,
    staging_table,
)

if TYPE_CHECKING:
    from rdskit.drivers.postgres.records import RowBatch
    from rdskit.kernel.sql.insert import Insertion

_REFUSED: Final = (
    asyncpg.UniqueViolationError,
    asyncpg.ExclusionViolationError,
    asyncpg.InsufficientPrivilegeError,  # asking which rows exist needs SELECT on the key
    asyncpg.FeatureNotSupportedError,  # COPY into a table with row-level security
    asyncpg.WrongObjectTypeError,  # COPY into a view
    asyncpg.UndefinedFunctionError,  # a type without equality
    asyncpg.DataError,  # a value does not fit its column: the other path names the row
    asyncpg.InternalClientError,  # asyncpg has no binary format for a type
)

KeyTypes = dict[str, str]
"""The type of each column of a key."""


async def types_of_key(raw: asyncpg.Connection, insertion: Insertion) -> KeyTypes | None:
    """Return the columns that identify existing rows, with their types; None if existing are none.

    Where any unique key may conflict, this is the primary key. An existing row with the same key is a conflict only if
    a unique index over the whole table enforces it. A partial index does not, and a deferrable one only at commit.
    """
    if insertion.target:
        return None
    text, arguments = key_types_query(insertion)
    types = dict(await raw.fetch(text, *arguments))
    return types if types and types.keys() <= set(insertion.columns) else None


async def insert_batch(raw: asyncpg.Connection, insertion: Insertion, key: KeyTypes | None, batch: RowBatch) -> int:
    """Insert rows of which some may exist. Needs an open transaction.

    Returns:
        How many rows were inserted or updated.

    Raises:
        DriverError: a value cannot be sent.
    """
    inserted = await _try_copy(raw, insertion, key, batch) if key else None
    return await insert_staged(raw, insertion, batch) if inserted is None else inserted


async def insert_staged(raw: asyncpg.Connection, insertion: Insertion, batch: RowBatch) -> int:
    """Insert rows through a temporary table.

    Returns:
        How many rows were inserted or updated.

    Raises:
        DriverError: a value cannot be sent.
    """
    await raw.execute("savepoint rdskit_staged")
    try:
        await raw.execute(staging_table(insertion))
        await _stage(raw, insertion, batch)
    except asyncpg.InsufficientPrivilegeError:
        # The user may make no temporary table.
        await raw.execute("rollback to savepoint rdskit_staged")
        return await _insert_one_by_one(raw, insertion, batch)
    merged = await _merge(raw, insertion, batch)
    await raw.execute(drop_staging())
    await raw.execute("release savepoint rdskit_staged")
    return merged


async def _stage(raw: asyncpg.Connection, insertion: Insertion, batch: RowBatch) -> None:
    """Copy rows into the temporary table."""
    await raw.execute("savepoint rdskit_copied")
    try:
        await copy(raw, insertion, batch, STAGING)
    except asyncpg.InternalClientError:
        # asyncpg cannot write a column's type in COPY's binary format: one of an extension, or money.
        await raw.execute("rollback to savepoint rdskit_copied")
        await insert_pipelined(raw, insertion.staged, batch.rows, batch.before)


async def _insert_one_by_one(raw: asyncpg.Connection, insertion: Insertion, batch: RowBatch) -> int:
    statement = await raw.prepare(postgres_values(insertion))
    inserted = 0
    for row in batch.rows:
        await statement.fetch(*row)
        inserted += count(statement.get_statusmsg())
    return inserted


async def _try_copy(raw: asyncpg.Connection, insertion: Insertion, key: KeyTypes, batch: RowBatch) -> int | None:
    """COPY the rows that do not exist straight into the table; return None if that was refused and undone."""
    await raw.execute("savepoint rdskit_copied")
    try:
        places = await _existing_places(raw, insertion, key, batch)
        existing, others = batch.split(places)
        inserted = await copy(raw, insertion, others, insertion.table) if others.rows else 0
    except _REFUSED:
        await raw.execute("rollback to savepoint rdskit_copied")
        return None
    if existing.rows and insertion.updated:
        inserted += await insert_staged(raw, insertion, existing)
    await raw.execute("release savepoint rdskit_copied")
    return inserted


async def _existing_places(raw: asyncpg.Connection, insertion: Insertion, key: KeyTypes, batch: RowBatch) -> set[int]:
    """Return the places, from 1, of the rows that exist.

    A type may treat different texts as equal (``citext``). Such a key may be missed here; COPY is refused then.
    """
    columns = [insertion.columns.index(name) for name in key]
    arrays = [[row[column] for row in batch.rows] for column in columns]
    found = set(await raw.fetchval(keys_there_query(insertion.table, key), *arrays) or ())
    return {place for place, value in enumerate(arrays[0], 1) if value in found} if len(key) == 1 else found


async def _merge(raw: asyncpg.Connection, insertion: Insertion, batch: RowBatch) -> int:
    """Move staged rows into the table; the costlier statement runs only if rows conflict among themselves."""
    await raw.execute("savepoint rdskit_merged")
    try:
        return count(await raw.execute(merge_staging(insertion, last_only=False)))
    except asyncpg.CardinalityViolationError:
        await raw.execute("rollback to savepoint rdskit_merged")
        if insertion.target:  # which staged rows are the same row depends on its condition and expressions
            return await insert_pipelined(raw, insertion, batch.rows, batch.before)
        return count(await raw.execute(merge_staging(insertion, last_only=True)))
