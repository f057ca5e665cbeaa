"""Waiting for what another process does: asked again and again until a deadline, never slept for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAUSE = 0.01  # seconds between two questions


async def eventually(question: Callable[[], Awaitable[object]], seconds: float = 60.0) -> object:
    """Ask until the answer is true, and give it."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await question()
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s"
        await asyncio.sleep(PAUSE)
