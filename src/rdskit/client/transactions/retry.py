"""Doing a whole transaction again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

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
        transaction: Transaction | None = None
        try:
            async with begin() as transaction:
                return await closure(transaction, *args, **kwargs)
        except Exception as error:
            # A closure may dress up what it was told, so the transaction's own word counts.
            told = (transaction.failure if transaction is not None else None) or error
            if not (may_repeat(told) or (finds_itself_done and _is_lost(transaction, told))):
                raise
            if deadline.passed or (isinstance(told, FailoverError) and not retries.may_retry()):
                raise
        failures += 1
        pause = TRANSACTION.delay(failures, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))


def _is_lost(transaction: Transaction | None, told: Exception) -> bool:
    """Whether COMMIT was sent for writes and has no answer."""
    return transaction is not None and transaction.may_have_committed and isinstance(told, OutcomeUnknown)
