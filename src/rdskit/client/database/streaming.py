"""Stream a query outside a transaction of the caller, in a read-only transaction of its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from rdskit.client.statements import into_all, stream
from rdskit.errors import ConfigError, FailoverError
from rdskit.kernel.failures import Action, Failure, Phase, action_for
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import START, Position
from rdskit.kernel.sql import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from rdskit.client.database.executor import Executor
    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.kernel.ports import Row
    from rdskit.kernel.sql import Statement
    from rdskit.runtime.deadlines import Deadline

_ROLLBACK_TIMEOUT = 2.0  # seconds; then the pool cleans or closes the connection


class Reading(NamedTuple):
    """A query to stream.

    Attributes:
        statement: the compiled query.
        text: its text for the driver.
        args: its arguments.
        batch: rows fetched at a time.
        deadline: deadline of the whole stream.
        timeout: seconds for each round trip; None for no limit.
        after: the position that it must see besides the session's own writes; None if only the writer shows it.
    """

    statement: Statement
    text: str
    args: Sequence[Any]
    batch: int
    deadline: Deadline
    timeout: float | None
    after: Position | None = START

    def due(self) -> float:
        """Return the deadline of the next round trip, on the loop's clock."""
        own = math.inf if self.timeout is None else asyncio.get_running_loop().time() + self.timeout
        return min(own, self.deadline.due)


class _CheckedOut(NamedTuple):
    lease: Lease
    give_back: Callable[[], None]
    failed: Callable[[Failure], None]


class Streaming:
    """Streams queries from readers and the writer."""

    def __init__(self, cluster: Cluster, executor: Executor) -> None:
        self._cluster = cluster
        self._executor = executor

    async def rows(self, reading: Reading, into: Any, connect_deadline: Deadline) -> AsyncGenerator[Any, None]:
        """Read a query row by row.

        Args:
            reading: the query.
            into: the type to convert each row to; None for a plain row.
            connect_deadline: when waiting for a connection, and retrying before the first row, ends.
        """
        checked_out, batches, first = await self._open(reading, connect_deadline)
        try:
            for row in into_all(first, into):
                yield row
            async for rows in batches:
                for row in into_all(rows, into):
                    yield row
        except DriverError as error:
            self._cluster.report(error.failure)
            raise _cut(error) from error.__cause__
        finally:
            # Close the cursor and its transaction before the check-in: another caller may get the connection at once.
            try:
                await batches.aclose()
            finally:
                checked_out.give_back()

    async def _open(
        self, reading: Reading, connect_deadline: Deadline
    ) -> tuple[_CheckedOut, AsyncGenerator[Sequence[Row], None], Sequence[Row]]:
        """Open the stream and read its first batch; on a failure before that, retry, if possible on another host."""
        may_read = True
        while True:
            checked_out = await self._check_out(reading, connect_deadline, from_reader=may_read)
            batches = _batches(checked_out.lease, reading)
            try:
                # `or ()`, because CPython's anext accepts no tuple as its default.
                return checked_out, batches, await anext(batches, None) or ()
            except DriverError as error:
                # Before the first batch the caller has seen no row, so the stream may start over on another host.
                checked_out.failed(error.failure)
                if not self._may_repeat(error, connect_deadline):
                    raise _refused(error) from error.__cause__
                may_read = False
            except BaseException:
                checked_out.give_back()
                raise

    def _may_repeat(self, error: DriverError, connect_deadline: Deadline) -> bool:
        if error.failure is not Failure.READ_ONLY:  # here the transaction is read-only, which says nothing of the host
            self._cluster.report(error.failure)
        lost = action_for(error.failure, Phase.STATEMENT, writes=False) is Action.RETRY
        if not lost or connect_deadline.passed:
            return False
        if error.failure is Failure.CONFLICT:  # a recovery conflict on a healthy hot standby
            return True
        return error.failure is Failure.LOST and self._cluster.retries.may_retry()

    async def _check_out(self, reading: Reading, connect_deadline: Deadline, *, from_reader: bool) -> _CheckedOut:
        borrows = from_reader or self._executor.needs_reader(reading.statement, reading.after)
        borrowed = await self._executor.borrow(reading.statement, connect_deadline, reading.after) if borrows else None
        if borrowed is not None:
            return _CheckedOut(borrowed.lease, borrowed.give_back, borrowed.failed)
        if self._cluster.routes_reads:
            self._executor.count_sent_to_writer()
        lease = await self._cluster.acquire_writer(connect_deadline, self._executor.scope)
        return _CheckedOut(lease, lease.give_back, lambda _: lease.give_back())


async def _batches(lease: Lease, reading: Reading) -> AsyncGenerator[Sequence[Row], None]:
    """Read in a transaction of its own: PostgreSQL's portals need one, and it gives all rows one snapshot."""
    connection = lease.connection
    lease.dirty = lease.dirty or reading.statement.dirties_session
    await lease.run(connection.control("begin read only", None), reading.due())
    try:
        batches = stream(lease, reading.text, reading.args, reading.batch, reading.due)
        async with contextlib.aclosing(batches):
            async for rows in batches:
                yield rows
    finally:
        if not (connection.broken or connection.interrupted):
            with contextlib.suppress(DriverError):  # the connection is broken then, and the pool closes it
                await connection.control("rollback", _ROLLBACK_TIMEOUT)


def require_plain_read(statement: Statement) -> None:
    """Refuse a statement that needs a transaction of the caller.

    Raises:
        ConfigError: the statement writes, or locks rows.
    """
    if statement.kind is not Kind.READ:
        raise ConfigError(
            f"{statement.source.strip()[:60]!r} does more than read: stream it inside db.transaction(), with tx.stream"
        )


def _refused(error: DriverError) -> Exception:
    if error.failure is Failure.READ_ONLY:
        return type(error.public)(f"{error.public}; a stream only reads: use tx.stream inside db.transaction()")
    return error.public


def _cut(error: DriverError) -> Exception:
    if error.failure is Failure.LOST:
        return FailoverError(f"{error.public}; the stream ended after a part of its rows: read it again from the start")
    return error.public
