"""Connections that are nobody's but the cluster's own: on them it asks its hosts who writes and whether they live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rdskit.kernel.topology import Role
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection

T = TypeVar("T")
_CLOSE_TIMEOUT: Final = 1.0  # seconds for one connection to say goodbye


class ControlConnections:
    """At most one connection a host, kept from one question to the next.

    So a question costs one round trip and no login while the writer is looked for, or does not answer.

    Args:
        open_one: opens a connection to a host, whatever its role.
    """

    def __init__(self, open_one: Callable[[Endpoint], Awaitable[Connection]]) -> None:
        self._open_one = open_one
        self._idle: dict[Endpoint, Connection] = {}
        self._asking: dict[Endpoint, asyncio.Task[Any]] = {}
        self._tasks = TaskOwner("lines")

    def begin(self, endpoint: Endpoint, asking: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Ask a host in a task of its own: who waits for it no longer does not break its line.

        Args:
            endpoint: the host; while it is being asked, what is under way is given instead.
            asking: puts the question, by :meth:`ask`.
        """
        task = self._asking.get(endpoint)
        if task is None or task.done():
            task = self._asking[endpoint] = self._tasks.spawn(asking(), f"ask {endpoint}")
        return task

    async def ask(self, endpoint: Endpoint, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Put a question to a host.

        Args:
            endpoint: the host.
            question: is given the connection.

        Raises:
            DriverError: the host cannot be reached, or refused the question.
        """
        line = self._idle.pop(endpoint, None)
        if line is None or line.broken:
            line = await self._open_one(endpoint)
        try:
            answer = await question(line)
        except BaseException:
            line.abort()  # given up in the middle of an answer, which the next question would be given
            raise
        if endpoint in self._idle:
            await line.close(_CLOSE_TIMEOUT)
        else:
            self._idle[endpoint] = line
        return answer

    def take_writer(self, endpoint: Endpoint) -> Connection | None:
        """Give away the connection to a host that has said on it that it takes writes; None where there is none.

        A server that is promoted keeps its sessions, which may write from then on: the first of an application's
        writes need not wait for a login.
        """
        line = self._idle.get(endpoint)
        if line is None or line.broken or line.role is not Role.WRITER:
            return None
        return self._idle.pop(endpoint)

    async def close(self) -> None:
        """Close all, under questions too; the next question opens its own."""
        self._asking.clear()
        await self._tasks.close()
        idle, self._idle = self._idle, {}
        try:
            await asyncio.gather(*(line.close(_CLOSE_TIMEOUT) for line in idle.values()))
        except BaseException:  # whoever closes was cancelled, and a goodbye that had not begun never will
            for line in idle.values():
                line.abort()
            raise
