"""Repeating a whole transaction."""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rdskit.client.transactions.policy import failure_of, may_repeat
from rdskit.errors import ConfigError, FailoverError, OutcomeUnknown, RdskitError
from rdskit.kernel.attempts import Attempts, explain
from rdskit.kernel.backoff import TRANSACTION
from rdskit.kernel.events import QueryRetried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.transaction import Transaction
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.observers import Observers
    from rdskit.runtime.retries import Retries

T = TypeVar("T")


class Call(NamedTuple):
    """What is repeated.

    Attributes:
        closure: called with the transaction, ``args`` and ``kwargs``; it may run several times.
        args: its positional arguments.
        kwargs: its keyword arguments.
        called: what errors and events call it; empty for its name in the source.
        finds_itself_done: the closure may run again after it has committed, so a COMMIT whose answer was lost does not
            matter.
    """

    closure: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - never written
    called: str = ""
    finds_itself_done: bool = False

    @property
    def name(self) -> str:
        """Return what errors and events call it; found out when that is needed."""
        return self.called or name_of(self.closure)

    def of(self, transaction: Transaction) -> Awaitable[Any]:
        """Call the closure.

        Raises:
            ConfigError: it returned nothing that can be awaited.
        """
        answer = self.closure(transaction, *self.args, **self.kwargs)
        if not inspect.isawaitable(answer):
            raise ConfigError(
                f"{self.name} returned {type(answer).__name__} and nothing to await: define it with `async def`, or "
                "give it to the run of rdskit.sync"
            )
        return answer


async def repeat(
    begin: Callable[[], AbstractAsyncContextManager[Transaction, None]],
    call: Call,
    deadline: Deadline,
    retries: Retries,
    observers: Observers | None = None,
) -> Any:
    """Run a closure in a transaction until it commits.

    No connection is held between two attempts.

    Args:
        begin: opens a transaction.
        call: what is run.
        deadline: after it the last error is raised.
        retries: what may still be repeated after a failure of the host; conflicts are not counted, because a server
            that reports one is well.
        observers: are notified of each repetition.

    Returns:
        What the closure returned in the attempt that committed.
    """
    attempts: Attempts | None = None
    while True:
        transaction: Transaction | None = None
        try:
            async with begin() as transaction:
                return await call.of(transaction)
        except Exception as error:
            attempts = attempts or Attempts()
            # A closure may wrap the error that it received, so the transaction's own word counts.
            told = (transaction.failure if transaction is not None else None) or error
            count = attempts.failed(told)
            reason = _reason_to_stop(told, transaction, call, deadline, retries)
            if reason is not None:
                _explain(error, told, attempts, call.name, reason)
                raise
        if observers:
            observers.notify(QueryRetried(call.name, failure_of(told).name, count))
        pause = TRANSACTION.delay(attempts.total, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))


def name_of(closure: Any) -> str:
    """Return what errors and events call a closure: its name in the source, also behind ``functools.partial``."""
    inner = inspect.unwrap(closure)
    inner = getattr(inner, "func", inner)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _reason_to_stop(
    told: Exception, transaction: Transaction | None, call: Call, deadline: Deadline, retries: Retries
) -> str | None:
    """Return why the closure does not run again; None if it does."""
    if deadline.passed:
        return f"its deadline of {deadline.budget:g} s has passed"
    if not (may_repeat(told) or (call.finds_itself_done and _is_lost(transaction, told))):
        return f"{type(told).__name__} is not repeated"
    if isinstance(told, FailoverError) and not retries.may_retry():
        return "too many calls fail, and the retry budget is spent"
    return None


def _explain(error: Exception, told: Exception, attempts: Attempts, name: str, reason: str) -> None:
    """Say in the final error what was repeated; a first attempt that may not be repeated speaks for itself."""
    if attempts.total == 1 and not may_repeat(told):
        return
    text = attempts.told(name, reason)
    if isinstance(error, RdskitError):
        explain(error, text)
    else:
        error.add_note(f"rdskit: {text}")


def _is_lost(transaction: Transaction | None, told: Exception) -> bool:
    """Return whether COMMIT was sent for writes and has no answer."""
    return transaction is not None and transaction.may_have_committed and isinstance(told, OutcomeUnknown)
