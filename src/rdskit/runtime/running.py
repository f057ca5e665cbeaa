"""Look up the running task and the loop's clock without asyncio's Python frames, because every query does both."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 12):
    running_task: Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None] = asyncio.current_task
    """The task that runs in a loop; None where none does."""
else:
    # Before 3.12 ``current_task`` is Python code around this lookup, which is not in the stubs. Python 3.11 receives
    # security fixes only, so the private name is stable.
    running_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return a loop's clock: ``time.monotonic`` itself for asyncio's own loops, the loop's ``time`` for any other."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
