"""Provide transactions, retried closures, idempotent calls and locks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, TypeVarTuple, overload

from rdskit.client.database.queries import DEFAULT, Queries
from rdskit.client.database.transaction_scope import TransactionScope
from rdskit.client.pool import holding
from rdskit.client.transactions import (
    SETUP_LOCK,
    TABLES,
    Call,
    Request,
    Transaction,
    answer_once,
    begin_text,
    fingerprint_of,
    held_lock,
    name_of,
    repeat,
    table_statements,
)
from rdskit.kernel.arguments import call_arguments, require_flag, require_function, require_seconds, require_text
from rdskit.kernel.sql import Dialect
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.database.context import SessionContext
    from rdskit.kernel.choices import Isolation

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
KEEP = 24 * 3600.0
"""Seconds for which the answer of ``run_once`` is kept."""


class Transactional(Queries):
    """The methods of a database for transactions, idempotent calls and locks."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._transactions = context.transactions
        self._marking = context.marking

    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        exactly_once: bool | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Transaction, None]:
        """Open a transaction on the writer; it commits when the block ends, and rolls back when it raises.

        If the answer to COMMIT is lost and the database has the tables of ``setup``, the current writer is asked for
        the outcome: the block ends without an error if the COMMIT took effect, and with ``FailoverError`` if not.

        Args:
            isolation: ``read committed``, ``repeatable read``, ``serializable``; None for the server's default.
            read_only: refuse writes.
            deferrable: wait for a snapshot that cannot fail; needs serializable and read_only, and PostgreSQL.
            exactly_once: True requires those tables; False does not use them, which saves a row in each transaction
                that writes.
            timeout: seconds for the whole transaction; each statement also has the timeout of ``connect``.

        Raises:
            OutcomeUnknown: the connection or the deadline was lost after COMMIT was sent, and the outcome could not be
                found out.
            QueryTimeout: the deadline passed before that; nothing was changed.
            FailoverError: the connection was lost before that, or COMMIT had no effect; nothing was changed.
            ConfigError: ``exactly_once=True`` without the tables of ``setup``; nothing was changed.
        """
        begin = begin_text(isolation, read_only=read_only, deferrable=deferrable)
        exactly_once = require_flag("exactly_once", exactly_once, or_none=True)
        return self._block(
            begin, require_seconds("timeout", timeout), exactly_once=False if read_only else exactly_once
        )

    @overload
    async def run(
        self,
        closure: Callable[[Transaction, *Ts], Awaitable[T]],
        *,
        args: tuple[*Ts],
        kwargs: None = None,
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    @overload
    async def run(
        self,
        closure: Callable[[Transaction], Awaitable[T]],
        *,
        args: tuple[()] = (),
        kwargs: None = None,
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    @overload
    async def run(
        self,
        closure: Callable[Concatenate[Transaction, ...], Awaitable[T]],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any],
        isolation: Isolation | None = ...,
        exactly_once: bool | None = ...,
        timeout: float | None = ...,
    ) -> T: ...
    async def run(
        self,
        closure: Callable[..., Awaitable[T]],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        isolation: Isolation | None = None,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args, **kwargs)`` in a transaction, and retry it as a whole after a conflict or failover.

        Args:
            closure: an async function. It may run several times, so side effects outside the transaction belong into
                ``tx.on_commit`` or ``tx.publish``.
            args: its positional arguments after the transaction.
            kwargs: its keyword arguments.
            isolation: as for ``transaction``.
            exactly_once: find out the outcome of a COMMIT whose answer was lost, and retry if it had no effect.
                None does so if the database has the tables of ``setup``. True requires them. False does not use them,
                which saves a row in each transaction that writes.
            timeout: seconds for all attempts together.

        Returns:
            What the closure returned in the attempt that committed.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent, so it is not retried. With ``exactly_once``:
                the outcome could not be found out before the deadline.
            ConfigError: ``exactly_once=True`` without the tables of ``setup``; nothing was changed.
            RdskitError: the last attempt's error, once the deadline has passed.
        """
        called, named = call_arguments(args, kwargs)
        call = Call(require_function("closure", closure), called, named)
        begin = begin_text(isolation, read_only=False, deferrable=False)
        exactly_once = require_flag("exactly_once", exactly_once, or_none=True)
        deadline = self._limit(timeout)

        def attempt() -> AbstractAsyncContextManager[Transaction, None]:
            return self._block(begin, deadline, exactly_once)

        answer: T = await repeat(attempt, call, deadline, self._cluster.retries, self._cluster.observers)
        return answer

    async def run_once(
        self,
        key: str,
        closure: Callable[..., Awaitable[Any]],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        scope: str = "",
        fingerprint: str | None = None,
        keep: float = KEEP,
        timeout: float | None = DEFAULT,
    ) -> Any:
        """Run ``closure(tx, *args, **kwargs)`` like ``run``, but once per key; later calls get the same answer.

        The key is written in the same transaction as the work. A call with the same key waits until the earlier one has
        ended; after an error the key is free again. It needs no ``exactly_once``, because the key has the same effect.

        Args:
            key: the caller's idempotency key.
            closure: as for ``run``; its result must be a value that JSON can represent.
            args: its positional arguments after the transaction.
            kwargs: its keyword arguments.
            scope: namespace of the key, such as a tenant or an operation.
            fingerprint: identifies the content of the request; by default a hash of ``args`` and ``kwargs``.
            keep: seconds for which the answer is kept.
            timeout: seconds for all attempts together.

        Returns:
            What the closure returned for this key, decoded from JSON.

        Raises:
            IntegrityError: the key was used for another request.
            ConfigError: a value cannot be written as JSON, or the tables of ``setup`` are missing; nothing was changed.
        """
        called, named = call_arguments(args, kwargs)
        once = Call(require_function("closure", closure), called, named)
        request = Request(scope, key, fingerprint or fingerprint_of(called, named), keep)
        deadline = self._limit(timeout)
        begin = begin_text(None, read_only=False, deferrable=False)

        def attempt() -> AbstractAsyncContextManager[Transaction, None]:
            return self._block(begin, deadline, exactly_once=False)  # the key does the same

        async def work(tx: Transaction) -> Any:
            return await answer_once(tx, self._statements.dialect, request, once)

        call = Call(work, called=name_of(closure), is_idempotent=True)
        answer = await repeat(attempt, call, deadline, self._cluster.retries, self._cluster.observers)
        await self._marking.purge(deadline)
        return answer

    @contextlib.asynccontextmanager
    async def lock(self, name: str, *, timeout: float | None = DEFAULT) -> AsyncIterator[None]:
        """Hold an advisory lock for the length of the block, so that no other session holds the same name.

        It uses a connection of the pool. If that is lost, another session may get the lock, so the block is cancelled
        within about a second and ends with ``FailoverError``. If even that second matters, write in a transaction with
        ``tx.lock``: it is lost together with its lock.

        Args:
            name: any text; it applies to this database.
            timeout: seconds to wait for the lock; None for no limit.

        Raises:
            QueryTimeout: another session held it all the time.
            FailoverError: the connection was lost, and the lock with it.
        """
        self._require_open()
        require_text("name", name)
        deadline = self._limit(timeout)
        lease = await self._cluster.acquire_writer(deadline, self._transactions.scope)
        try:
            # The block's own queries take further connections: the pool must refuse those that would deadlock.
            with holding(lease.pool):
                async with held_lock(lease, self._statements.dialect, name, deadline.due):
                    yield
        finally:
            lease.give_back()

    async def setup(self) -> tuple[str, ...]:
        """Create the tables of rdskit that are missing in this database; may be repeated.

        ``run_once`` and ``tx.publish`` need them, as do ``run`` and ``transaction`` to resolve a lost COMMIT. rdskit
        never creates them by itself.

        Returns:
            Their names.
        """
        dialect = self._statements.dialect
        # PostgreSQL's DDL is transactional, so lock and tables share one transaction. MySQL commits at each statement.
        if dialect is Dialect.POSTGRES:
            async with self.transaction(exactly_once=False) as tx:
                await tx.lock(SETUP_LOCK)
                for statement in table_statements(dialect):
                    await tx.execute(statement)
        else:
            for statement in table_statements(dialect):
                await self.execute(statement)
        self._marking.forget()  # otherwise transactions would use the new table after a minute only
        return tuple(TABLES)

    def _limit(self, timeout: float | None) -> Deadline:
        return Deadline.after(self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout))

    def _block(self, begin: str, limit: Deadline | float | None, exactly_once: bool | None) -> TransactionScope:  # noqa: FBT001 - as the caller gave it
        self._require_open()
        marking = None if exactly_once is False else self._marking
        return TransactionScope(self._transactions, begin, limit, marking, exactly_once)
