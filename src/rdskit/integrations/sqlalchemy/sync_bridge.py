"""Waiting of code below SQLAlchemy: it looks synchronous, and runs in a thread or in a greenlet of an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only

from rdskit.kernel.typing import override
from rdskit.runtime.background import wait
from rdskit.runtime.waiting import ThreadWaiting, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy.engine import Dialect


T = TypeVar("T")


class GreenletWaiting(Waiting):
    """Wait in a greenlet under ``AsyncEngine``, without blocking the caller's event loop.

    Credentials and topology still belong to rdskit's own loop. An engine may be used on several loops in turn, and they
    share a login that is being fetched.
    """

    @override
    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await_only(asyncio.to_thread(lambda: wait(begin())))

    @override
    def pause(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))


def waiting_for(dialect: Dialect) -> Waiting:
    """Return the waiting strategy for connections of this dialect."""
    return GreenletWaiting() if dialect.is_async else ThreadWaiting()
