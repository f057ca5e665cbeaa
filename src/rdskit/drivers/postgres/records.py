"""Send rows to PostgreSQL by COPY or by pipelined statements."""

from __future__ import annotations

import asyncio
import itertools
import operator
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg

from rdskit.drivers.postgres.failures import ERRORS, unsuitable_element
from rdskit.drivers.postgres.statements import prepared
from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql.insert import BATCH_ROWS, cut, name_parts, postgres_values
from rdskit.kernel.sql.model import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from rdskit.drivers.postgres.tables import Target
    from rdskit.kernel.ports import Batch, Batches
    from rdskit.kernel.sql.insert import Insertion

_ROWS_IN_MEMORY: Final = 32 * BATCH_ROWS
"""Rows that are held in memory together, where the existing ones among them must be found first."""

# asyncpg sends up to four buffers of 32 KiB at once. Beyond that it awaits the socket with its statements half sent.
# A cancellation at that await point is lost, and the call never ends. So one pipeline is never larger than this.
_PIPELINE_BYTES: Final = 64 * 1024
_PIPELINE_SETS: Final = 1000


class SourceError(Exception):
    """The source of the rows raised, not the server or the driver.

    Attributes:
        error: the source's exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Copied(Protocol):
    """A source of rows for COPY."""

    @property
    def taken(self) -> int:
        """How many rows were taken; while a row is encoded, its number."""
        ...

    def for_copy(self) -> Iterator[Sequence[Any]] | AsyncIterator[Sequence[Any]]:
        """Yield the rows one by one."""
        ...


class Records:
    """Iterate over the rows of an insert and count them.

    Args:
        raw: the connection.
        target: converts values for the table's columns.
        first: the first batch.
        batches: the other batches.
    """

    def __init__(self, raw: asyncpg.Connection, target: Target, first: Batch, batches: Batches) -> None:
        self._raw = raw
        self._target = target
        self._current: Batch | None = first
        self._batches = batches
        self._at_hand = batches.at_hand()
        self._begun = 0
        self._rest: Iterator[Sequence[Any]] = iter(())

    @property
    def taken(self) -> int:
        """How many rows were taken; while a row is encoded, its number."""
        return self._begun - operator.length_hint(self._rest)

    def for_copy(self) -> Iterator[Sequence[Any]] | AsyncIterator[Sequence[Any]]:
        """Return an iterator over the rows.

        It is a plain iterator where the source does not wait: asyncpg's loop over one is much faster than over an async
        one.
        """
        return self._rows_with_turns() if self._at_hand is None else itertools.chain.from_iterable(self._iterators())

    async def batches(self) -> AsyncIterator[Batch]:
        """Yield the rows in the batches that the source yields."""
        while self._current is not None:
            yield self._begin(self._current)
            try:
                self._current = await anext(self._batches, None)
            except Exception as error:
                raise SourceError(error) from error

    async def row_batches(self) -> AsyncIterator[RowBatch]:
        """Yield the rows in larger batches, each of which can be sent more than once."""
        rows: list[Sequence[Any]] = []
        async for batch in self.batches():
            rows += batch
            if len(rows) >= _ROWS_IN_MEMORY:
                yield self._batch(rows)
                rows = []
        if rows:
            yield self._batch(rows)

    def _batch(self, rows: list[Sequence[Any]]) -> RowBatch:
        return RowBatch(self._raw, rows, range(self._begun - len(rows) + 1, self._begun + 1))

    async def _rows_with_turns(self) -> AsyncIterator[Sequence[Any]]:
        async for batch in self.batches():
            self._rest = iter(batch)
            for record in self._rest:
                yield record
            # asyncpg awaits only a full socket. Without this, one COPY would block all other tasks.
            await asyncio.sleep(0)

    def _iterators(self) -> Iterator[Iterator[Sequence[Any]]]:
        while self._current is not None:
            self._rest = iter(self._begin(self._current))
            yield self._rest
            self._current = self._next()
            yield_to_loop(self._raw)

    def _begin(self, batch: Batch) -> Batch:
        converted = self._target.converted(batch, self._begun)
        self._begun += len(batch)
        return converted

    def _next(self) -> Batch | None:
        assert self._at_hand is not None
        try:
            return next(self._at_hand, None)
        except Exception as error:
            raise SourceError(error) from error


class RowBatch:
    """A part of an insert's rows, all of them in memory.

    Attributes:
        rows: the rows.
    """

    def __init__(self, raw: asyncpg.Connection, rows: Sequence[Sequence[Any]], numbers: Sequence[int]) -> None:
        self.rows = rows
        self._raw = raw
        self._numbers = numbers
        self._begun = 0
        self._rest: Iterator[Sequence[Any]] = iter(())

    @property
    def taken(self) -> int:
        """The number, in the whole insert, of the row that was taken last."""
        return self._numbers[max(0, self._begun - operator.length_hint(self._rest) - 1)]

    @property
    def before(self) -> int:
        """How many rows of the insert came before the first of these."""
        return self._numbers[0] - 1 if self._numbers else 0

    def for_copy(self) -> Iterator[Sequence[Any]]:
        """Yield the rows one by one."""
        self._begun = 0
        return itertools.chain.from_iterable(self._iterators())

    def split(self, places: set[int]) -> tuple[RowBatch, RowBatch]:
        """Return the rows at these places, which count from 1 in this batch, and the other rows."""
        chosen = [place in places for place in range(1, len(self.rows) + 1)]
        return self._part(chosen), self._part([not each for each in chosen])

    def _part(self, chosen: Sequence[bool]) -> RowBatch:
        numbers = list(itertools.compress(self._numbers, chosen))
        return RowBatch(self._raw, list(itertools.compress(self.rows, chosen)), numbers)

    def _iterators(self) -> Iterator[Iterator[Sequence[Any]]]:
        for start in range(0, len(self.rows), BATCH_ROWS):
            batch = self.rows[start : start + BATCH_ROWS]
            self._begun += len(batch)
            self._rest = iter(batch)
            yield self._rest
            yield_to_loop(self._raw)


def yield_to_loop(raw: asyncpg.Connection) -> None:
    """Make asyncpg await one turn of the event loop before it writes more, so that other tasks run and deadlines fire.

    In a COPY asyncpg awaits only a full socket. So this reports a full socket, until the loop comes round.
    """
    protocol, transport = raw._protocol, raw._transport  # noqa: SLF001 - both callbacks are asyncio's own
    protocol.pause_writing()
    asyncio.get_running_loop().call_soon(_resume_writing, protocol, transport)


def _resume_writing(protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
    _, high = transport.get_write_buffer_limits()
    if transport.get_write_buffer_size() <= high:  # else it is full indeed, and the transport says when it is not
        protocol.resume_writing()


async def copy(raw: asyncpg.Connection, insertion: Insertion, records: Copied, table: str) -> int:
    """Send rows by COPY and return their number.

    Raises:
        SourceError: the source of the rows raised.
        DriverError: a value cannot be sent.
    """
    *schema, name = name_parts(table, Dialect.POSTGRES)
    try:
        tag = await raw.copy_records_to_table(
            name, schema_name=schema[-1] if schema else None, columns=insertion.columns, records=records.for_copy()
        )
    except (SourceError, DriverError, *ERRORS):
        raise
    except Exception as error:
        raise unfit(insertion, records.taken, error) from error
    return count(tag)


def unfit(insertion: Insertion, number: int, reason: object) -> DriverError:
    """Return the error for a row whose value cannot be sent unchanged."""
    message = f"row {number} for table {insertion.table!r} cannot be sent: {reason}; give values of the columns' types"
    return DriverError(Failure.REFUSED, StatementError(message))


async def execute_pipelined(raw: asyncpg.Connection, text: str, sets: Batch) -> int:
    """Run a statement for each parameter set and return the number of rows that it returned in all."""
    kept = await prepared(raw, text, None)  # not a kept one: inside a transaction it could not be prepared again
    if kept.parameters is not None:
        sets = list(map(kept.parameters.converted, sets))
    fetch = kept.statement.fetchmany
    return sum([len(await fetch(pipeline)) for pipeline in cut(sets, _PIPELINE_SETS, _PIPELINE_BYTES)])


async def insert_pipelined(raw: asyncpg.Connection, insertion: Insertion, rows: Batch, before: int) -> int:
    """Send each row as a statement and return how many were inserted or updated.

    Args:
        raw: the connection.
        insertion: the target table.
        rows: the rows, converted.
        before: how many rows of the insert came before these.

    Raises:
        DriverError: a value cannot be sent.
    """
    statement = await raw.prepare(f"{postgres_values(insertion)} returning 1")
    done = 0
    for pipeline in cut(rows, _PIPELINE_SETS, _PIPELINE_BYTES):
        try:
            done += len(await statement.fetchmany(pipeline))
        except (asyncpg.DataError, asyncpg.InterfaceError) as error:
            if (wrong := unsuitable_element(error)) is None:
                raise
            raise unfit(insertion, before + wrong.number, wrong.reason) from error
        before += len(pipeline)
    return done


def count(tag: str) -> int:
    """Return the number of rows in a command tag."""
    return int(tag.rpartition(" ")[2])
