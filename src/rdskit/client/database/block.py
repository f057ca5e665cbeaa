"""The block of one transaction: from BEGIN until its connection is given back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rdskit.client.pool import Hold
from rdskit.client.transactions import Transaction, begin
from rdskit.kernel.failures import Failure
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from types import TracebackType

    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.client.replicas import Written
    from rdskit.client.transactions import Fence
    from rdskit.kernel.sql import StatementCache


class Block(AbstractAsyncContextManager[Transaction, None]):
    """Begins, and commits or rolls back; the connection goes back in any case.

    A class and no generator: every transaction comes this way, and generators would cost it about twice as much.
    """

    _lease: Lease
    _transaction: Transaction
    _hold: Hold

    def __init__(
        self,
        cluster: Cluster,
        statements: StatementCache,
        written: Written,
        text: str,
        timeouts: tuple[float | None, float | None],
        fence: Fence | None,
    ) -> None:
        """Prepare a block; nothing happens before it is entered.

        Args:
            cluster: whose writer.
            statements: compiled statements.
            written: hears of what was written.
            text: the BEGIN statement.
            timeouts: seconds for the whole transaction, and for each of its statements.
            fence: what a lost COMMIT can be resolved by, or None.
        """
        self._cluster = cluster
        self._statements = statements
        self._written = written
        self._text = text
        self._timeout = timeouts
        self._fence = fence

    async def __aenter__(self) -> Transaction:
        whole, each = self._timeout
        deadline = Deadline.after(whole)
        patience = deadline if each is None else Deadline.after(deadline.bounded(each))
        opened = await begin(self._cluster, self._statements, self._text, deadline, each, patience)
        self._lease, self._transaction = opened
        self._transaction.fence = self._fence
        self._hold = Hold(self._lease.lender)
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

    async def _undo(self, error: BaseException) -> None:
        lease, transaction = self._lease, self._transaction
        if transaction.may_have_committed and not isinstance(error, Exception):
            error.add_note("rdskit: COMMIT had been sent when this was cancelled, so the transaction may have happened")
        try:
            if isinstance(error, Exception):
                await transaction.rollback()
        finally:  # a cancellation that arrives during the rollback must not keep the connection
            lease.dirty = lease.dirty or lease.connection.in_transaction
            if transaction.may_have_committed:
                self._written.lost_track()
            if transaction.met_read_only and lease.lender is self._cluster.writer:  # by now the writer may be another
                self._cluster.report(Failure.READ_ONLY)
            lease.give_back()

    def _settle(self) -> None:
        """Give the connection back; where readers exist, learn first how far the writer has come."""
        if self._transaction.writes and self._cluster.readers:
            self._written.wrote(self._lease)
            return
        if self._transaction.writes:
            self._written.lost_track()  # asked for when there are readers, or when a token is wanted
        self._lease.give_back()
