"""A unit of work that is done again as a whole after a conflict or a failover."""

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
    """Call ``work(session, *args, **kwargs)`` and commit; again, in a new session, where nothing of it remained.

    That is so after a serialization failure, a deadlock, a connection that was lost before COMMIT was sent, and a write
    that a former writer refused. A connection lost during COMMIT is raised: the work may have been done (``error_of``
    says ``OutcomeUnknown``).

    Args:
        session_factory: a ``sessionmaker``, of an engine of rdskit's.
        work: it may run several times: what it does outside the database, it does as often.
        args: its positional arguments after the session.
        kwargs: its keyword arguments.
        timeout: seconds after which the last error is raised.

    Returns:
        What ``work`` returned in the attempt that was committed.
    """
    patience = _Patience(timeout)
    while True:
        try:
            with session_factory() as session:
                result = work(session, *args, **kwargs or {})
                session.commit()
        except Exception as error:
            pause = patience.pause_after(error)
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
    """Await ``work(session, *args, **kwargs)`` and commit; everything else is as with ``run``."""
    patience = _Patience(timeout)
    while True:
        try:
            async with session_factory() as session:
                result = await work(session, *args, **kwargs or {})
                await session.commit()
        except Exception as error:
            pause = patience.pause_after(error)
            if pause is None:
                raise
        else:
            return result
        await asyncio.sleep(pause)


class _Patience:
    """How often and how long a unit of work is tried."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self._attempts = 0

    def pause_after(self, error: Exception) -> float | None:
        """Seconds to wait before the next attempt; None if there is to be none."""
        left = self._end - time.monotonic()
        if left <= 0 or not _left_nothing(error):
            return None
        self._attempts += 1
        return min(left, TRANSACTION.delay(self._attempts, random.random()))  # noqa: S311 - jitter, not a secret


def _left_nothing(error: BaseException) -> bool:
    """Whether the unit of work left nothing behind: what the database told decides, however ``work`` dressed it up."""
    seen: BaseException | None = error
    while seen is not None:
        told = error_of(seen)
        if told is not None:
            return may_repeat(told) or (isinstance(told, ReadOnlyError) and _ended_connection(seen))
        seen = seen.__cause__ or seen.__context__
    return False


def _ended_connection(error: BaseException) -> bool:
    """Return whether the host itself was given up; a transaction that somebody made read-only keeps its connection."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
