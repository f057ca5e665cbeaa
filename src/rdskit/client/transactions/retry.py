"""Retry a whole transaction until it commits."""

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
    """The closure to run in a transaction.

    Attributes:
        closure: called with the transaction, ``args`` and ``kwargs``; it may run several times.
        args: its positional arguments.
        kwargs: its keyword arguments.
        called: its name in errors and events; empty for its name in the source.
        is_idempotent: the closure may run again after it has committed. A COMMIT whose answer was lost is then simply
            retried.
    """

    closure: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - never written
    called: str = ""
    is_idempotent: bool = False

    @property
    def name(self) -> str:
        """Return its name in errors and events."""
        return self.called or name_of(self.closure)

    def of(self, transaction: Transaction) -> Awaitable[Any]:
        """Call the closure with a transaction.

        Raises:
            ConfigError: it returned an object that is not awaitable.
        """
        answer = self.closure(transaction, *self.args, **self.kwargs)
        if not inspect.isawaitable(answer):
            raise ConfigError(
                f"{self.name} returned {type(answer).__name__}, which cannot be awaited: define it with `async def`, "
                "or pass it to the run of rdskit.sync"
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
        call: the closure.
        deadline: after it the last error is raised.
        retries: budget for retries after a failure of the host. Conflicts do not count, because a server that reports
            one is healthy.
        observers: are notified of each retry.

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
            # The closure may have wrapped the error, or raised another one after it: the transaction's own decides.
            cause = (transaction.failure if transaction is not None else None) or error
            count = attempts.failed(cause)
            reason = _reason_to_stop(cause, transaction, call, deadline, retries)
            if reason is not None:
                _explain(error, cause, attempts, call.name, reason)
                raise
        if observers:
            observers.notify(QueryRetried(call.name, failure_of(cause).name, count))
        pause = TRANSACTION.delay(attempts.total, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))


def name_of(closure: Any) -> str:
    """Return a closure's name for errors and events: that in the source, also behind ``functools.partial``."""
    inner = inspect.unwrap(closure)
    inner = getattr(inner, "func", inner)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _reason_to_stop(
    cause: Exception, transaction: Transaction | None, call: Call, deadline: Deadline, retries: Retries
) -> str | None:
    """Return why the closure does not run again; None if it does."""
    if deadline.passed:
        return f"its deadline of {deadline.budget:g} s has passed"
    if not (may_repeat(cause) or (call.is_idempotent and _is_lost(transaction, cause))):
        return f"{type(cause).__name__} is not repeated"
    if isinstance(cause, FailoverError) and not retries.may_retry():
        return "too many calls fail, and the retry budget is spent"
    return None


def _explain(error: Exception, cause: Exception, attempts: Attempts, name: str, reason: str) -> None:
    """Add the attempts to the final error; skip it after a single attempt that could not be retried."""
    if attempts.total == 1 and not may_repeat(cause):
        return
    text = attempts.summary(name, reason)
    if isinstance(error, RdskitError):
        explain(error, text)
    else:
        error.add_note(f"rdskit: {text}")


def _is_lost(transaction: Transaction | None, cause: Exception) -> bool:
    """Return whether COMMIT was sent for writes and has no answer."""
    return transaction is not None and transaction.may_have_committed and isinstance(cause, OutcomeUnknown)
