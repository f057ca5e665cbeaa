"""Track how far a session has written: the position that its next read must see."""

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
    """Reads the writer's position after the caller has its answer, on the connection that wrote.

    At most one capture runs at a time. It covers every write acknowledged before it began, so under load many writes
    share one round trip.

    A server without positions (MySQL with ``gtid_mode`` off) is asked once only. After its first write, the session's
    reads then go to the writer.

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
        """Note a write of unknown outcome without a connection to query: reads go to the writer until a capture."""
        self._acknowledged += 1
        self.is_known = False

    def wrote(self, lease: Lease) -> None:
        """Note an acknowledged write, read the position on its connection, and check the connection in."""
        self._acknowledged += 1
        self.is_known = False
        self.capture(lease)

    def capture(self, lease: Lease) -> None:
        """Start to read the position on a connection to the writer, and check the connection in afterwards."""
        unusable = self._untracked or lease.connection.broken or lease.connection.interrupted
        if self._capturing or self.is_known or unusable:
            lease.give_back()
            return
        self._capturing = True
        task = self._owner.spawn(self._capture(lease), "capture position")
        # A callback, not a `finally` in the task: a task that is cancelled before its first step never reaches it.
        task.add_done_callback(lambda ended: self._finish_capture(lease, well=not ended.cancelled() and ended.result()))

    async def known(self, timeout: float) -> bool:
        """Wait until the position covers every write acknowledged by now.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether ``position`` covers them; if not, the read must go to the writer.
        """
        # Writes acknowledged while this waits are no concern of this read.
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
        """Return a position that covers every write acknowledged by now, captured if needed; None if unknown.

        Raises:
            ConnectError: there was no connection to the writer before the deadline.
        """
        if not await self.known(deadline.bounded(_CAPTURE_TIMEOUT)):
            self.capture(await cluster.acquire_writer(deadline))
            if not await self.known(deadline.bounded(_CAPTURE_TIMEOUT)):
                return None
        return self.position

    async def _capture(self, lease: Lease) -> bool:
        try:
            while not self.is_known:
                upto = self._acknowledged  # before the query: a write acknowledged during it may not be covered
                position = await lease.connection.written_position(_CAPTURE_TIMEOUT)
                if position is None:
                    self._untracked = True
                    return False
                self.position = self.position.merge(position)
                self._captured = max(self._captured, upto)
                self.is_known = self._captured == self._acknowledged
                self._progressed.set()
        except DriverError:
            lease.pool.suspect()  # the position stays unknown: reads go to the writer until a capture succeeds
            return False
        return True

    def _finish_capture(self, lease: Lease, *, well: bool) -> None:
        self._capturing = False
        self._progressed.set()
        if well:
            self.capture(lease)  # a write may have been acknowledged since; if not, this checks the connection in
        else:
            lease.give_back()


class NoWritePosition(WritePosition):
    """The position of a session that cannot write: it captures nothing, and its reads need not wait."""

    def lost_track(self) -> None:
        """Do nothing: no write can have happened."""

    def wrote(self, lease: Lease) -> None:
        """Check the connection in."""
        lease.give_back()

    def capture(self, lease: Lease) -> None:
        """Check the connection in."""
        lease.give_back()
