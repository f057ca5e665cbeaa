"""Define the database object that an application uses."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rdskit.client.database.context import session_context
from rdskit.client.database.executor import writer_is_elsewhere
from rdskit.client.database.held import held
from rdskit.client.database.queries import DEFAULT
from rdskit.client.database.session import Session
from rdskit.client.database.status import Health, HostHealth, Stats
from rdskit.client.notifications import Listening
from rdskit.client.pool import Retired
from rdskit.errors import ConfigError, ConnectError
from rdskit.kernel.arguments import require_seconds, require_text, require_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.database.context import SessionContext
    from rdskit.client.database.held import HeldConnection
    from rdskit.client.pool import Lease
    from rdskit.kernel.topology import Topology
    from rdskit.runtime.deadlines import Deadline

_HEALTH_TIMEOUT = 2.0  # seconds for one host's health check


class Database(Session):
    """A cluster with its pools, as returned by ``rdskit.connect``; many tasks of one event loop may share it.

    All methods that use the server take ``timeout=``: seconds for the whole call, including retries and the wait for a
    connection; None for no limit. Parameters are keywords, or one mapping as second argument.
    """

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._context = context
        self._shared = context.shared
        self._readers = context.shared.readers

    @contextlib.asynccontextmanager
    async def session(self, *, after: str | None = None) -> AsyncIterator[Session]:
        """Narrow "read your writes" to one user or one request: ``async with db.session() as s``.

        Reads through the session wait for its own writes only, and not for those of the whole application. So readers
        can serve more of them. A session uses the connections of the database, and is cheap to open.

        Args:
            after: a ``token()``; all reads of the session also see the writes that it covers.

        Raises:
            ConfigError: the token's signature is wrong, or it is of another cluster.
            StaleReadError: it has expired, and this database leads to readers only.
        """
        self._require_open()
        written = self._shared.nothing_written()
        seen = self._tokens.read(after)
        if seen is None and not self._cluster.takes_writes:
            raise writer_is_elsewhere(self._cluster.writer.endpoint)
        # A position that cannot be compared (expired, or of another history) sends the session's reads to the writer.
        if seen is None or not (self._readers is None or self._readers.can_tell(seen)):
            written.lost_track()
        else:
            written.position = seen
        session = Session(session_context(self._shared, written))
        try:
            yield session
        finally:
            await session.close()

    @property
    def context(self) -> SessionContext:
        """The context of this object, for other packages of rdskit by way of ``rdskit.client.api``."""
        return self._context

    # -- sessions of the server ------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def connection(
        self, host: str | None = None, *, timeout: float | None = DEFAULT
    ) -> AsyncIterator[HeldConnection]:
        """Hold one connection for the length of the block: ``async with db.connection() as c``.

        Use it for the state of a server session: SET, temporary tables, CREATE INDEX CONCURRENTLY. At the end of the
        block, the session is reset and the connection goes back to the pool.

        Args:
            host: the identifier of a reader, as ``topology()`` gives it; None for the writer.
            timeout: seconds to wait for the connection; calls on it have the timeout of ``connect``.

        Raises:
            ConfigError: there is no such reader.
            ConnectError: there was no connection before the deadline.
        """
        self._require_open()
        require_text("host", host, or_none=True, example="orders-replica-1")
        deadline = self._limit(timeout)
        async with held(await self._lease(host, deadline), self._transactions) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def connections(self, *, timeout: float | None = DEFAULT) -> AsyncIterator[dict[str, HeldConnection]]:
        """Hold one connection to each host for the length of the block: to the writer, and to each reader.

        Args:
            timeout: seconds to wait for all of them.

        Yields:
            The connections by the hosts' identifiers; the writer's comes first.

        Raises:
            ConnectError: a host gave no connection before the deadline.
        """
        self._require_open()
        deadline = self._limit(timeout)
        topology = await self._cluster.settled()
        writer = topology.writer or topology.entry
        name = writer.identifier if writer else str(self._cluster.writer.endpoint)
        async with contextlib.AsyncExitStack() as stack:
            found: dict[str, HeldConnection] = {}
            for host in (None, *self._cluster.readers):
                lease = await self._lease(host, deadline)
                found[host or name] = await stack.enter_async_context(held(lease, self._transactions))
            yield found

    async def _lease(self, host: str | None, deadline: Deadline) -> Lease:
        scope = self._transactions.scope
        if host is None:
            return await self._cluster.acquire_writer(deadline, scope)
        pool = self._cluster.readers.get(host)
        if pool is None:
            known = ", ".join(self._cluster.readers) or "none"
            raise ConfigError(f"{host!r} is not a reader of {self._name}; its readers are: {known}")
        try:
            return await pool.acquire(deadline, scope)
        except Retired:
            raise ConnectError(f"the reader {host!r} left the cluster: call topology() again") from None

    def listen(self, *channels: str, queue: int = 1000, timeout: float | None = DEFAULT) -> Listening:
        """Listen to channels of NOTIFY: ``async for note in db.listen("jobs")``; PostgreSQL only.

        It continues after failovers. All listeners of the database share one connection outside the pool. Messages sent
        while there is no connection are lost: once the server is connected again, each channel gets a message with
        ``missed=True``. Such a message also replaces those that did not fit into a slow receiver's queue. The loop ends
        when the database is closed.

        Args:
            channels: their names, in exact spelling.
            queue: messages that may wait for this receiver.
            timeout: seconds until the server must have answered LISTEN.

        Raises:
            ConfigError: the engine has no LISTEN, or no channel is given.
            ConnectError: the writer could not be reached before the deadline.
        """
        self._require_open()
        for channel in channels:
            require_text("channel", channel, example="jobs")
        if not all(channels) or not channels:
            raise ConfigError("listen() needs the name of a channel: db.listen('jobs')")
        require_whole("queue", queue, least=1)
        limit = self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout)
        return Listening(self._shared.hub, frozenset(channels), queue, limit)

    # -- what it is and how it does --------------------------------------------------------------------------------

    async def topology(self) -> Topology:
        """Return the last known hosts of the cluster; just after connecting, wait until they have been looked up."""
        self._require_open()
        return await self._cluster.settled()

    def stats(self) -> Stats:
        """Return counters and sizes of every pool, and the reads that each reader has served."""
        served = {reader.identifier: reader.served for reader in self._readers.known()} if self._readers else {}
        return Stats(
            writer=self._cluster.writer.stats(),
            readers={name: pool.stats() for name, pool in self._cluster.readers.items()},
            reads_by_reader=served,
            reads_sent_to_writer=self._readers.sent_to_writer if self._readers else 0,
            failures=self._cluster.failures,
            retries_left=self._cluster.retries.budget.retries_left,
        )

    async def health(self) -> Health:
        """Ping every host; a host that does not answer is part of the result, and raises no error."""
        self._require_open()
        writer, *readers = await asyncio.gather(
            HostHealth.of("writer" if self._cluster.takes_writes else "entry", self._cluster.writer, _HEALTH_TIMEOUT),
            *(HostHealth.of(name, pool, _HEALTH_TIMEOUT) for name, pool in self._cluster.readers.items()),
        )
        return Health(writer=writer, readers=tuple(readers))

    async def close(self) -> None:
        """Close all connections; running calls get two seconds to end. May be called twice."""
        if self._refusal is None:
            self._refusal = f"the database {self._name} is closed; open it again with rdskit.connect"
            # Background tasks first: they would try to reconnect through a closing cluster.
            await self._shared.owner.close()
            await self._cluster.close()


class View(Database):
    """A database in another scope or with a router; it shares the pools, and closing it does not close them."""

    async def close(self) -> None:
        """End the view; the database stays open."""
        self._refusal = self._refusal or f"this view of {self._name} has ended; create another one of the database"
