"""Rows on their way into PostgreSQL: by COPY, or by pipelined statements."""

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
from rdskit.kernel.sql.insert import PORTION, cut, name_parts, postgres_values
from rdskit.kernel.sql.model import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from rdskit.drivers.postgres.tables import Target
    from rdskit.kernel.ports import Batch, Batches
    from rdskit.kernel.sql.insert import Insertion

_BATCH: Final = 32 * PORTION
"""Rows that are held in memory together, where it must be known first which of them are there."""

# asyncpg sends up to four buffers of 32 KiB in one go. Beyond that it waits with its statements half sent, and a
# cancellation in that moment is lost: the call would wait for ever. So one pipeline is never larger than this.
_PIPELINE_BYTES: Final = 64 * 1024
_PIPELINE_SETS: Final = 1000


class SourceError(Exception):
    """What the source of the rows raised, which is not the server's or the driver's doing.

    Attributes:
        error: it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Copied(Protocol):
    """Rows that COPY can take."""

    @property
    def taken(self) -> int:
        """How many were taken; while one is encoded, its number."""
        ...

    def for_copy(self) -> Iterator[Sequence[Any]] | AsyncIterator[Sequence[Any]]:
        """The rows, one by one."""
        ...


class Records:
    """The rows of an insert, as they are taken.

    Args:
        raw: the connection.
        target: what the columns take.
        first: the first portion.
        portions: the others.
    """

    def __init__(self, raw: asyncpg.Connection, target: Target, first: Batch, portions: Batches) -> None:
        self._raw = raw
        self._target = target
        self._portion: Batch | None = first
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

    async def portions(self) -> AsyncIterator[Batch]:
        """The rows in the portions that they come in."""
        while self._portion is not None:
            yield self._begin(self._portion)
            try:
                self._portion = await anext(self._portions, None)
            except Exception as error:
                raise SourceError(error) from error

    async def batches(self) -> AsyncIterator[RowBatch]:
        """The rows in batches, each of which can be sent more than once."""
        rows: list[Sequence[Any]] = []
        async for portion in self.portions():
            rows += portion
            if len(rows) >= _BATCH:
                yield self._batch(rows)
                rows = []
        if rows:
            yield self._batch(rows)

    def _batch(self, rows: list[Sequence[Any]]) -> RowBatch:
        return RowBatch(self._raw, rows, range(self._begun - len(rows) + 1, self._begun + 1))

    async def _awaited(self) -> AsyncIterator[Sequence[Any]]:
        async for portion in self.portions():
            self._rest = iter(portion)
            for record in self._rest:
                yield record
            # asyncpg waits only when the socket is full: other tasks get their turn here.
            await asyncio.sleep(0)

    def _iterators(self) -> Iterator[Iterator[Sequence[Any]]]:
        while self._portion is not None:
            self._rest = iter(self._begin(self._portion))
            yield self._rest
            self._portion = self._next()
            give_turn(self._raw)

    def _begin(self, portion: Batch) -> Batch:
        converted = self._target.converted(portion, self._begun)
        self._begun += len(portion)
        return converted

    def _next(self) -> Batch | None:
        assert self._at_hand is not None
        try:
            return next(self._at_hand, None)
        except Exception as error:
            raise SourceError(error) from error


class RowBatch:
    """Some of the rows of an insert, all of them at hand.

    Attributes:
        rows: they.
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
        """The rows, one by one."""
        self._begun = 0
        return itertools.chain.from_iterable(self._iterators())

    def split(self, places: set[int]) -> tuple[RowBatch, RowBatch]:
        """The rows at these places, which count from 1 in this batch, and the others."""
        chosen = [place in places for place in range(1, len(self.rows) + 1)]
        return self._part(chosen), self._part([not each for each in chosen])

    def _part(self, chosen: Sequence[bool]) -> RowBatch:
        numbers = list(itertools.compress(self._numbers, chosen))
        return RowBatch(self._raw, list(itertools.compress(self.rows, chosen)), numbers)

    def _iterators(self) -> Iterator[Iterator[Sequence[Any]]]:
        for start in range(0, len(self.rows), PORTION):
            portion = self.rows[start : start + PORTION]
            self._begun += len(portion)
            self._rest = iter(portion)
            yield self._rest
            give_turn(self._raw)


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


async def copy(raw: asyncpg.Connection, insertion: Insertion, records: Copied, table: str) -> int:
    """Send rows by COPY and give their number.

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
    """Say that a row cannot be sent as it is."""
    message = f"row {number} for table {insertion.table!r} cannot be sent: {reason}; give values of the columns' types"
    return DriverError(Failure.REFUSED, StatementError(message))


async def execute_pipelined(raw: asyncpg.Connection, text: str, sets: Batch) -> int:
    """Run a statement for each parameter set and give the number of rows that it returned in all."""
    kept = await prepared(raw, text, None)  # not one of those kept: in a transaction it could not be prepared again
    if kept.parameters is not None:
        sets = list(map(kept.parameters.converted, sets))
    fetch = kept.statement.fetchmany
    return sum([len(await fetch(pipeline)) for pipeline in cut(sets, _PIPELINE_SETS, _PIPELINE_BYTES)])


async def insert_pipelined(raw: asyncpg.Connection, insertion: Insertion, rows: Batch, before: int) -> int:
    """Send each row as a statement and give the number of those that were inserted or updated.

    Args:
        raw: the connection.
        insertion: where to.
        rows: the rows, converted.
        before: how many rows came before these.

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
    """The number of rows in a command's tag."""
    return int(tag.rpartition(" ")[2])
