"""Keep the connection on which a database listens: open it for the first receiver, replace it when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from rdskit.client.notifications.inbox import Inbox, mark
from rdskit.errors import ConfigError, ConnectError, RdskitError
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Connection, DriverError, Notifying

if TYPE_CHECKING:
    from rdskit.client.failover import Cluster
    from rdskit.kernel.notifications import Notification
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.tasks import TaskOwner

_PING_EVERY = 5.0  # seconds between two pings of an idle connection
_TIMEOUT = 2.0  # seconds for a ping, LISTEN and UNLISTEN
_CLOSE_TIMEOUT = 1.0  # seconds for the quit message
_log = logging.getLogger("rdskit.notifications")


class Receiver:
    """A caller of ``db.listen``, with its channels and messages.

    Attributes:
        channels: their names.
        inbox: the messages that have arrived.
        ready: done when the server sends the channels' messages; holds the error if it cannot.
        missed: the connection was lost after ``ready``, so messages may be missing.
    """

    def __init__(self, channels: frozenset[str], limit: int) -> None:
        self.channels = channels
        self.inbox = Inbox(limit)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.missed = False

    def listens(self) -> None:
        """Note that the server now sends the messages of all its channels, after LISTEN was answered."""
        if not self.ready.done():
            self.ready.set_result(None)
        elif self.missed:
            for channel in sorted(self.channels):
                self.inbox.put(mark(channel))
        self.missed = False

    def refuse(self, error: Exception) -> None:
        """Raise the error in the caller that waits for the receiver to become ready."""
        if not self.ready.done():
            self.ready.set_exception(error)


class Hub:
    """Listens for all receivers of a database on one connection outside the pool."""

    def __init__(self, cluster: Cluster, owner: TaskOwner) -> None:
        """Create a hub without a connection.

        Args:
            cluster: the cluster whose writer sends the notifications.
            owner: owns the task that keeps the connection.
        """
        self._cluster = cluster
        self._owner = owner
        self._receivers: list[Receiver] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def add(self, channels: frozenset[str], limit: int, deadline: Deadline) -> Receiver:
        """Return a receiver once the server sends the messages of its channels.

        Args:
            channels: their names.
            limit: messages that may wait for it.
            deadline: for the connection and LISTEN.

        Raises:
            ConfigError: the engine has no LISTEN.
            RdskitError: no connection could be made before the deadline, or the server refused it.
        """
        if not self._cluster.capabilities.notifications:
            raise ConfigError(
                "this engine has no LISTEN and NOTIFY, which are PostgreSQL's: poll a table, or use the outbox"
            )
        receiver = Receiver(channels, limit)
        # Add the receiver before waking the task, which reads the list at once.
        self._receivers.append(receiver)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = self._owner.spawn(self._keep_connected(), "listen")
        try:
            async with asyncio.timeout_at(deadline.at):
                await receiver.ready
        except TimeoutError:
            self.remove(receiver)
            reason = self._error or "the writer was not reached"
            raise ConnectError(f"LISTEN was not answered before the deadline: {reason}") from self._error
        except BaseException:
            self.remove(receiver)
            raise
        return receiver

    def remove(self, receiver: Receiver) -> None:
        """Stop delivering to a receiver; may be called twice."""
        receiver.inbox.end()
        if receiver in self._receivers:
            self._receivers.remove(receiver)
            self._wake.set()

    async def _keep_connected(self) -> None:
        """Keep a connection while there are receivers."""
        away_since = asyncio.get_running_loop().time()
        forget = self._cluster.epochs.on_change(self._wake.set)
        try:
            while self._receivers:
                try:
                    connection = await self._cluster.open_writer()
                except (DriverError, RdskitError) as error:
                    self._note(error)
                    away = asyncio.get_running_loop().time() - away_since
                    await asyncio.sleep(CONNECT.delay(away, random.random()))  # noqa: S311 - jitter, not a secret
                    continue
                await self._use(connection)
                away_since = asyncio.get_running_loop().time()
        finally:
            forget()
            for receiver in self._receivers:  # the database is being closed
                receiver.inbox.end()

    async def _use(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except DriverError as error:
            self._note(error)
        finally:
            if connection.broken:
                self._cluster.lost(connection.endpoint)
            for receiver in self._receivers:
                receiver.missed = receiver.ready.done()  # a receiver that was never ready has missed nothing
            await connection.close(_CLOSE_TIMEOUT)

    async def _serve(self, connection: Connection) -> None:
        """Listen until the connection has ended, another host writes, or there are no receivers."""
        assert isinstance(connection, Notifying), connection
        connection.on_end(self._wake.set)
        listened: set[str] = set()
        epoch = self._cluster.epochs.current
        while self._receivers and not connection.broken:
            # Clear before reading the state: a change during one of the awaits below sets the event again.
            self._wake.clear()
            if self._cluster.epochs.current != epoch:
                epoch = self._cluster.epochs.current
                if epoch.writer != connection.endpoint:
                    return
                await connection.ping(_TIMEOUT)  # it may lead to the former writer, which may be dead
            await self._match_channels(connection, listened)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PING_EVERY):
                    await self._wake.wait()
                continue
            await connection.ping(_TIMEOUT)

    async def _match_channels(self, connection: Notifying, listened: set[str]) -> None:
        """Send LISTEN and UNLISTEN until the connection listens to the receivers' channels only."""
        wanted = frozenset().union(*(receiver.channels for receiver in self._receivers))
        for channel in sorted(wanted - listened):
            await connection.listen(channel, self._receive, _TIMEOUT)
            listened.add(channel)
        for channel in sorted(listened - wanted):
            await connection.unlisten(channel, _TIMEOUT)
            listened.discard(channel)
        # Only now: a receiver is ready when the server has answered LISTEN for all its channels.
        for receiver in self._receivers:
            if receiver.channels <= listened:
                receiver.listens()

    def _receive(self, note: Notification) -> None:
        for receiver in self._receivers:
            if note.channel in receiver.channels and receiver.ready.done():
                receiver.inbox.put(note)

    def _note(self, error: DriverError | RdskitError) -> None:
        """Keep an error for waiting callers; raise it in them at once if a retry cannot help."""
        public = error.public if isinstance(error, DriverError) else error
        self._error = public
        _log.info("listening was interrupted: %s", public)
        self._cluster.doubt()
        if not (isinstance(error, DriverError) and error.failure is Failure.LOST):
            for receiver in self._receivers:
                receiver.refuse(public)
