"""How code below SQLAlchemy waits: it looks synchronous, and runs in a thread or in a greenlet of an event loop."""

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
    """Under ``AsyncEngine``: the caller's event loop goes on.

    Credentials and topology belong to rdskit's own loop even so: an engine may be used on several loops one after the
    other, and a login that is being fetched serves all of them.
    """

    @override
    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await_only(asyncio.to_thread(lambda: wait(begin())))

    @override
    def pause(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))


def waiting_for(dialect: Dialect) -> Waiting:
    """How connections of this dialect wait."""
    return GreenletWaiting() if dialect.is_async else ThreadWaiting()
