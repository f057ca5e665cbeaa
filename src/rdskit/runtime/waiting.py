"""Waiting strategies for synchronous code: block the thread, or switch from a greenlet to the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rdskit.kernel.typing import override
from rdskit.runtime.background import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Waiting(Protocol):
    """Strategy by which the caller of a blocking function waits."""

    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine that ``begin`` returns on rdskit's own event loop, and return its result."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        ...


class ThreadWaiting(Waiting):
    """Block the calling thread only."""

    @override
    def run(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return wait(begin())

    @override
    def pause(self, seconds: float) -> None:
        time.sleep(seconds)
