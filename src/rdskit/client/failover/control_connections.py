"""Keep the cluster's own connections, on which it asks its hosts who the writer is and whether they answer."""

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
_CLOSE_TIMEOUT: Final = 1.0  # seconds for one connection's quit message


class ControlConnections:
    """Keeps at most one idle connection per host between two queries.

    So a query costs one round trip and no login while the cluster looks for the writer.

    Args:
        open_one: opens a connection to a host, whatever its role.
    """

    def __init__(self, open_one: Callable[[Endpoint], Awaitable[Connection]]) -> None:
        self._open_one = open_one
        self._idle: dict[Endpoint, Connection] = {}
        self._asking: dict[Endpoint, asyncio.Task[Any]] = {}
        self._tasks = TaskOwner("control connections")

    def begin(self, endpoint: Endpoint, asking: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Query a host in a task of its own, so that a caller that stops waiting does not abort the connection.

        Args:
            endpoint: the host; if a query to it is running, its task is returned.
            asking: sends the query with :meth:`ask`.
        """
        task = self._asking.get(endpoint)
        if task is None or task.done():
            task = self._asking[endpoint] = self._tasks.spawn(asking(), f"ask {endpoint}")
        return task

    async def ask(self, endpoint: Endpoint, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Send a query to a host.

        Args:
            endpoint: the host.
            question: sends the query on the connection that it gets.

        Raises:
            DriverError: the host cannot be reached, or refused the query.
        """
        # Taken out while in use: a monitor's probe and a topology query to the same host may overlap, and the second
        # one opens a connection of its own.
        connection = self._idle.pop(endpoint, None)
        if connection is None or connection.broken:
            connection = await self._open_one(endpoint)
        try:
            answer = await question(connection)
        except BaseException:
            connection.abort()  # otherwise the next query would get the rest of this one's answer
            raise
        if endpoint in self._idle:
            await connection.close(_CLOSE_TIMEOUT)
        else:
            self._idle[endpoint] = connection
        return answer

    def take_writer(self, endpoint: Endpoint) -> Connection | None:
        """Remove and return the connection to a host that has reported that it is the writer; None if there is none.

        A promoted server keeps its sessions, and they may write from then on. So the application's first write need not
        wait for a login.
        """
        connection = self._idle.get(endpoint)
        if connection is None or connection.broken or connection.role is not Role.WRITER:
            return None
        return self._idle.pop(endpoint)

    async def close(self) -> None:
        """Close all connections, also under running queries; the next query opens a new one."""
        self._asking.clear()
        await self._tasks.close()
        idle, self._idle = self._idle, {}
        try:
            await asyncio.gather(*(connection.close(_CLOSE_TIMEOUT) for connection in idle.values()))
        except BaseException:  # this call was cancelled: some connections have not begun to close
            for connection in idle.values():
                connection.abort()
            raise
