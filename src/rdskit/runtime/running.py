"""What every query asks of its event loop, without the Python frames that asyncio has in between."""

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
    # Written in Python there, around this one lookup; not in the stubs. 3.11 changes no more but for security.
    running_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A loop's clock. asyncio's own loops are on ``time.monotonic``; any other is asked itself."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
