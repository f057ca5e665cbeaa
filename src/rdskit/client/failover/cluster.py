"""Keep one client's view of a cluster: one task refreshes the topology, and all calls use the last result."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING

from rdskit.client.failover.epochs import Epochs
from rdskit.client.failover.health import refresh_delay
from rdskit.client.failover.monitor import HostMonitor
from rdskit.client.pool import Lease, Pool, PoolLimits, Retired, Standings
from rdskit.errors import ConfigError, NoWriterError, RdskitError
from rdskit.kernel.backoff import CONNECT, CONNECT_AMONG_OTHERS, CONNECT_READER
from rdskit.kernel.budget import budget_for
from rdskit.kernel.events import FailoverCompleted, FailoverStarted
from rdskit.kernel.failures import Failure
from rdskit.kernel.scope import NO_SCOPE, Scope
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import NO_OBSERVERS, Observers
from rdskit.runtime.periodic import every
from rdskit.runtime.retries import Retries
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from rdskit.client.failover.access import Access
    from rdskit.client.failover.sources import Source
    from rdskit.kernel.backoff import OutageBackoff
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.pipelining import Pipeline
    from rdskit.kernel.ports import Capabilities, Connection

_REACH_EVERY = 0.5  # seconds between two attempts to reach a lost writer on behalf of followers of the epoch
_REFRESH_EVERY = 30.0  # seconds between two refreshes while all is well; each costs one API call per instance
_SETTLE_TIMEOUT = 3.0  # seconds that `settled` waits for a topology that is being looked up
_RENAMED_TIMEOUT = 600.0  # seconds for running calls on a host that is now known by another name
_CLOSE_TIMEOUT = 2.0  # seconds for running calls on a host that left the cluster
_log = logging.getLogger("rdskit.failover")


class Cluster:
    """Keeps the topology, the pools, and the failure epoch of one cluster.

    Attributes:
        writer: the pool of the writer; for a reader endpoint, the pool of that endpoint.
        readers: the pools of the readers, by identifier.
        routes_reads: whether reads may go to another host than the writer; a plain attribute, as every call reads it.
        topology: the last topology found.
        failures: number of writer failures noticed so far.
        retries: the retry budget of all calls.
        observers: are notified of failovers and connections.
        epochs: the current epoch and its followers.
        access: opens connections.
    """

    def __init__(
        self,
        source: Source,
        access: Access,
        limits: PoolLimits,
        *,
        readers: bool,
        observers: Observers = NO_OBSERVERS,
        after_reset: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """Create a cluster without any host; ``start`` finds them.

        Args:
            source: finds the hosts.
            access: opens connections.
            limits: limits of each pool.
            readers: whether readers get pools of their own.
            observers: functions that receive the events.
            after_reset: called by each pool with a connection whose session was reset.
        """
        self._source = source
        self.access = access
        self._limits = limits
        self._wants_readers = readers
        self._after_reset = after_reset
        self._tasks = TaskOwner("cluster")
        self._wake = asyncio.Event()
        self._adopted = asyncio.Event()
        self._closed = False
        self._lost_at: float | None = None
        self._loss_reported = False
        self._return: asyncio.Task[None] | None = None
        self._pools: dict[Host, Pool] = {}
        self._standings = Standings()
        self._leaving: set[Pool] = set()
        self.topology = Topology(())
        self.writer: Pool
        self.epochs = Epochs()
        self.readers: dict[str, Pool] = {}
        self.routes_reads = False
        self.failures = 0
        self.retries = Retries(budget_for(limits.max_size))
        self.observers = observers
        self._monitor = HostMonitor(self, access.control_connections)

    async def start(self, deadline: Deadline) -> None:
        """Find the hosts, and check that the writer accepts a connection.

        Raises:
            RdskitError: the topology cannot be read, or the writer cannot be reached before the deadline.
        """
        self._adopt(await self._source.topology())
        self._adopt_control_connection()
        self._tasks.spawn(self._monitor.watch(), "monitor the writer")
        # Start the refresh before waiting for the writer: a host that was unreachable may turn out to be a reader, and
        # only the next refresh can find the writer then.
        if self._source.changes:
            self._tasks.spawn(every(_REFRESH_EVERY, self._refresh, self._wake), "topology")
        (await self.acquire_writer(deadline)).give_back()
        if not self.epochs.current.number:
            self.epochs.begin(self.writer.endpoint)

    async def acquire_writer(self, deadline: Deadline, scope: Scope = NO_SCOPE) -> Lease:
        """Check out a connection to the current writer, following it if it moves while the caller waits.

        Args:
            deadline: when waiting ends.
            scope: the tenant, role and schema that its session is to be set up for.

        Raises:
            ConnectError: there was none before the deadline.
            ConfigError: the database was closed in the meantime.
        """
        while True:
            # Take the event before the pool: a topology adopted while the caller waits sets exactly this event.
            adopted = self._adopted
            try:
                return await self.writer.acquire(deadline, scope)
            except Retired:
                if self._closed:
                    raise ConfigError("the database was closed while a call waited for a connection") from None
            try:
                async with asyncio.timeout_at(deadline.at):
                    await adopted.wait()
            except TimeoutError:
                raise NoWriterError("the writer moved, and no connection to it was made in time") from None

    @property
    def takes_writes(self) -> bool:
        """Whether this client may write; a client that connected by a reader endpoint may not."""
        return self.topology.entry is None

    async def settled(self) -> Topology:
        """Return the topology; if it is provisional, wait a moment for the complete one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_TIMEOUT):
                while self.topology.provisional:
                    await self._adopted.wait()
        return self.topology

    @property
    def capabilities(self) -> Capabilities:
        """What connections to the cluster can do."""
        return self.access.driver.capabilities

    @property
    def pipelines(self) -> bool:
        """Return whether reads on its hosts may be pipelined."""
        return self.access.pipelines(self.writer.endpoint)

    def open_writer(self) -> Coroutine[Any, Any, Connection]:
        """Open a connection to the writer outside the pool; the caller closes it.

        Raises:
            DriverError: the host refused the connection, or is not the writer.
            RdskitError: the credentials gave no login.
        """
        return self.access.open(self._writer_host, self.observers)

    @property
    def _writer_host(self) -> Host:
        return self.topology.writer or Host(str(self.writer.endpoint), self.writer.endpoint, Role.READER)

    @property
    def is_stateless(self) -> bool:
        """Whether sessions on the writer must hold no state, so that RDS Proxy does not pin them."""
        return self.access.is_stateless(self.writer.endpoint)

    def report(self, failure: Failure) -> None:
        """Report a call's failure at the writer, so that other calls do not run into it.

        Lost connections are not reported here: their pool reports them at check-in. Only the pool knows its host, and
        ``writer`` may be another one by now.
        """
        if failure is Failure.READ_ONLY:
            self.writer.retire()
            if self.takes_writes:
                self._writer_failed()

    def doubt(self) -> None:
        """Note that the writer is late with an answer, and refresh the topology."""
        self._wake.set()

    def silenced(self) -> None:
        """Note that the writer does not answer: ping connections before their next use, and look for another writer."""
        self.writer.suspect()
        if self.takes_writes:
            self._writer_failed()

    def lost(self, endpoint: Endpoint) -> None:
        """Note that a connection outside the pools was lost."""
        self._writer_failed(endpoint)

    def heard(self) -> None:
        """Note that the writer answers again."""
        self._writer_reached(self.writer.endpoint)

    async def close(self) -> None:
        """Close every pool and end every task."""
        self._closed = True
        self.epochs.close()
        await self._tasks.close()
        pools = (*self._pools.values(), *self._leaving)
        await asyncio.gather(self.access.control_connections.close(), *(pool.close() for pool in pools))

    async def _refresh(self) -> None:
        before, was_provisional = self.writer, self.topology.provisional
        try:
            self._adopt(await self._source.topology())
        except RdskitError as error:
            _log.warning("the topology could not be read; the last one stays in use: %s", error)
        else:
            if self.writer is not before and self.takes_writes and not was_provisional:
                self._writer_moved(before)
            self._adopt_control_connection()
            if self._lost_at is None and not self._monitor.in_doubt and not self.topology.provisional:
                self._wake.clear()  # this answers all requests, also those made during the refresh
                await self.access.control_connections.close()
                return
        await asyncio.sleep(refresh_delay(self._source.refresh_interval, self._away))
        self._wake.set()

    @property
    def _away(self) -> float | None:
        """Seconds since the writer was lost; None while it is reachable."""
        return None if self._lost_at is None else asyncio.get_running_loop().time() - self._lost_at

    def _adopt(self, topology: Topology) -> None:
        """Create pools for new hosts, and close those of hosts that left or changed their role."""
        entry = topology.entry
        hosts = topology.hosts if self._wants_readers else tuple(h for h in topology.hosts if h.role is Role.WRITER)
        if entry is not None:
            hosts, self._lost_at = (*hosts, entry), None  # there is no writer to wait for
        for host in hosts:
            if self._pool_of(host) is None:
                self._pools[host] = self._create_pool(
                    host, self._reconnect_pace(host, topology), read_only=host == entry
                )
        for host in [known for known in self._pools if not any(_is_same_host(known, host) for host in hosts)]:
            self._retire_pool(self._pools.pop(host))
        self.topology = topology
        # A new dictionary each time: `Readers` notices a change by its identity.
        self.readers = {
            host.identifier: pool for host, pool in self._pools.items() if host.role is Role.READER and host != entry
        }
        self.routes_reads = bool(self.readers) or entry is not None
        writer = topology.writer or entry
        self.writer = (writer and self._pool_of(writer)) or self.writer
        # Wake the callers that wait for a writer, and give the next ones a new event.
        self._adopted.set()
        self._adopted = asyncio.Event()

    def _adopt_control_connection(self) -> None:
        """Move the control connection on which the writer reported its role into its pool, to save a login."""
        connection = self.access.control_connections.take_writer(self.writer.endpoint) if self.writer.is_empty else None
        if connection is not None:
            self.writer.admit(connection, self.writer.generation)

    def _retire_pool(self, pool: Pool) -> None:
        """Close the pool of a host that left or changed its role.

        Running calls are aborted after two seconds, because they may wait for a dead host; at once if the host was
        silent before. If the host merely became known by another name, running calls may finish.
        """
        timeout = _RENAMED_TIMEOUT if self.topology.provisional else _CLOSE_TIMEOUT
        if pool is self.writer and self._monitor.in_doubt:
            timeout = 0.0
        self._leaving.add(pool)
        self._tasks.spawn(self._close_in_time(pool, timeout), f"close pool of {pool.endpoint}")

    async def _close_in_time(self, pool: Pool, timeout: float) -> None:
        await pool.close(timeout)
        self._leaving.discard(pool)  # not reached if `close` of the cluster cancels this task: it closes the pool then

    def _pool_of(self, host: Host) -> Pool | None:
        return next((pool for known, pool in self._pools.items() if _is_same_host(known, host)), None)

    def _reconnect_pace(self, host: Host, topology: Topology) -> OutageBackoff:
        """Return the delays between attempts to connect to an unreachable host."""
        if host.role is Role.READER:
            return CONNECT_READER
        # Where the other hosts report a new writer quickly, the old one need not be tried as often.
        others_tell = len(topology.hosts) > 1 and self._source.refresh_interval < CONNECT_AMONG_OTHERS.floor
        return CONNECT_AMONG_OTHERS if others_tell else CONNECT

    def _create_pool(self, host: Host, pace: OutageBackoff, *, read_only: bool) -> Pool:
        def open_one() -> Coroutine[Any, Any, Connection]:
            return self.access.open(host, self.observers, read_only=read_only)

        def open_pipeline() -> Coroutine[Any, Any, Pipeline]:
            return self.access.open_pipeline(host, read_only=read_only)

        limits = dataclasses.replace(self._limits, resets=not self.access.is_stateless(host.endpoint))
        pipelines = open_pipeline if limits.max_size > 1 and self.access.pipelines(host.endpoint) else None
        if host.role is Role.READER:
            return Pool(
                host.endpoint,
                open_one,
                limits,
                after_reset=self._after_reset,
                pace=pace,
                observers=self.observers,
                open_pipeline=pipelines,
                standings=self._standings,
            )
        return Pool(
            host.endpoint,
            open_one,
            limits,
            on_failure=lambda: self._writer_failed(host.endpoint),
            on_reached=lambda: self._writer_reached(host.endpoint),
            on_unreached=lambda: self._writer_unreached(host.endpoint),
            after_reset=self._after_reset,
            pace=pace,
            observers=self.observers,
            open_pipeline=pipelines,
            standings=self._standings,
        )

    def _writer_failed(self, endpoint: Endpoint | None = None) -> None:
        """Note a lost connection to the writer, and refresh the topology: there may be another writer now."""
        if endpoint in {None, self.writer.endpoint}:
            # The idle connections may be dead too: a write that is sent on one would end with an unknown outcome.
            self.writer.suspect()
            self._note_loss(self.writer)
            self._wake.set()

    def _writer_unreached(self, endpoint: Endpoint) -> None:
        """Note a failed connection attempt to the writer, and refresh the topology, which may be out of date."""
        # No `_note_loss` here: a failed attempt alone loses no connection, so it starts no failover.
        if endpoint == self.writer.endpoint and self.takes_writes:
            self._lost_at = self._lost_at or asyncio.get_running_loop().time()
            self._wake.set()

    def _writer_moved(self, before: Pool) -> None:
        """Note that the topology names another writer; the failover lasts until that one has been reached."""
        self._lost_at = self._lost_at or self._monitor.silent_since
        self._note_loss(before)

    def _note_loss(self, writer: Pool) -> None:
        self.failures += 1
        self._lost_at = self._lost_at or asyncio.get_running_loop().time()
        if self.epochs.are_followed and (self._return is None or self._return.done()):
            self._return = self._tasks.spawn(self._await_writer(), "reach the writer for those who follow it")
        if not self._loss_reported:
            self._loss_reported = True
            if self.observers:
                self.observers.notify(FailoverStarted(str(writer.endpoint)))

    async def _await_writer(self) -> None:
        """Connect to the writer for the followers of the epoch: without calls, no one else would."""
        while self._lost_at is not None and not self._closed:
            try:
                (await self.acquire_writer(Deadline.after(None))).give_back()
            except RdskitError as error:
                _log.info("the writer is not reachable yet: %s", error)
            await asyncio.sleep(_REACH_EVERY)

    def _writer_reached(self, endpoint: Endpoint) -> None:
        if self._lost_at is None or endpoint != self.writer.endpoint:
            return
        lost_at, self._lost_at = self._lost_at, None
        reported, self._loss_reported = self._loss_reported, False
        if reported:
            self.epochs.begin(endpoint)
        if reported and self.observers:
            seconds = asyncio.get_running_loop().time() - lost_at
            self.observers.notify(FailoverCompleted(str(endpoint), seconds))


def _is_same_host(one: Host, other: Host) -> bool:
    """Return whether two hosts share a pool; a Multi-AZ failover changes a host's zone, but not its endpoint."""
    return one.endpoint == other.endpoint and one.role is other.role
