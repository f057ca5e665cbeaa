"""Read many rows from any source in batches, each with a timeout of its own."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdskit.errors import ConfigError
from rdskit.kernel.ports import Row
from rdskit.kernel.sql.insert import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.pool import Lease
    from rdskit.kernel.ports import Batch

Source = Iterable[Mapping[str, Any]] | Iterable[Row] | AsyncIterable[Mapping[str, Any]] | AsyncIterable[Row]


class Pace:
    """Moves the deadline of a bulk call: the server gets ``timeout`` for each batch.

    While the caller's own source produces rows, only the deadline of the whole call applies.

    Args:
        lease: the connection.
        due: deadline of the whole call, on the loop's clock; infinite for no limit.
        timeout: seconds for each batch; None for no limit.
    """

    def __init__(self, lease: Lease, due: float, timeout: float | None) -> None:
        self.due = due
        self._lease = lease
        self._watchdog = lease.pool.watchdog
        # Infinity instead of None: `min` in `server_works` then needs no case for "no limit".
        self._timeout = math.inf if timeout is None else timeout
        self._loop = asyncio.get_running_loop()

    def source_works(self) -> None:
        """Set the deadline before reading from the caller's source."""
        self._watchdog.extend(self._lease, self.due)

    def server_works(self) -> None:
        """Set the deadline before sending a batch, or waiting for the server."""
        self._watchdog.extend(self._lease, min(self.due, self._loop.time() + self._timeout))


class Batches:
    """Batches of a source, converted while they are taken; a batch smaller than ``BATCH_ROWS`` is the last.

    Attributes:
        convert: makes of a batch what the driver is given; its second argument is how many rows came before.
    """

    def __init__(self, rows: object, pace: Pace) -> None:
        """Open a source of rows.

        Raises:
            ConfigError: ``rows`` is not a source of rows.
        """
        self.convert: Callable[[Sequence[Any], int], Batch] = lambda batch, _before: batch
        self._pace = pace
        self._before = 0
        self._first: Sequence[Any] | None = None
        self._waits = _read_async(rows) if isinstance(rows, AsyncIterable) else None
        self._at_hand: Iterator[Sequence[Any]] = iter(()) if self._waits is not None else _read(rows)

    async def first(self) -> Sequence[Any] | None:
        """Read the first batch without consuming it; return None if there are no rows."""
        # Kept for the next read: the columns must be known before the statement can be sent.
        self._first = await self._read()
        return self._first

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Batch:
        batch = await self._read()
        if batch is None:
            raise StopAsyncIteration
        return self._converted(batch)

    def at_hand(self) -> Iterator[Batch] | None:
        """Return the remaining batches as a plain iterator; None if the source is asynchronous."""
        return None if self._waits is not None else self._take()

    def _take(self) -> Iterator[Batch]:
        while (batch := self._next()) is not None:
            yield self._converted(batch)

    async def _read(self) -> Sequence[Any] | None:
        if self._waits is None or self._first is not None:
            return self._next()
        self._pace.source_works()
        # No call is under way on the server here, so only the deadline of the whole call may end the wait.
        batch = await anext(self._waits, None)
        self._pace.server_works()
        return batch

    def _next(self) -> Sequence[Any] | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._pace.source_works()
        batch = next(self._at_hand, None)
        self._pace.server_works()
        return batch

    def _converted(self, batch: Sequence[Any]) -> Batch:
        before = self._before
        self._before += len(batch)
        return self.convert(batch, before)


def _read(rows: object) -> Iterator[list[Any]]:
    # Text, bytes and mappings are iterable too, but their items are letters, numbers and keys, not rows.
    if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
        raise ConfigError(f"rows are a {type(rows).__name__}: give an iterable, or async iterable, of mappings")
    iterator = iter(rows)
    # `iter` with two arguments ends at the first empty list.
    return iter(lambda: list(itertools.islice(iterator, BATCH_ROWS)), [])


async def _read_async(rows: AsyncIterable[Any]) -> AsyncIterator[list[Any]]:
    batch: list[Any] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
