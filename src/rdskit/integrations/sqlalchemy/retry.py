"""Retry a unit of work as a whole after a conflict or a failover."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from rdskit.client.api import may_repeat
from rdskit.errors import ReadOnlyError
from rdskit.integrations.sqlalchemy.driver_errors import error_of
from rdskit.kernel.backoff import TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

T = TypeVar("T")


def run(
    session_factory: Callable[[], Session],
    work: Callable[..., T],
    *,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    timeout: float = 30.0,
) -> T:
    """Call ``work(session, *args, **kwargs)`` and commit; retry in a new session if nothing of it remained.

    That is certain after a serialization failure, a deadlock, a connection lost before COMMIT was sent, and a write
    that a former writer refused. A connection lost during COMMIT is raised, because the work may have taken effect
    (``error_of`` returns an ``OutcomeUnknown``).

    Args:
        session_factory: a ``sessionmaker`` with an engine of rdskit's.
        work: may run several times, so its effects outside of the database may repeat.
        args: its positional arguments after the session.
        kwargs: its keyword arguments.
        timeout: seconds after which the last error is raised.

    Returns:
        The return value of ``work`` in the committed attempt.
    """
    limit = _RetryLimit(timeout)
    while True:
        try:
            with session_factory() as session:
                result = work(session, *args, **kwargs or {})
                session.commit()
        except Exception as error:
            pause = limit.pause_after(error)
            if pause is None:
                raise
        else:
            return result
        time.sleep(pause)


async def run_async(
    session_factory: Callable[[], AsyncSession],
    work: Callable[..., Awaitable[T]],
    *,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    timeout: float = 30.0,
) -> T:
    """Await ``work(session, *args, **kwargs)`` and commit; otherwise like ``run``."""
    limit = _RetryLimit(timeout)
    while True:
        try:
            async with session_factory() as session:
                result = await work(session, *args, **kwargs or {})
                await session.commit()
        except Exception as error:
            pause = limit.pause_after(error)
            if pause is None:
                raise
        else:
            return result
        await asyncio.sleep(pause)


class _RetryLimit:
    """Limit the attempts of a unit of work by time."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self._attempts = 0

    def pause_after(self, error: Exception) -> float | None:
        """Return the seconds to wait before the next attempt; None if there is none."""
        left = self._end - time.monotonic()
        if left <= 0 or not _left_nothing(error):
            return None
        self._attempts += 1
        return min(left, TRANSACTION.delay(self._attempts, random.random()))  # noqa: S311 - jitter, not a secret


def _left_nothing(error: BaseException) -> bool:
    """Return whether the unit of work left nothing behind.

    The database's own error decides, however ``work`` has wrapped it.
    """
    seen: BaseException | None = error
    while seen is not None:
        public = error_of(seen)
        if public is not None:
            return may_repeat(public) or (isinstance(public, ReadOnlyError) and _invalidated_connection(seen))
        seen = seen.__cause__ or seen.__context__
    return False


def _invalidated_connection(error: BaseException) -> bool:
    """Return whether the host itself was the cause; a read-only transaction keeps its connection."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
