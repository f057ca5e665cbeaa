"""Run the block of one transaction, from BEGIN until its connection is checked in."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.pool import Hold
from rdskit.client.transactions import Transaction, begin
from rdskit.errors import ConfigError, FailoverError, OutcomeUnknown, RdskitError
from rdskit.kernel.failures import Failure
from rdskit.kernel.writes import TablesWritten
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from types import TracebackType

    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.client.replicas import WritePosition
    from rdskit.client.statements.hooks import WriteHooks
    from rdskit.client.transactions import CommitMarking
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql import StatementCache


_LEFT = (
    "the transaction's block ended while another task ran a statement in it, so it was rolled back: await each "
    "statement, and each task that runs one, inside the block"
)
_TOO_LATE = "rdskit: COMMIT had been sent when this was cancelled, so the transaction may have happened"


class TransactionContext(NamedTuple):
    """What the transactions of one session need.

    Attributes:
        cluster: the cluster whose writer runs them.
        statements: compiled statements.
        written: tracks the position of the session's writes.
        timeout: seconds for each statement; None for no limit.
        hooks: awaited after each commit.
        scope: the tenant, role and schema that transactions run with.
    """

    cluster: Cluster
    statements: StatementCache
    written: WritePosition
    timeout: float | None
    hooks: WriteHooks
    scope: Scope


class TransactionScope(AbstractAsyncContextManager[Transaction, None]):
    """Begins a transaction, commits or rolls it back, and checks the connection in.

    With commit markers it resolves a COMMIT whose answer was lost: the block ends without an error if the COMMIT took
    effect, and with ``FailoverError`` if not.

    A class instead of a generator, with few calls, because every transaction passes here.
    """

    _deadline: Deadline
    _lease: Lease
    _transaction: Transaction
    _hold: Hold

    def __init__(
        self,
        context: TransactionContext,
        text: str,
        limit: Deadline | float | None,
        marking: CommitMarking | None = None,
        exactly_once: bool | None = None,  # noqa: FBT001 - as the caller of `run` gave it
    ) -> None:
        """Prepare a block; nothing happens before it is entered.

        Args:
            context: what it needs.
            text: the BEGIN statement.
            limit: deadline of the whole block, or its seconds; None for no limit.
            marking: creates and resolves commit markers; None for a block without one.
            exactly_once: as for ``run``.
        """
        self._context = context
        self._text = text
        self._limit = limit
        self._marking = marking
        self._exactly_once = exactly_once

    async def __aenter__(self) -> Transaction:
        cluster, statements, _, each, hooks, scope = self._context
        limit, marking, marker = self._limit, self._marking, None
        deadline = self._deadline = limit if isinstance(limit, Deadline) else Deadline.after(limit)
        connect_deadline = deadline.within(each)
        if marking is not None:
            marker = marking.new(self._exactly_once)
            # Before BEGIN: the look-up has a transaction of its own, and needs a connection of its own.
            if marker is None and marking.table_is_unknown:
                await marking.find_table(connect_deadline)
                marker = marking.new(self._exactly_once)
        self._lease, transaction = await begin(cluster, statements, self._text, deadline, each, connect_deadline, scope)
        transaction.commit_marker = marker
        if hooks.active:
            transaction.touched = TablesWritten()
        self._transaction = transaction
        self._hold = Hold(self._lease.pool)
        return transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # End the hold first: what follows may wait for another connection, to resolve a COMMIT or in a callback.
        self._hold.end()
        # Another task is still reading on this connection, so neither COMMIT nor ROLLBACK can be sent.
        if self._lease.busy:
            self._end_running_statement(error)
            return
        transaction = self._transaction
        if error is not None:
            await self._undo(error)
            if transaction.touched is not None and transaction.may_have_committed:
                await self._context.hooks.uncertain(transaction.touched.tables, self._context.scope, error)
            return
        try:
            await transaction.commit()
        except BaseException as failed:  # noqa: BLE001 - raised below, unless the transaction has committed
            # Check the connection in first: with max_size=1, resolving the COMMIT would wait for this very connection.
            await self._undo(failed)
            await self._resolve_or_raise(failed)
        else:
            self._settle()
        if transaction.touched is not None and transaction.writes:
            await self._call_hooks(transaction.touched)
        else:
            await self._follow_up()

    async def _call_hooks(self, touched: TablesWritten) -> None:
        """Call the write hooks, and then the transaction's own callbacks."""
        context = self._context
        # A hook that raises must not keep the callbacks of a committed transaction from running.
        try:
            await context.hooks.committed(touched.tables, context.written, context.scope)
        finally:
            await self._follow_up()

    async def _follow_up(self) -> None:
        transaction = self._transaction
        if transaction.callbacks:
            await transaction.callbacks.run()
        if self._marking is not None and transaction.commit_marker is not None and transaction.commit_marker.used:
            await self._marking.purge(self._deadline.within(self._context.timeout))

    async def _resolve_or_raise(self, failed: BaseException) -> None:
        """Return if a transaction whose COMMIT failed has committed after all; otherwise raise the caller's error."""
        error = failed
        if self._marking is not None and isinstance(failed, OutcomeUnknown):
            try:
                await self._resolve_commit(self._marking, failed)
            except BaseException as found:  # noqa: BLE001 - raised below
                error = found
            else:
                return
        touched, context = self._transaction.touched, self._context
        lost = isinstance(error, OutcomeUnknown) or not isinstance(error, Exception)
        if touched is not None and lost and self._transaction.may_have_committed:
            await context.hooks.uncertain(touched.tables, context.scope, error)
        raise error

    async def _resolve_commit(self, marking: CommitMarking, unknown: OutcomeUnknown) -> None:
        """Return if the transaction has committed, as its commit marker shows.

        Raises:
            FailoverError: it has not committed, and never will.
            OutcomeUnknown: the outcome could not be found out.
        """
        transaction = self._transaction
        marker = transaction.commit_marker
        # Without a COMMIT, the outcome unknown is that of a procedure, whose error the block had caught.
        if marker is None or not transaction.may_have_committed:
            raise unknown
        # A block without a limit waits as long as for a statement.
        deadline = self._deadline.within(self._context.timeout) if self._limit is None else self._deadline
        try:
            took_effect = await marking.took_effect(marker, deadline)
        except asyncio.CancelledError as cancelled:
            cancelled.add_note(_TOO_LATE)
            raise
        except RdskitError as error:
            transaction.failure = OutcomeUnknown(
                f"{transaction.reason}; COMMIT had been sent, so the transaction may have happened, and its outcome "
                f"could not be found out in time: check for its rows [{error}]"
            )
            raise transaction.failure from error
        if not took_effect:
            transaction.failure = FailoverError(
                f"{transaction.reason}; COMMIT had been sent, but its commit marker shows that it did not take effect: "
                "run the transaction again (db.run retries by itself)"
            )
            raise transaction.failure from unknown.__cause__
        transaction.failure = None

    def _end_running_statement(self, error: BaseException | None) -> None:
        """End the statement that another task still runs here; the server rolls back when its session ends.

        Raises:
            ConfigError: the block itself raised nothing.
        """
        self._transaction.abandon()
        # The statement that is ended may have committed by itself, as DDL does on MySQL.
        if self._transaction.writes:
            self._context.written.lost_track()
        self._lease.leave()
        if error is None:
            raise ConfigError(_LEFT)

    async def _undo(self, error: BaseException) -> None:
        lease, transaction = self._lease, self._transaction
        if transaction.may_have_committed and not isinstance(error, Exception):
            error.add_note(_TOO_LATE)
        try:
            # A cancelled task sends nothing: the pool cleans the connection in the background instead.
            if isinstance(error, Exception):
                await transaction.rollback()
        finally:  # a cancellation that arrives during the rollback must not keep the connection
            lease.dirty = lease.dirty or lease.connection.in_transaction
            cluster, _, written, *_ = self._context
            if transaction.may_have_committed:
                written.lost_track()
            if transaction.met_read_only and lease.pool is cluster.writer:  # unless another host is the writer by now
                cluster.report(Failure.READ_ONLY)
            lease.give_back()

    def _settle(self) -> None:
        """Check the connection in; if there are readers, read the writer's position first."""
        cluster, _, written, *_ = self._context
        if self._transaction.writes and cluster.readers:
            written.wrote(self._lease)
            return
        if self._transaction.writes:
            written.lost_track()  # read later, if a reader joins or the application asks for a token
        self._lease.give_back()
