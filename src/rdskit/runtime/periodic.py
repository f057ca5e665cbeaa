"""Run work periodically, with an event that starts the next run early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def every(seconds: float, work: Callable[[], Coroutine[Any, Any, None]], wake: asyncio.Event) -> None:
    """Run ``work`` periodically, never twice at once, until cancelled.

    Args:
        seconds: pause between the end of one run and the start of the next.
        work: must handle its own expected errors; any exception ends the loop.
        wake: set by others to end a pause early; cleared before each run.
    """
    while True:
        wake.clear()  # before the run: an event that is set while it runs must cause another one
        await work()
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            continue
