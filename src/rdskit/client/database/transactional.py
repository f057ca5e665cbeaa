"""Blocks and closures whose statements happen together: transactions, locks, and work that is done once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.block import Block
from rdskit.client.database.queries import DEFAULT, Queries
from rdskit.client.pool import holding
from rdskit.client.transactions import (
    SETUP_LOCK,
    TABLES,
    Fence,
    Fences,
    Request,
    Transaction,
    answer_once,
    begin_text,
    fingerprint_of,
    held_lock,
    purge_sometimes,
    repeat,
    resolve,
    table_statements,
    where_fences_are,
)
from rdskit.kernel.sql import Dialect
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.replicas import Written

T = TypeVar("T")
KEEP = 24 * 3600.0
"""Seconds for which the answer of ``run_once`` is kept."""


class Transactional(Queries):
    """What happens together, or once, or by one at a time."""

    _written: Written
    _fences: Fences

    @property
    def dialect(self) -> Dialect:
        """Whose SQL the database speaks."""
        return self._statements.dialect

    def transaction(
        self,
        *,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction on the writer; it commits when the block ends, and rolls back when it raises.

        Args:
            isolation: ``read committed``, ``repeatable read``, ``serializable``; None for the server's default.
            read_only: refuse writes.
            deferrable: wait for a snapshot that cannot fail; needs serializable and read_only, and PostgreSQL.
            timeout: seconds for the whole transaction; each statement has the timeout of ``connect`` besides.

        Raises:
            OutcomeUnknown: the connection or the deadline was lost after COMMIT was sent.
            QueryTimeout: the deadline passed before that; nothing was changed.
            FailoverError: the connection was lost before that; nothing was changed.
        """
        return self._block(begin_text(isolation, read_only=read_only, deferrable=deferrable), timeout)

    async def run(
        self,
        closure: Callable[..., Awaitable[T]],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        isolation: str | None = None,
        exactly_once: bool | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args, **kwargs)`` in a transaction, as a whole again after a conflict or a failover.

        Args:
            closure: an async function; it may run several times, so it must do nothing outside the transaction that
                cannot be repeated: that belongs into ``tx.on_commit`` or ``tx.publish``.
            args: its positional arguments after the transaction.
            kwargs: its keyword arguments.
            isolation: as for ``transaction``.
            exactly_once: find out what became of a COMMIT whose answer was lost, and run again if it had no effect.
                None does so where the database has the tables of ``setup``, True refuses to work without them, and
                False spares the row that it takes in each transaction that writes.
            timeout: seconds for all attempts together.

        Returns:
            What the closure returned in the attempt that committed.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent; it is not run again. With ``exactly_once``:
                the outcome could not be found out before the deadline.
            ConfigError: ``exactly_once=True`` without the tables of ``setup``; nothing was changed.
            RdskitError: the last attempt's error, once the deadline has passed.
        """
        deadline = Deadline.after(self._timeout if timeout is DEFAULT else timeout)
        text = begin_text(isolation, read_only=False, deferrable=False)
        plain = begin_text(None, read_only=False, deferrable=False)
        dialect = self.dialect
        if exactly_once is None and self._fences.are_unknown(asyncio.get_running_loop().time()):
            await self._look_for_fences(deadline)
        fence = self._fence(exactly_once)

        def attempt() -> AbstractAsyncContextManager[Transaction]:
            nonlocal fence
            if fence is None or fence.used:
                fence = self._fence(exactly_once)
            return self._block(text, deadline.remaining(), fence)

        def own() -> AbstractAsyncContextManager[Transaction]:
            return self._block(plain, deadline.remaining())

        def committed(transaction: Transaction) -> Awaitable[bool] | None:
            return None if transaction.fence is None else resolve(transaction.fence, dialect, own, deadline)

        result = await repeat(attempt, closure, args, kwargs or {}, deadline, self._cluster.retries, committed)
        if fence is not None and fence.used:
            await self._tidy(deadline)
        return result

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
        """Run ``closure(tx, *args, **kwargs)`` like ``run``, but once for each key; later calls get the same answer.

        The key is written in the transaction of the work. A call with the same key waits until the one before it has
        ended; after an error the key is free again. It needs no ``exactly_once``: the key does the same.

        Args:
            key: the caller's idempotency key.
            closure: as for ``run``; what it returns must be something that JSON can hold.
            args: its positional arguments after the transaction.
            kwargs: its keyword arguments.
            scope: whose keys these are, such as a tenant or an operation.
            fingerprint: what tells the request from another one; by default a hash of ``args`` and ``kwargs``.
            keep: seconds for which the answer is kept.
            timeout: seconds for all attempts together.

        Returns:
            What the closure returned for this key, as JSON gives it back.

        Raises:
            IntegrityError: the key was used for another request.
            ConfigError: something is no JSON, or the tables of ``setup`` are missing; nothing was changed.
        """
        called, named = args, kwargs or {}
        request = Request(scope, key, fingerprint or fingerprint_of(called, named), keep)
        deadline = Deadline.after(self._timeout if timeout is DEFAULT else timeout)
        text = begin_text(None, read_only=False, deferrable=False)

        def attempt() -> AbstractAsyncContextManager[Transaction]:
            return self._block(text, deadline.remaining())

        async def work(tx: Transaction) -> Any:
            return await answer_once(tx, self.dialect, request, closure, called, named)

        async def done_or_not(_: Transaction) -> None:
            """Whether the lost COMMIT took effect does not matter: the next attempt finds the key, or does the work."""

        answer = await repeat(attempt, work, (), {}, deadline, self._cluster.retries, done_or_not)
        await self._tidy(deadline)
        return answer

    @contextlib.asynccontextmanager
    async def lock(self, name: str, *, timeout: float | None = DEFAULT) -> AsyncIterator[None]:
        """Hold an advisory lock for the length of the block: nobody else who asks for the name has it meanwhile.

        It takes a connection of the pool. If that is lost, somebody else may have the lock, so the block is cancelled
        within about a second and ends with ``FailoverError``. A block that must not go on even so long writes in a
        transaction with ``tx.lock``, which is lost together with its lock.

        Args:
            name: any text; it counts for this database.
            timeout: seconds to wait for the lock; None for ever.

        Raises:
            QueryTimeout: somebody else had it all the time.
            FailoverError: the connection was lost, and the lock with it.
        """
        self._require_open()
        deadline = Deadline.after(self._timeout if timeout is DEFAULT else timeout)
        lease = await self._cluster.acquire_writer(deadline)
        try:
            with holding(lease.lender):
                async with held_lock(lease, self.dialect, name, deadline.due):
                    yield
        finally:
            lease.give_back()

    async def setup(self) -> tuple[str, ...]:
        """Make the tables of rdskit that this database has not; may be run again.

        They are needed by ``run_once`` and ``tx.publish``, and by ``run`` to find out what became of a lost COMMIT;
        they are never made by themselves.

        Returns:
            Their names.
        """
        dialect = self.dialect
        if dialect is Dialect.POSTGRES:
            async with self.transaction() as tx:
                await tx.lock(SETUP_LOCK)
                for statement in table_statements(dialect):
                    await tx.execute(statement)
        else:
            for statement in table_statements(dialect):
                await self.execute(statement)
        self._fences.forget()
        return tuple(TABLES)

    def _fence(self, exactly_once: bool | None) -> Fence | None:  # noqa: FBT001 - as the caller of `run` gave it
        if exactly_once is None:
            return self._fences.new()
        return Fence() if exactly_once else None

    async def _look_for_fences(self, deadline: Deadline) -> None:
        """Learn whether the database has the table, before a transaction may need it."""
        now = asyncio.get_running_loop().time()
        text = begin_text(None, read_only=True, deferrable=False)

        async def ask(tx: Transaction) -> str | None:
            row = await tx.fetch_one(where_fences_are(self.dialect))
            return None if row is None else str(row[0])

        begin, retries = lambda: self._block(text, deadline.remaining()), self._cluster.retries
        self._fences.found(await repeat(begin, ask, (), {}, deadline, retries, lambda _: None), now)

    def _block(self, text: str, timeout: float | None, fence: Fence | None = None) -> Block:
        self._require_open()
        return Block(self._cluster, self._statements, self._written, text, (timeout, self._timeout), fence)

    async def _tidy(self, deadline: Deadline) -> None:
        """Remove old rows of our tables now and then; what they are made by pays for their end."""
        text = begin_text("read committed", read_only=False, deferrable=False)
        chance = random.random()  # noqa: S311 - not a secret
        await purge_sometimes(self.dialect, lambda: self._block(text, deadline.remaining()), chance)
