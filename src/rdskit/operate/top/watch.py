"""Watch one cluster through a client of its own, so that it sees what an application with rdskit sees."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final, Self

from rdskit.client.api import Cluster, Options, PoolLimits, resolve
from rdskit.errors import AuthenticationError, ConnectError, TLSError
from rdskit.kernel.events import FailoverCompleted, FailoverStarted
from rdskit.kernel.topology import Role, Topology
from rdskit.operate.top.host import WatchedHost
from rdskit.operate.top.journal import Journal
from rdskit.operate.top.model import Frame
from rdskit.operate.top.policy import changes, ordered
from rdskit.operate.top.rds_api import RdsApi
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import Observers
from rdskit.runtime.periodic import every
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Any

    from rdskit.client.api import Pool, Resolved
    from rdskit.kernel.events import Event
    from rdskit.kernel.topology import Host
    from rdskit.operate.top.model import HostView

_FOLLOW_EVERY: Final = 0.1  # seconds between two comparisons with the client's topology, which is in memory
_ASK_API_EVERY: Final = 5.0  # seconds
_HURRY: Final = 0.2  # seconds between two polls while there is no writer
_log = logging.getLogger("rdskit")


class Watch:
    """Poll every host of a cluster. Created by ``watching``; used by ``async with``.

    Args:
        resolved: the cluster.
        limits: the limits of each host's pool.
        interval: seconds between two polls of a host.
        journal: receives the entries.
        owner: the owner of the tasks.

    Attributes:
        changed: set when a change should be shown at once.
        interval: may be changed at any time.
    """

    def __init__(
        self, resolved: Resolved, limits: PoolLimits, interval: float, journal: Journal, owner: TaskOwner
    ) -> None:
        self.changed = journal.changed
        self.interval = interval
        self._resolved = resolved
        self._journal = journal
        self._rds_api = RdsApi(journal)
        observers = Observers([journal.observe, self._observe])
        self._cluster = Cluster(resolved.source, resolved.access, limits, readers=True, observers=observers)
        self._tasks = owner
        self._hosts: dict[str, WatchedHost] = {}
        self._polling: dict[str, asyncio.Task[Any]] = {}
        self._topology = Topology(())
        self._failing_since: float | None = None
        self._ask_api = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect and start polling.

        Raises:
            RdskitError: the target cannot be used. A cluster whose writer is lost can still be watched.
        """
        try:
            await self._connect()
        except BaseException:
            await self._close()
            raise
        await self._cluster.settled()
        self._follow()
        self._tasks.spawn(every(_FOLLOW_EVERY, self._follow_on, asyncio.Event()), "follow the topology")
        self._tasks.spawn(every(_ASK_API_EVERY, self._poll_api, self._ask_api), "ask the API")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections and end the tasks."""
        await self._close()

    async def compared(self) -> Frame:
        """Return a frame with rates, once every host was polled twice, successfully or not."""
        looks = (self._rds_api.looked.wait(), *(host.compared() for host in self._hosts.values()))
        with contextlib.suppress(TimeoutError):  # a host that has left in the meantime is not polled any more
            async with asyncio.timeout(2 * self._connect_timeout + self.interval):
                await asyncio.gather(*looks)
        return self.frame()

    def frame(self) -> Frame:
        """Return the current data for one screen."""
        hosts = [self._view(watched) for watched in self._hosts.values()]
        return Frame(
            time.time(),
            str(self._resolved.target),
            self._resolved.engine.value,
            self.interval,
            tuple(ordered(hosts, "role")),
            self._failing_since,
            self._cluster.retries.budget.retries_left,
            self._notes(),
            self._journal.entries,
        )

    # -- connecting ------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            await self._start()
        except (AuthenticationError, TLSError):
            raise
        except ConnectError as error:
            if not self._cluster.topology.readers:
                raise
            self._failing_since = time.time()
            self._journal.note(self._cluster.topology.hosts[0].identifier, f"there is no writer yet: {error}")
            self._tasks.spawn(self._start_anyway(), "wait for the writer")

    async def _start(self) -> None:
        await self._cluster.start(Deadline.after(self._connect_timeout))

    async def _start_anyway(self) -> None:
        while True:
            try:
                await self._start()
            except ConnectError:
                await asyncio.sleep(_HURRY)
            else:
                self._failing_since = None
                return

    @property
    def _connect_timeout(self) -> float:
        return self._resolved.access.connect_timeout

    async def _close(self) -> None:
        await self._tasks.close()
        await self._cluster.close()

    # -- following -------------------------------------------------------------------------------------------------

    async def _follow_on(self) -> None:
        self._follow()

    def _follow(self) -> None:
        """Poll the hosts of the client's current topology, and stop polling others."""
        topology = self._cluster.topology
        if topology is self._topology:
            return
        if self._topology.hosts and not self._topology.provisional:
            for entry in changes(self._topology, topology, time.time()):
                self._journal.add(entry)
        self._topology = topology
        hosts = topology.hosts or ((topology.entry,) if topology.entry else ())
        for gone in self._hosts.keys() - {host.identifier for host in hosts}:
            self._polling.pop(gone).cancel()
            del self._hosts[gone]
        pools = {pool.endpoint: pool for pool in (*self._cluster.readers.values(), self._cluster.writer)}
        self._journal.names |= {str(host.endpoint): host.identifier for host in hosts}
        for host in hosts:
            self._watch(host, pools[host.endpoint])
        self._ask_api.set()

    def _watch(self, host: Host, pool: Pool) -> None:
        watched = self._hosts.get(host.identifier)
        if watched is None:
            watched = self._hosts[host.identifier] = WatchedHost(host, pool, self._resolved.engine, self._journal)
            self._polling[host.identifier] = self._tasks.spawn(self._poll_host(watched), f"look at {host.identifier}")
            return
        watched.update(host, pool)

    async def _poll_host(self, watched: WatchedHost) -> None:
        while True:
            watched.wake.clear()
            error = await watched.poll()
            if error is not None and watched.host.role is Role.WRITER:
                self._cluster.report(error.failure)
            self.changed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.interval if self._failing_since is None else _HURRY):
                    await watched.wake.wait()

    async def _poll_api(self) -> None:
        await self._rds_api.poll(self._topology.hosts, self._resolved.source.cluster)
        self.changed.set()

    def _observe(self, event: Event) -> None:
        if isinstance(event, FailoverStarted):
            self._failing_since = time.time()
            for watched in self._hosts.values():
                if str(watched.host.endpoint) == event.writer:
                    watched.lost("its connections were lost")
        elif isinstance(event, FailoverCompleted):
            self._failing_since = None
        else:
            return
        for watched in self._hosts.values():
            watched.wake.set()
        self._ask_api.set()

    # -- showing ---------------------------------------------------------------------------------------------------

    def _view(self, watched: WatchedHost) -> HostView:
        state = self._rds_api.states.get(watched.host.identifier)
        writer = next((each.position for each in self._hosts.values() if each.host.role is Role.WRITER), None)
        return watched.view(writer, state.zone if state else None, state.status if state else None)

    def _notes(self) -> tuple[str, ...]:
        hidden = {note: None for watched in self._hosts.values() for note in watched.hidden}
        return (*hidden, *self._rds_api.notes)


@contextlib.asynccontextmanager
async def watching(
    target: str, *, interval: float = 1.0, connect_timeout: float = 5.0, **options: Any
) -> AsyncIterator[Watch]:
    """Watch a cluster while the block runs.

    Args:
        target: as for ``rdskit.connect``.
        interval: seconds between two polls of a host.
        connect_timeout: seconds for one attempt to connect.
        options: ``credentials``, ``tls``, ``ca`` and ``readers``, as for ``rdskit.connect``.

    Yields:
        The ``Watch``.

    Raises:
        RdskitError: the target cannot be used.
    """
    # One poll runs at a time; the second connection is needed while the first one is being discarded.
    limits = PoolLimits(min_size=1, max_size=2, connect_timeout=connect_timeout, check_after=3600.0)
    journal = Journal()
    given = Options(limits=limits, application_name="rdskit top", observers=(journal.observe,), **options)
    owner = TaskOwner("top")
    _log.addHandler(journal)
    try:
        async with Watch(await resolve(target, given, owner), limits, interval, journal, owner) as watch:
            yield watch
    finally:
        _log.removeHandler(journal)
        await owner.close()
