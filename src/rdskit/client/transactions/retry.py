"""Doing a whole transaction again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rdskit.client.transactions.policy import may_repeat
from rdskit.errors import FailoverError, OutcomeUnknown, RdskitError
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
        results: what the closure returned, once it did.
    """

    def __init__(self) -> None:
        self.transaction: Transaction | None = None
        self.results: list[T] = []

    async def run(
        self,
        begin: Callable[[], AbstractAsyncContextManager[Transaction]],
        closure: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> T:
        """Run the closure in a transaction of its own."""
        async with begin() as transaction:
            self.transaction = transaction
            self.results.append(await closure(transaction, *args, **kwargs))
        return self.results[0]

    def told(self, error: Exception) -> Exception:
        """What became of the transaction: a closure may dress up what it was told, so its own word counts."""
        return (self.transaction.failure if self.transaction is not None else None) or error

    def lost(self, told: Exception) -> Transaction | None:
        """Its transaction, if COMMIT was sent for writes and has no answer."""
        transaction = self.transaction
        if transaction is None or not transaction.may_have_committed or not isinstance(told, OutcomeUnknown):
            return None
        return transaction


async def repeat(
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    closure: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    deadline: Deadline,
    retries: Retries,
    committed: Callable[[Transaction], Awaitable[bool | None] | None],
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
        committed: finds out whether a transaction took effect whose COMMIT was lost; the answer None says that it does
            not matter, because the closure itself finds it done. Where nothing can be found out there is nothing to
            await, and the caller is told that the outcome is unknown.

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
            transaction = attempt.lost(told)
            asked = None if transaction is None else committed(transaction)
            if asked is not None and transaction is not None:
                took_effect = await _resolved(transaction, told, asked)
                if took_effect:
                    return attempt.results[0]
                if took_effect is False:
                    told = FailoverError(f"{told}; it did not happen, as was found out afterwards")
            elif not may_repeat(told):
                raise
            if deadline.passed or (isinstance(told, FailoverError) and not retries.may_retry()):
                raise _last(told, error) from error.__cause__
        failures += 1
        pause = TRANSACTION.delay(failures, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))


async def _resolved(transaction: Transaction, told: Exception, asked: Awaitable[bool | None]) -> bool | None:
    try:
        took_effect = await asked
    except RdskitError as error:
        raise OutcomeUnknown(f"{told}; and it could not be found out in time: {error}") from error
    if took_effect:
        await transaction.callbacks.run()
    return took_effect


def _last(told: Exception, error: Exception) -> Exception:
    """What is raised when it is not tried again: the closure's own error, unless more was found out since."""
    return told if isinstance(error, OutcomeUnknown) else error
