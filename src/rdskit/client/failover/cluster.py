"""The cluster as one client sees it: one task looks, everybody else uses what it found."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rdskit.client.credentials import pause_after_refusal
from rdskit.client.pool import Lease, Pool, PoolLimits, Retired
from rdskit.errors import AuthenticationError, NoWriterError, RdskitError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Connection, ConnectOptions, DriverError
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.periodic import every
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from ssl import SSLContext

    from rdskit.client.failover.sources import Source
    from rdskit.kernel.ports import Credentials, Driver
    from rdskit.runtime.deadlines import Deadline

_LOOK_EVERY = 30.0  # seconds between two looks at the API while all is well; each costs one call an instance
_LOOK_AGAIN = 1.0  # seconds between two looks after a failure
_CLOSE_TIMEOUT = 2.0  # seconds for a connection that turned out to be of no use
_log = logging.getLogger("rdskit.failover")


class Access:
    """What it takes to open a connection to any host of a cluster."""

    def __init__(
        self,
        driver: Driver,
        credentials: Credentials,
        *,
        database: str | None,
        tls: SSLContext | None,
        connect_timeout: float,
        application_name: str,
    ) -> None:
        self.driver = driver
        self.credentials = credentials
        self.credentials_rotate = bool(getattr(credentials, "rotates", False))
        self.database = database
        self.tls = tls
        self.connect_timeout = connect_timeout
        self.application_name = application_name

    async def open(self, host: Host) -> Connection:
        """Open a connection and verify that the host has the role that the topology says.

        A login that is refused is tried again as long as the credentials have something else to offer. Those that
        rotate are asked again for as long as one attempt to connect may take: in the middle of a rotation neither the
        old nor the new password may be the right one.
        """
        loop = asyncio.get_running_loop()
        started, refusals = loop.time(), 0
        login = await self.credentials.login(host.endpoint)
        while True:
            try:
                return await self._verified(await self.driver.connect(self._options(host), login), host)
            except DriverError as error:
                if not isinstance(error.public, AuthenticationError):
                    raise
                refusals += 1
                pause = pause_after_refusal(refusals, loop.time() - started, self.connect_timeout)
                refused, login = login, await self.credentials.login(host.endpoint, refused=login)
                if pause is None or (login == refused and not self.credentials_rotate):
                    raise
            await asyncio.sleep(pause)

    def _options(self, host: Host) -> ConnectOptions:
        return ConnectOptions(host.endpoint, self.database, self.tls, self.connect_timeout, self.application_name)

    async def _verified(self, connection: Connection, host: Host) -> Connection:
        if host.role is Role.WRITER and connection.role is not Role.WRITER:
            await connection.close(_CLOSE_TIMEOUT)
            message = (
                f"{host.endpoint} answers as a replica: the failover is not complete, or its name still leads astray"
            )
            raise DriverError(Failure.LOST, NoWriterError(message))
        return connection


class Cluster:
    """Keeps the topology, the pools, and the failure epoch of one cluster.

    Attributes:
        writer: the pool of the writer.
        readers: the pools of the readers, by identifier.
        topology: what was found last.
    """

    def __init__(self, source: Source, access: Access, limits: PoolLimits, *, readers: bool) -> None:
        self._source = source
        self._access = access
        self._limits = limits
        self._wants_readers = readers
        self._tasks = TaskOwner("cluster")
        self._wake = asyncio.Event()
        self._pools: dict[Host, Pool] = {}
        self.topology = Topology(())
        self.writer: Pool
        self.readers: dict[str, Pool] = {}
        self.failures = 0

    async def start(self, deadline: Deadline) -> None:
        """Find the hosts and prove that the writer can be used.

        Raises:
            RdskitError: the topology cannot be told, or the writer cannot be reached before the deadline.
        """
        self._adopt(await self._source.topology())
        (await self.writer.acquire(deadline)).give_back()
        if self._source.changes:
            self._tasks.spawn(every(_LOOK_EVERY, self._look, self._wake), "topology")

    async def acquire_writer(self, deadline: Deadline) -> Lease:
        """Lend a connection to the writer, wherever it is by then."""
        while True:
            try:
                return await self.writer.acquire(deadline)
            except Retired:
                if deadline.passed:
                    raise NoWriterError("the writer moved, and no connection to it was made in time") from None

    def report(self, failure: Failure) -> None:
        """Tell what a call learned of the writer, so that others do not have to learn it again."""
        if failure in {Failure.LOST, Failure.UNWELL}:
            self.writer.suspect()
        elif failure is Failure.READ_ONLY:
            self.writer.retire()
        else:
            return
        self._writer_failed()

    async def close(self) -> None:
        """Close every pool and end every task."""
        await self._tasks.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def _look(self) -> None:
        try:
            self._adopt(await self._source.topology())
        except RdskitError as error:
            _log.warning("the topology could not be read, the last one stays in use: %s", error)
            await asyncio.sleep(_LOOK_AGAIN)
            self._wake.set()

    def _adopt(self, topology: Topology) -> None:
        """Make pools for hosts that are new and close those of hosts that are gone or have another role."""
        hosts = topology.hosts if self._wants_readers else tuple(h for h in topology.hosts if h.role is Role.WRITER)
        for host in hosts:
            if self._known(host) is None:
                self._pools[host] = self._pool_for(host)
        for host in [known for known in self._pools if not any(_same(known, host) for host in hosts)]:
            self._tasks.spawn(self._pools.pop(host).close(), f"close pool of {host.identifier}")
        self.topology = topology
        self.readers = {host.identifier: pool for host, pool in self._pools.items() if host.role is Role.READER}
        self.writer = (
            next((pool for host, pool in self._pools.items() if host.role is Role.WRITER), None) or self.writer
        )

    def _known(self, host: Host) -> Pool | None:
        return next((pool for known, pool in self._pools.items() if _same(known, host)), None)

    def _pool_for(self, host: Host) -> Pool:
        if host.role is Role.WRITER:
            return Pool(host.endpoint, lambda: self._access.open(host), self._limits, on_failure=self._writer_failed)
        return Pool(host.endpoint, lambda: self._access.open(host), self._limits)

    def _writer_failed(self) -> None:
        """A connection to the writer was lost, under a call or while it was idle: there may be another writer now."""
        self.failures += 1
        self._wake.set()


def _same(one: Host, other: Host) -> bool:
    """Whether two hosts are the same for a pool: the zone of a Multi-AZ instance changes, its endpoint does not."""
    return one.endpoint == other.endpoint and one.role is other.role
