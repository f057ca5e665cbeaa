"""How far the session has written: the position that its next read must see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import START, Position

if TYPE_CHECKING:
    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.tasks import TaskOwner

_CAPTURE_TIMEOUT = 1.0  # seconds for the one round trip that reads the position


class WritePosition:
    """Captures the writer's position after the caller has its answer, on the connection that wrote.

    One capture is under way at most. It covers every write acknowledged before it began, so under load many writes
    share one round trip.

    A server without positions (MySQL with ``gtid_mode`` off) is not asked again: after its first write, the session's
    reads go to the writer.

    Attributes:
        position: what the session's next read must see.
        is_known: whether that covers every write acknowledged so far; a plain attribute, because every call reads it.
    """

    def __init__(self, owner: TaskOwner) -> None:
        self._owner = owner
        self._acknowledged = 0
        self._captured = 0
        self._capturing = False
        self._progressed = asyncio.Event()
        self._untracked = False
        self.is_known = True
        self.position: Position = START

    def lost_track(self) -> None:
        """A write may have happened, and there is no connection to ask on: reads go to the writer until one asked."""
        self._acknowledged += 1
        self.is_known = False

    def wrote(self, lease: Lease) -> None:
        """A write was acknowledged on this connection; the position is read, then the connection goes back."""
        self._acknowledged += 1
        self.is_known = False
        self.capture(lease)

    def capture(self, lease: Lease) -> None:
        """Read the position on a connection to the writer, and give the connection back."""
        unusable = self._untracked or lease.connection.broken or lease.connection.interrupted
        if self._capturing or self.is_known or unusable:
            lease.give_back()
            return
        self._capturing = True
        task = self._owner.spawn(self._capture(lease), "capture position")
        # Not in a `finally` of the task: one that is cancelled before it began never gets there.
        task.add_done_callback(lambda ended: self._captured_on(lease, well=not ended.cancelled() and ended.result()))

    async def known(self, timeout: float) -> bool:
        """Wait until every write acknowledged by now is covered.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether ``position`` covers them; False means that only the writer can be asked.
        """
        wanted = self._acknowledged
        try:
            async with asyncio.timeout(timeout):
                while self._captured < wanted and self._capturing:
                    self._progressed.clear()
                    await self._progressed.wait()
        except TimeoutError:
            return False
        return self._captured >= wanted

    async def settled(self, cluster: Cluster, deadline: Deadline) -> Position | None:
        """What covers every write acknowledged by now, asked for if need be; None where the writer cannot tell.

        Raises:
            ConnectError: there was no writer to ask before the deadline.
        """
        if not await self.known(deadline.bounded(_CAPTURE_TIMEOUT)):
            self.capture(await cluster.acquire_writer(deadline))
            if not await self.known(deadline.bounded(_CAPTURE_TIMEOUT)):
                return None
        return self.position

    async def _capture(self, lease: Lease) -> bool:
        try:
            while not self.is_known:
                upto = self._acknowledged
                position = await lease.connection.written_position(_CAPTURE_TIMEOUT)
                if position is None:
                    self._untracked = True
                    return False
                self.position = self.position.merge(position)
                self._captured = max(self._captured, upto)
                self.is_known = self._captured == self._acknowledged
                self._progressed.set()
        except DriverError:
            lease.pool.suspect()  # the position stays unknown: reads go to the writer until a capture succeeds there
            return False
        return True

    def _captured_on(self, lease: Lease, *, well: bool) -> None:
        self._capturing = False
        self._progressed.set()
        if well:
            self.capture(lease)  # a write may have been acknowledged since; gives the connection back if none was
        else:
            lease.give_back()


class NoWritePosition(WritePosition):
    """Of a session that cannot write: nothing is ever captured, and its reads see whatever there is."""

    def lost_track(self) -> None:
        """Whatever was sent, nothing was written."""

    def wrote(self, lease: Lease) -> None:
        """Give the connection back."""
        lease.give_back()

    def capture(self, lease: Lease) -> None:
        """Give the connection back."""
        lease.give_back()
