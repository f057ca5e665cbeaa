"""The cluster as one client sees it: one task looks, everybody else uses what it found."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING

from rdskit.client.failover.epochs import Epochs
from rdskit.client.failover.health import next_look
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

_REACH_EVERY = 0.5  # seconds between two attempts to reach a lost writer for those who only follow it
_LOOK_EVERY = 30.0  # seconds between two looks at the API while all is well; each costs one call an instance
_SETTLES = 3.0  # seconds that whoever asks for the topology waits for what is being looked up
_PATIENCE = 600.0  # seconds that calls may go on where their host has become known by another name
_CLOSE_TIMEOUT = 2.0  # seconds for a connection that turned out to be of no use
_log = logging.getLogger("rdskit.failover")


class Cluster:
    """Keeps the topology, the pools, and the failure epoch of one cluster.

    Attributes:
        writer: the pool of the writer; of the entry where there is none to be had.
        readers: the pools of the readers, by identifier.
        routes_reads: whether reads may go elsewhere than to the writer; a plain attribute, as every call reads it.
        topology: what was found last.
        failures: signs so far that the writer failed.
        retries: what all calls may still repeat.
        observers: who hears of what happens.
        epochs: the current epoch, and those who follow it.
        access: what it takes to open a connection.
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
        """Make a cluster of which nothing is known yet.

        Args:
            source: finds the hosts.
            access: opens connections.
            limits: of each pool.
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
        self._told_lost = False
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
        self._monitor = HostMonitor(self, access.lines)

    async def start(self, deadline: Deadline) -> None:
        """Find the hosts and prove that the writer can be used.

        Raises:
            RdskitError: the topology cannot be told, or the writer cannot be reached before the deadline.
        """
        self._adopt(await self._source.topology())
        self._use_line()
        self._tasks.spawn(self._monitor.watch(), "monitor the writer")
        if self._source.changes:  # before the writer has answered: a host that was away may turn out to be a reader
            self._tasks.spawn(every(_LOOK_EVERY, self._look, self._wake), "topology")
        (await self.acquire_writer(deadline)).give_back()
        if not self.epochs.current.number:
            self.epochs.begin(self.writer.endpoint)

    async def acquire_writer(self, deadline: Deadline, scope: Scope = NO_SCOPE) -> Lease:
        """Check out a connection to the writer, wherever it is by then.

        Args:
            deadline: when waiting ends.
            scope: the tenant, role and schema that its session is to be set up for.

        Raises:
            ConnectError: there was none before the deadline.
            ConfigError: the database was closed meanwhile.
        """
        while True:
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
        """Whether it has a writer for this client, which may have come by a reader endpoint."""
        return self.topology.entry is None

    async def settled(self) -> Topology:
        """The topology; where more is being looked up, that is waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLES):
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
        """Open a connection to the writer that belongs to no pool; the caller closes it.

        Raises:
            DriverError: the host refused, or is not the writer.
            RdskitError: the credentials could not give a login.
        """
        return self.access.open(self._writer_host, self.observers)

    @property
    def _writer_host(self) -> Host:
        return self.topology.writer or Host(str(self.writer.endpoint), self.writer.endpoint, Role.READER)

    @property
    def is_stateless(self) -> bool:
        """Whether sessions on the writer keep nothing that a proxy would have to pin."""
        return self.access.is_stateless(self.writer.endpoint)

    def report(self, failure: Failure) -> None:
        """Tell what a call learned of the writer, so that others do not have to learn it again.

        Of a connection that was lost its pool tells, when it is given back: this writer's may be another one by then.
        """
        if failure is Failure.READ_ONLY:
            self.writer.retire()
            if self.takes_writes:
                self._writer_failed()

    def doubt(self) -> None:
        """Hear that the writer is late with an answer: see whether another one writes."""
        self._wake.set()

    def silenced(self) -> None:
        """Hear that the writer does not answer: no connection to it is lent before it does, or another one writes."""
        self.writer.suspect()
        if self.takes_writes:
            self._writer_failed()

    def lost(self, endpoint: Endpoint) -> None:
        """Take note that a connection was lost which belongs to no pool."""
        self._writer_failed(endpoint)

    def heard(self) -> None:
        """Hear that the writer answers again."""
        self._writer_reached(self.writer.endpoint)

    async def close(self) -> None:
        """Close every pool and end every task."""
        self._closed = True
        self.epochs.close()
        await self._tasks.close()
        pools = (*self._pools.values(), *self._leaving)
        await asyncio.gather(self.access.lines.close(), *(pool.close() for pool in pools))

    async def _look(self) -> None:
        before, was_provisional = self.writer, self.topology.provisional
        try:
            self._adopt(await self._source.topology())
        except RdskitError as error:
            _log.warning("the topology could not be read, the last one stays in use: %s", error)
        else:
            if self.writer is not before and self.takes_writes and not was_provisional:
                self._writer_moved(before)
            self._use_line()
            if self._lost_at is None and not self._monitor.in_doubt and not self.topology.provisional:
                self._wake.clear()  # whatever asked for this look, or for another one meanwhile, is answered
                await self.access.lines.close()
                return
        await asyncio.sleep(next_look(self._source.look_again, self._away))
        self._wake.set()

    @property
    def _away(self) -> float | None:
        """Seconds for which the writer has been away; None where it is not."""
        return None if self._lost_at is None else asyncio.get_running_loop().time() - self._lost_at

    def _adopt(self, topology: Topology) -> None:
        """Make pools for hosts that are new and close those of hosts that are gone or have another role."""
        entry = topology.entry
        hosts = topology.hosts if self._wants_readers else tuple(h for h in topology.hosts if h.role is Role.WRITER)
        if entry is not None:
            hosts, self._lost_at = (*hosts, entry), None  # there is no writer to wait for
        for host in hosts:
            if self._known(host) is None:
                self._pools[host] = self._pool_for(host, self._pace(host, topology), read_only=host == entry)
        for host in [known for known in self._pools if not any(_same(known, host) for host in hosts)]:
            self._leave(self._pools.pop(host))
        self.topology = topology
        self.readers = {
            host.identifier: pool for host, pool in self._pools.items() if host.role is Role.READER and host != entry
        }
        self.routes_reads = bool(self.readers) or entry is not None
        writer = topology.writer or entry
        self.writer = (writer and self._known(writer)) or self.writer
        self._adopted.set()
        self._adopted = asyncio.Event()

    def _use_line(self) -> None:
        """Write on the line on which the writer has said that it is one: that needs no login."""
        line = self.access.lines.take_writer(self.writer.endpoint) if self.writer.is_empty else None
        if line is not None:
            self.writer.admit(line, self.writer.generation)

    def _leave(self, pool: Pool) -> None:
        """Close the pool of a host that is used no more.

        Calls under way are cut soon, as they may wait for a host that is gone; at once where it was silent already.
        Only where the host has become known by another name they go on: nothing happened to it.
        """
        patience = _PATIENCE if self.topology.provisional else _CLOSE_TIMEOUT
        if pool is self.writer and self._monitor.in_doubt:
            patience = 0.0
        self._leaving.add(pool)
        self._tasks.spawn(self._close_in_time(pool, patience), f"close pool of {pool.endpoint}")

    async def _close_in_time(self, pool: Pool, patience: float) -> None:
        await pool.close(patience)
        self._leaving.discard(pool)  # not if it was cancelled: then whoever closes the cluster closes the pool too

    def _known(self, host: Host) -> Pool | None:
        return next((pool for known, pool in self._pools.items() if _same(known, host)), None)

    def _pace(self, host: Host, topology: Topology) -> OutageBackoff:
        """How often a host that is away is asked for a connection."""
        if host.role is Role.READER:
            return CONNECT_READER
        others_tell = len(topology.hosts) > 1 and self._source.look_again < CONNECT_AMONG_OTHERS.floor
        return CONNECT_AMONG_OTHERS if others_tell else CONNECT

    def _pool_for(self, host: Host, pace: OutageBackoff, *, read_only: bool) -> Pool:
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
        """A connection to the writer was lost, under a call or while it was idle: there may be another writer now."""
        if endpoint in {None, self.writer.endpoint}:
            self.writer.suspect()  # the idle ones may be as dead: a write sent on such a one would end as unknown
            self._lose(self.writer)
            self._wake.set()

    def _writer_unreached(self, endpoint: Endpoint) -> None:
        """A connection to the writer could not be opened, as may be where what was told of it is out of date."""
        if endpoint == self.writer.endpoint and self.takes_writes:
            self._lost_at = self._lost_at or asyncio.get_running_loop().time()
            self._wake.set()

    def _writer_moved(self, before: Pool) -> None:
        """Another host is said to write: it is looked for until it has been reached."""
        self._lost_at = self._lost_at or self._monitor.silent_since
        self._lose(before)

    def _lose(self, writer: Pool) -> None:
        self.failures += 1
        self._lost_at = self._lost_at or asyncio.get_running_loop().time()
        if self.epochs.are_followed and (self._return is None or self._return.done()):
            self._return = self._tasks.spawn(self._await_writer(), "reach the writer for those who follow it")
        if not self._told_lost:
            self._told_lost = True
            if self.observers:
                self.observers.notify(FailoverStarted(str(writer.endpoint)))

    async def _await_writer(self) -> None:
        """Reach the writer again: without calls nothing else would."""
        while self._lost_at is not None and not self._closed:
            try:
                (await self.acquire_writer(Deadline.after(None))).give_back()
            except RdskitError as error:
                _log.info("the writer is not there yet: %s", error)
            await asyncio.sleep(_REACH_EVERY)

    def _writer_reached(self, endpoint: Endpoint) -> None:
        if self._lost_at is None or endpoint != self.writer.endpoint:
            return
        lost_at, self._lost_at = self._lost_at, None
        told, self._told_lost = self._told_lost, False
        if told:
            self.epochs.begin(endpoint)
        if told and self.observers:
            seconds = asyncio.get_running_loop().time() - lost_at
            self.observers.notify(FailoverCompleted(str(endpoint), seconds))


def _same(one: Host, other: Host) -> bool:
    """Whether two hosts are the same for a pool: the zone of a Multi-AZ instance changes, its endpoint does not."""
    return one.endpoint == other.endpoint and one.role is other.role
