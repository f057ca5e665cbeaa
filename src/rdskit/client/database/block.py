"""The block of one transaction: from BEGIN until its connection is given back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.pool import Hold
from rdskit.client.transactions import Transaction, begin
from rdskit.kernel.failures import Failure
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from types import TracebackType

    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.client.replicas import Written
    from rdskit.kernel.sql import StatementCache


class Grounds(NamedTuple):
    """On what a session opens its transactions.

    Attributes:
        cluster: whose writer.
        statements: compiled statements.
        written: hears of what was written.
        timeout: seconds for each statement; None for no limit.
    """

    cluster: Cluster
    statements: StatementCache
    written: Written
    timeout: float | None


class Block(AbstractAsyncContextManager[Transaction, None]):
    """Begins, and commits or rolls back; the connection goes back in any case.

    A class and no generator: every transaction comes this way, and generators would cost it about twice as much.
    """

    _deadline: Deadline
    _lease: Lease
    _transaction: Transaction
    _hold: Hold

    def __init__(self, grounds: Grounds, text: str, timeout: float | None) -> None:
        """Prepare a block; nothing happens before it is entered.

        Args:
            grounds: on what it is opened.
            text: the BEGIN statement.
            timeout: seconds for the whole transaction; None for no limit.
        """
        self._grounds = grounds
        self._text = text
        self._timeout = timeout

    async def __aenter__(self) -> Transaction:
        self._deadline = Deadline.after(self._timeout)
        await self._begin()
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.end()
        if error is not None:
            await self._undo(error)
            return
        try:
            await self._transaction.commit()
        except BaseException as failed:
            await self._undo(failed)
            raise
        self._settle()
        if self._transaction.callbacks:
            await self._transaction.callbacks.run()

    async def _begin(self) -> None:
        cluster, statements, _, each = self._grounds
        patience = self._patience()
        self._lease, self._transaction = await begin(cluster, statements, self._text, self._deadline, each, patience)
        self._hold = Hold(self._lease.lender)

    def _patience(self) -> Deadline:
        """As long as one statement may take: so may what comes before those of the block, or after them."""
        each = self._grounds.timeout
        return self._deadline if each is None else Deadline.after(self._deadline.bounded(each))

    async def _undo(self, error: BaseException) -> None:
        lease, transaction = self._lease, self._transaction
        if transaction.may_have_committed and not isinstance(error, Exception):
            note_commit_was_sent(error)
        try:
            if isinstance(error, Exception):
                await transaction.rollback()
        finally:  # a cancellation that arrives during the rollback must not keep the connection
            lease.dirty = lease.dirty or lease.connection.in_transaction
            cluster, _, written, _ = self._grounds
            if transaction.may_have_committed:
                written.lost_track()
            if transaction.met_read_only and lease.lender is cluster.writer:  # by now the writer may be another
                cluster.report(Failure.READ_ONLY)
            lease.give_back()

    def _settle(self) -> None:
        """Give the connection back; where readers exist, learn first how far the writer has come."""
        cluster, _, written, _ = self._grounds
        if self._transaction.writes and cluster.readers:
            written.wrote(self._lease)
            return
        if self._transaction.writes:
            written.lost_track()  # asked for when there are readers, or when a token is wanted
        self._lease.give_back()


def note_commit_was_sent(cancellation: BaseException) -> None:
    """Say in a cancellation, which stays what it is, that it came too late to be sure of anything."""
    cancellation.add_note("rdskit: COMMIT had been sent when this was cancelled, so the transaction may have happened")
