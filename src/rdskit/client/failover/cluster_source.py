"""Read a DB cluster's topology from its servers in SQL, which know of a failover first, and from the RDS API."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.aws.rds import describe_cluster, describe_members
from rdskit.client.failover.global_source import GlobalSource, NearReaders
from rdskit.client.failover.sources import SelectedHosts, selected
from rdskit.client.failover.views import GLOBAL_VIEWS, VIEWS, members, members_by_source, topology_of
from rdskit.errors import NoWriterError, RdskitError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.client.failover.access import Access
    from rdskit.client.failover.sources import Source
    from rdskit.client.failover.views import View
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.rds_names import RdsName
    from rdskit.kernel.targets import Engine

_ASK_TIMEOUT: Final = 1.0  # seconds for a server's answer
_SKIP_FOR: Final = 1.0  # seconds for which a host that did not answer is skipped, while there are others
_GRACE: Final = 0.05  # seconds for the other hosts to contradict an answer that confirms the known writer
_log = logging.getLogger("rdskit.failover")


class ClusterSource:
    """A DB cluster as the RDS API describes it."""

    changes = True
    refresh_interval = 1.0

    def __init__(self, identifier: str, *, aurora: bool, region: str | None = None) -> None:
        self.cluster = identifier
        self.aurora = aurora
        self._region = region

    async def topology(self) -> Topology:
        """Describe the cluster and its instances.

        Raises:
            ConfigError: there is no such cluster.
            NoWriterError: none of its instances is the writer and has an endpoint.
        """
        cluster, instances = await asyncio.gather(
            describe_cluster(self.cluster, self._region), describe_members(self.cluster, self._region)
        )
        hosts = tuple(
            Host(one.identifier, one.endpoint, _role(one.identifier == cluster.writer), one.zone)
            for one in instances
            if one.endpoint is not None
        )
        found = Topology(hosts)
        if found.writer is None:
            raise NoWriterError(f"DB cluster {self.cluster!r} is {cluster.status!r} and has no writer; wait for it")
        return found


class HostAnswer(NamedTuple):
    """One host's answer.

    Attributes:
        topology: the cluster as the host sees it; None if it gave no usable answer.
        by: the host.
    """

    topology: Topology | None
    by: Endpoint

    @property
    def is_first_hand(self) -> bool:
        """Whether the host reports itself as the writer."""
        writer = self.topology.writer if self.topology is not None else None
        return writer is not None and writer.endpoint == self.by


class SqlSource:
    """Queries all known servers of a cluster concurrently, and the API if none of them knows a writer.

    It uses the control connections of ``access``. The cluster closes them once no refresh is due soon.

    Args:
        described: the cluster as the API describes it; or one of its hosts, if the endpoints follow from its name.
        access: opens connections to its servers.
        view: the queries to send.
        name: name of an endpoint of the cluster, if the instances' endpoints follow from it.
    """

    changes = True
    refresh_interval = 0.02

    def __init__(self, described: Source, access: Access, view: View, name: RdsName | None = None) -> None:
        self.cluster = described.cluster
        self._described = described
        self._access = access
        self._view = view
        self._name = name
        self._endpoints: Mapping[str, Endpoint] = {}
        self._writer: Endpoint | None = None
        self._skipped_until: dict[str, float] = {}
        self._warned = False

    async def topology(self) -> Topology:
        """Return the topology from the servers, or from the API.

        Raises:
            RdskitError: neither a server nor the API knows a writer.
        """
        answer = await self._ask_servers() if self._endpoints else None
        if answer is None:
            found = await self._described.topology()
            self._endpoints = {**self._endpoints, **{host.identifier: host.endpoint for host in found.hosts}}
            answer = await self._ask_servers() or found
        if answer.writer is None:
            raise NoWriterError(f"no host of {self.cluster} knows the writer: a failover is under way")
        self._endpoints = {host.identifier: host.endpoint for host in answer.hosts}
        self._writer = answer.writer.endpoint
        return answer

    async def _ask_servers(self) -> Topology | None:
        """Return the view of the host that reports itself as the writer, or else the best view of the others.

        A reader's view may lag behind. So a reader that names another writer counts only after all hosts have answered.
        """
        tasks = self._begin()
        in_use = [task for endpoint, task in tasks.items() if endpoint == self._writer]
        pending, best = set(tasks.values()), None
        while pending:
            if self._is_in_use(best) and pending.issubset(in_use):
                break  # only the known writer's own answer is missing, and it could only confirm
            timeout = _GRACE if self._is_in_use(best) else None
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break  # the grace period is over: keep the known writer
            for answer in (task.result() for task in done):
                if answer.is_first_hand:
                    return answer.topology
                if best is None or self._is_in_use(answer.topology):
                    best = answer.topology
        return best

    def _begin(self) -> dict[Endpoint, asyncio.Task[HostAnswer]]:
        now = asyncio.get_running_loop().time()
        # If all hosts are skipped, ask all of them.
        near = {name: at for name, at in self._endpoints.items() if now >= self._skipped_until.get(name, now)}
        return {
            endpoint: self._access.control_connections.begin(endpoint, functools.partial(self._ask, name, endpoint))
            for name, endpoint in (near or self._endpoints).items()
        }

    def _is_in_use(self, answer: Topology | None) -> bool:
        """Return whether an answer names the writer of the last topology."""
        return answer is not None and answer.writer is not None and answer.writer.endpoint == self._writer

    async def _ask(self, name: str, endpoint: Endpoint) -> HostAnswer:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return HostAnswer(await self._access.control_connections.ask(endpoint, self.topology_from), endpoint)
        except (DriverError, RdskitError, TimeoutError) as error:
            self._warn(name, error)
            self._skipped_until[name] = asyncio.get_running_loop().time() + _SKIP_FOR
            return HostAnswer(None, endpoint)

    async def topology_from(self, connection: Connection) -> Topology | None:
        """Return the topology as one server sees it; None if it is unusable.

        Raises:
            DriverError: the server has no such view, or was lost.
        """
        rows = await connection.fetch_all(self._view.query, (), None)
        if self._view.source is None:
            answer = members(rows)
        else:
            answer = members_by_source(rows, await connection.fetch_all(self._view.source, (), None))
        endpoints = self._endpoints
        if self._name is not None:
            port, at = connection.endpoint.port, self._name.instance
            endpoints = {member.identifier: Endpoint(at(member.identifier), port) for member in answer}
        if not {member.identifier for member in answer} <= endpoints.keys():
            return None  # an instance is new, and only the API knows its endpoint
        return topology_of(answer, endpoints)

    def _warn(self, name: str, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        _log.log(level, "%s gave no topology of cluster %s: %s", name, self.cluster, error)
        self._warned = True


def prefer_sql(source: Source, access: Access, engine: Engine) -> Source:
    """Return a source that queries the servers, if the engine has a view of the topology; else the source itself."""
    if isinstance(source, SelectedHosts):
        return selected(prefer_sql(source.whole, access, engine), source.selection, source.entry)
    if isinstance(source, NearReaders):
        return NearReaders(prefer_sql(source.whole, access, engine), source.region)
    view = None
    if isinstance(source, ClusterSource):
        view = VIEWS.get((engine, source.aurora))
    elif isinstance(source, GlobalSource):
        view = GLOBAL_VIEWS.get(engine)
    return SqlSource(source, access, view) if view is not None else source


def _role(writes: bool) -> Role:  # noqa: FBT001 - it is all there is to it
    return Role.WRITER if writes else Role.READER
