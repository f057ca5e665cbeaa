"""Tasks with an owner: each is referenced while it runs, and ends with the object that started it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class TaskOwner:
    """Hold the background tasks of one object and cancel them with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that this owner keeps referenced.

        An exception in the task goes to the loop's exception handler: it is a defect, never a result.
        """
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def join(self, timeout: float) -> None:
        """Wait until all tasks have ended by themselves.

        Args:
            timeout: seconds; tasks that still run then continue.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        while self._tasks:  # a task may spawn another one while it is being cancelled
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"background task failed: {task.get_name()}", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
