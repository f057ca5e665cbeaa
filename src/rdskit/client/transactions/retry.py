"""Doing a whole transaction again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.transactions.policy import may_repeat
from rdskit.errors import FailoverError
from rdskit.kernel.backoff import TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.transaction import Transaction
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.retries import Retries

T = TypeVar("T")


async def repeat(
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    closure: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    deadline: Deadline,
    retries: Retries,
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

    Returns:
        What the closure returned in the attempt that committed.
    """
    attempt = 0
    while True:
        transaction: Transaction | None = None
        try:
            async with begin() as transaction:
                result = await closure(transaction, *args, **kwargs)
        except Exception as error:
            # A closure may dress up what the transaction told it; the transaction's own word decides.
            told = transaction.failure if transaction is not None and transaction.failure is not None else error
            if not may_repeat(told) or deadline.passed:
                raise
            if isinstance(told, FailoverError) and not retries.may_retry():
                raise
        else:
            return result
        attempt += 1
        pause = TRANSACTION.delay(attempt, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))
