"""A stream outside a transaction: a host, a read-only transaction of its own, and the connection back in any case."""

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

_ROLLBACK_TIMEOUT = 2.0  # seconds; then the pool cleans the connection, or drops it


class Reading(NamedTuple):
    """What is streamed.

    Attributes:
        statement: the query.
        text: what the driver is given.
        args: its arguments.
        batch: rows fetched at a time.
        deadline: of the whole stream.
        timeout: seconds for each round trip; None for no limit.
        after: what it must show besides the session's own writes; None where only the writer surely does.
    """

    statement: Statement
    text: str
    args: Sequence[Any]
    batch: int
    deadline: Deadline
    timeout: float | None
    after: Position | None = START

    def due(self) -> float:
        """When the next round trip must have ended, on the loop's clock."""
        own = math.inf if self.timeout is None else asyncio.get_running_loop().time() + self.timeout
        return min(own, self.deadline.due)


class _Loan(NamedTuple):
    lease: Lease
    give_back: Callable[[], None]
    failed: Callable[[Failure], None]


class Streaming:
    """Streams queries from readers and the writer."""

    def __init__(self, cluster: Cluster, executor: Executor) -> None:
        self._cluster = cluster
        self._executor = executor

    async def rows(self, reading: Reading, into: Any, patience: Deadline) -> AsyncGenerator[Any, None]:
        """Read a query row by row.

        Args:
            reading: what.
            into: what each row becomes; None leaves it a row.
            patience: when waiting for a connection ends, and trying again before there was a row.
        """
        loan, batches, first = await self._begun(reading, patience)
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
            try:
                await batches.aclose()
            finally:
                loan.give_back()

    async def _begun(
        self, reading: Reading, patience: Deadline
    ) -> tuple[_Loan, AsyncGenerator[Sequence[Row], None], Sequence[Row]]:
        """Open the stream and read its first batch; on another host, or again, if the first one is lost."""
        may_read = True
        while True:
            loan = await self._lend(reading, patience, from_reader=may_read)
            batches = _batches(loan.lease, reading)
            try:
                return loan, batches, await anext(batches, None) or ()  # CPython's anext takes no tuple as default
            except DriverError as error:
                loan.failed(error.failure)
                if not self._may_repeat(error, patience):
                    raise _refused(error) from error.__cause__
                may_read = False
            except BaseException:
                loan.give_back()
                raise

    def _may_repeat(self, error: DriverError, patience: Deadline) -> bool:
        if error.failure is not Failure.READ_ONLY:  # which here is the transaction's own, and not the host's
            self._cluster.report(error.failure)
        lost = action_for(error.failure, Phase.STATEMENT, writes=False) is Action.RETRY
        if not lost or patience.passed:
            return False
        if error.failure is Failure.CONFLICT:  # a hot standby that replays; on a server that is well
            return True
        return error.failure is Failure.LOST and self._cluster.retries.may_retry()

    async def _lend(self, reading: Reading, patience: Deadline, *, from_reader: bool) -> _Loan:
        borrows = from_reader or self._executor.needs_reader(reading.statement, reading.after)
        borrowed = await self._executor.borrow(reading.statement, patience, reading.after) if borrows else None
        if borrowed is not None:
            return _Loan(borrowed.lease, borrowed.give_back, borrowed.failed)
        if self._cluster.routes_reads:
            self._executor.count_sent_to_writer()
        lease = await self._cluster.acquire_writer(patience, self._executor.scope)
        return _Loan(lease, lease.give_back, lambda _: lease.give_back())


async def _batches(lease: Lease, reading: Reading) -> AsyncGenerator[Sequence[Row], None]:
    """Read in a transaction of its own, which PostgreSQL's portals need; what it sees is one moment."""
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
            with contextlib.suppress(DriverError):  # the connection is broken then, and the pool drops it
                await connection.control("rollback", _ROLLBACK_TIMEOUT)


def require_plain_read(statement: Statement) -> None:
    """Refuse what needs a transaction of the caller's.

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
