"""Many rows to and from PostgreSQL: COPY, pipelined statements, and portals."""

from __future__ import annotations

import asyncio
import itertools
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import (
    STAGING,
    cut,
    drop_staging,
    join_staging,
    merge_staging,
    postgres_values,
    primary_key_query,
    staging_table,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rdskit.kernel.ports import Portion, Portions, Row
    from rdskit.kernel.sql.insert import Insertion

_FEW: Final = 64
"""Rows that are sent as statements; to begin a COPY would take longer than that."""

# asyncpg sends up to four buffers of 32 KiB in one go. Beyond that it waits with its statements half sent, and a
# cancellation in that moment is lost: the call would wait for ever. So one pipeline is never larger than this.
_PIPELINE_BYTES: Final = 64 * 1024
_PIPELINE_SETS: Final = 1000

_BEFORE: Final = "rdskit_bulk"
"""The savepoint before what may be refused, and is then done in another way."""

_MERGES: Final = 15
"""The first version of PostgreSQL that has MERGE."""

_TWICE: Final = (asyncpg.CardinalityViolationError,)
"""A row is to be updated a second time by the same statement."""

_NOT_JOINED: Final = (
    *_TWICE,
    asyncpg.UniqueViolationError,
    asyncpg.ExclusionViolationError,
    asyncpg.InsufficientPrivilegeError,  # to join takes the right to read the table
    asyncpg.FeatureNotSupportedError,  # a table with rules, or one that is foreign
    asyncpg.WrongObjectTypeError,
)

_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class SourceError(Exception):
    """What the source of the rows raised, which is not the server's or the driver's doing.

    Attributes:
        error: it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Records:
    """The rows of an insert, as they are taken."""

    def __init__(self, raw: asyncpg.Connection, first: Portion, portions: Portions) -> None:
        self._raw = raw
        self._portion: Portion | None = first
        self._portions = portions
        self._at_hand = portions.at_hand()
        self._begun = 0
        self._rest: Iterator[Sequence[Any]] = iter(())

    @property
    def taken(self) -> int:
        """How many were taken; while one is encoded, its number."""
        return self._begun - operator.length_hint(self._rest)

    def for_copy(self) -> Iterator[Sequence[Any]] | AsyncIterator[Sequence[Any]]:
        """The rows, one by one; where the source does not wait, by a plain iterator, which is much faster."""
        return self._awaited() if self._at_hand is None else itertools.chain.from_iterable(self._iterators())

    async def portions(self) -> AsyncIterator[Portion]:
        """The rows in the portions that they come in."""
        while self._portion is not None:
            yield self._portion
            try:
                self._portion = await anext(self._portions, None)
            except Exception as error:
                raise SourceError(error) from error

    async def _awaited(self) -> AsyncIterator[Sequence[Any]]:
        async for portion in self.portions():
            for record in self._begin(portion):
                yield record
            # asyncpg waits only when the socket is full: other tasks get their turn here.
            await asyncio.sleep(0)

    def _iterators(self) -> Iterator[Iterator[Sequence[Any]]]:
        while self._portion is not None:
            yield self._begin(self._portion)
            self._portion = self._next()
            give_turn(self._raw)

    def _begin(self, portion: Portion) -> Iterator[Sequence[Any]]:
        self._begun += len(portion)
        self._rest = iter(portion)
        return self._rest

    def _next(self) -> Portion | None:
        assert self._at_hand is not None
        try:
            return next(self._at_hand, None)
        except Exception as error:
            raise SourceError(error) from error


def give_turn(raw: asyncpg.Connection) -> None:
    """Let asyncpg wait before it writes on, for one turn of the event loop: other tasks run, and deadlines fire.

    In a COPY it waits only for a socket that is full. So it is told that it were, until the loop comes round.
    """
    protocol, transport = raw._protocol, raw._transport  # noqa: SLF001 - both callbacks are asyncio's own
    protocol.pause_writing()
    asyncio.get_running_loop().call_soon(_write_on, protocol, transport)


def _write_on(protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
    _, high = transport.get_write_buffer_limits()
    if transport.get_write_buffer_size() <= high:  # else it is full indeed, and the transport says when it is not
        protocol.resume_writing()


class PortalCursor:
    """A portal: rows that stay on the server."""

    def __init__(self, cursor: Any, watched: Callable[[str], AbstractContextManager[None]]) -> None:
        self._cursor = cursor
        self._watched = watched

    async def fetch(self, count: int, timeout: float | None) -> Sequence[Row]:
        """The next rows."""
        with self._watched("fetch"):
            rows: Sequence[Row] = await self._cursor.fetch(count, timeout=timeout)
            return rows

    async def close(self, timeout: float | None) -> None:
        """Close the portal."""
        with self._watched("close"):
            await self._cursor._close_portal(timeout)  # noqa: SLF001 - asyncpg leaves it open until the transaction ends


async def insert_rows(raw: asyncpg.Connection, insertion: Insertion, first: Portion, portions: Portions) -> int:
    """Insert rows. Needs an open transaction.

    Args:
        raw: the connection.
        insertion: where to, and what happens to a row that is there.
        first: the first portion of the rows.
        portions: the others.

    Returns:
        How many rows were inserted or updated.

    Raises:
        SourceError: the portions raised.
        DriverError: a value cannot be sent.
    """
    records = Records(raw, first, portions)
    if len(first) <= _FEW:
        return await _insert_pipelined(raw, insertion, records)
    await raw.execute(f"savepoint {_BEFORE}")
    try:
        return await _insert_copied(raw, insertion, records)
    except asyncpg.InternalClientError:
        if records.taken:
            raise
        # asyncpg cannot write a column's type in COPY's binary format: an enum, or a type of an extension.
        await raw.execute(f"rollback to savepoint {_BEFORE}")
        return await _insert_pipelined(raw, insertion, records)


async def execute_pipelined(raw: asyncpg.Connection, text: str, sets: Portion) -> int:
    """Run a statement for each parameter set and give the number of rows that it returned in all."""
    statement = await raw.prepare(text)  # not one of those kept: in a transaction it could not be prepared again
    return sum([len(await statement.fetchmany(pipeline)) for pipeline in cut(sets, _PIPELINE_SETS, _PIPELINE_BYTES)])


async def _insert_copied(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    """By COPY; with a conflict clause through a temporary table."""
    if insertion.on_conflict is None:
        return await _copy(raw, insertion, records, insertion.table)
    await raw.execute(staging_table(insertion))
    await _copy(raw, insertion, records, STAGING)
    merged = await _merge(raw, insertion)
    await raw.execute(drop_staging())
    return merged


async def _insert_pipelined(raw: asyncpg.Connection, insertion: Insertion, records: Records) -> int:
    text = f"{postgres_values(insertion)} returning 1"
    return sum([await execute_pipelined(raw, text, portion) async for portion in records.portions()])


async def _copy(raw: asyncpg.Connection, insertion: Insertion, records: Records, table: str) -> int:
    schema, _, name = table.rpartition(".")
    try:
        tag = await raw.copy_records_to_table(
            name, schema_name=schema or None, columns=insertion.columns, records=records.for_copy()
        )
    except (SourceError, *_ASYNCPG_ERRORS):
        raise
    except Exception as error:
        message = (
            f"row {records.taken} for table {insertion.table!r} cannot be sent: {error}; "
            "give values of the columns' types"
        )
        raise DriverError(Failure.REFUSED, StatementError(message)) from error
    return _count(tag)


async def _merge(raw: asyncpg.Connection, insertion: Insertion) -> int:
    """Bring staged rows over: by the fastest statement first, and by a slower one if that meets what it cannot do."""
    key = await _joining_key(raw, insertion)
    if key and (merged := await _attempt(raw, join_staging(replace(insertion, key=key)), _NOT_JOINED)) is not None:
        return merged
    if (merged := await _attempt(raw, merge_staging(insertion, last_only=False), _TWICE)) is not None:
        return merged
    return _count(await raw.execute(merge_staging(insertion, last_only=True)))


async def _joining_key(raw: asyncpg.Connection, insertion: Insertion) -> tuple[str, ...]:
    """The columns by which staged rows can be joined with the table's, if they can."""
    if raw.get_server_version().major < _MERGES:
        return ()
    if insertion.key:
        return insertion.key
    text, arguments = primary_key_query(Dialect.POSTGRES, insertion.table)
    names = tuple(name for (name,) in await raw.fetch(text, *arguments))
    return names if set(names) <= set(insertion.columns) else ()


async def _attempt(raw: asyncpg.Connection, text: str, refusals: tuple[type[asyncpg.PostgresError], ...]) -> int | None:
    """Run a statement that may be refused for these reasons; None says that it was, and that nothing happened."""
    await raw.execute(f"savepoint {_BEFORE}")
    try:
        return _count(await raw.execute(text))
    except refusals:
        await raw.execute(f"rollback to savepoint {_BEFORE}")
        return None


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
