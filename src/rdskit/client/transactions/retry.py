"""Doing a whole transaction again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rdskit.client.transactions.policy import may_repeat
from rdskit.errors import FailoverError, OutcomeUnknown
from rdskit.kernel.backoff import TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.transaction import Transaction
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.retries import Retries

T = TypeVar("T")


class Attempt(Generic[T]):
    """One attempt at a closure.

    Attributes:
        transaction: its transaction, once it was begun.
    """

    def __init__(self) -> None:
        self.transaction: Transaction | None = None

    async def run(
        self,
        begin: Callable[[], AbstractAsyncContextManager[Transaction, None]],
        closure: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> T:
        """Run the closure in a transaction of its own."""
        async with begin() as transaction:
            self.transaction = transaction
            return await closure(transaction, *args, **kwargs)

    def told(self, error: Exception) -> Exception:
        """What became of the transaction: a closure may dress up what it was told, so its own word counts."""
        return (self.transaction.failure if self.transaction is not None else None) or error

    def lost(self, told: Exception) -> bool:
        """Whether COMMIT was sent for writes and has no answer."""
        sent = self.transaction is not None and self.transaction.may_have_committed
        return sent and isinstance(told, OutcomeUnknown)


async def repeat(
    begin: Callable[[], AbstractAsyncContextManager[Transaction, None]],
    closure: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    deadline: Deadline,
    retries: Retries,
    *,
    finds_itself_done: bool = False,
) -> T:
    """Run a closure in a transaction until it commits.

    No connection is held between two attempts.

    Args:
        begin: opens a transaction.
        closure: called with the transaction, ``args`` and ``kwargs``; it may run several times.
        args: its positional arguments.
        kwargs: its keyword arguments.
        deadline: after it the last error is raised.
        retries: what may still be repeated after a failure of the host; conflicts are not counted, because a server
            that reports one is well.
        finds_itself_done: the closure may run again after it has committed, so a COMMIT whose answer was lost does not
            matter.

    Returns:
        What the closure returned in the attempt that committed.
    """
    failures = 0
    while True:
        attempt: Attempt[T] = Attempt()
        try:
            return await attempt.run(begin, closure, args, kwargs)
        except Exception as error:
            told = attempt.told(error)
            if not (may_repeat(told) or (finds_itself_done and attempt.lost(told))):
                raise
            if deadline.passed or (isinstance(told, FailoverError) and not retries.may_retry()):
                raise
        failures += 1
        pause = TRANSACTION.delay(failures, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))
