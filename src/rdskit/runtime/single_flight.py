"""Share one running load among all concurrent callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rdskit.runtime.tasks import TaskOwner

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Run one load at a time for all its waiters; cancelling a waiter does not cancel the load."""

    def __init__(self, owner: TaskOwner, name: str) -> None:
        self._owner = owner
        self._name = name
        self._flight: asyncio.Task[T] | None = None

    async def run(self, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Join the running load, or start one, and return its result."""
        if self._flight is None or self._flight.done():
            self._flight = self._owner.spawn(_load_or_failure(load), self._name)
        answer: T = await _result(self._flight)
        return answer


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


async def _load_or_failure(load: Callable[[], Coroutine[Any, Any, T]]) -> Any:
    # The waiters raise the error. The task itself returns, so that its owner does not report the error a second time.
    try:
        return await load()
    except Exception as error:  # noqa: BLE001 - carried to every waiter
        return _Failed(error)


async def _result(flight: asyncio.Task[Any]) -> Any:
    outcome = await asyncio.shield(flight)
    if isinstance(outcome, _Failed):
        raise outcome.error
    return outcome
