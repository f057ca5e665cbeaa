"""The topology of a DB cluster: from its own servers in SQL, which know at once, and from the RDS API."""

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
_LEFT_ALONE: Final = 1.0  # seconds for which a host that did not answer is not asked, while there are others
_OTHERS: Final = 0.05  # seconds in which the others must contradict whoever names the writer in use
_log = logging.getLogger("rdskit.failover")


class ClusterSource:
    """A DB cluster as the RDS API describes it."""

    changes = True
    look_again = 1.0

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


class Told(NamedTuple):
    """What one host said.

    Attributes:
        topology: the cluster as it sees it; None where it said nothing of use.
        by: the host.
    """

    topology: Topology | None
    by: Endpoint

    @property
    def is_first_hand(self) -> bool:
        """Whether the host says of itself that it writes."""
        writer = self.topology.writer if self.topology is not None else None
        return writer is not None and writer.endpoint == self.by


class AskingSource:
    """Asks every known server of a cluster at once, and the API where none of them knows a writer.

    It asks on the lines of ``access``, which whoever looks closes when no further look is near.

    Args:
        described: the cluster as the API describes it; or one of its hosts, where its name tells those of the others.
        access: opens connections to its servers.
        view: what they are asked.
        name: of an endpoint of the cluster, if that tells where the instances are.
    """

    changes = True
    look_again = 0.02

    def __init__(self, described: Source, access: Access, view: View, name: RdsName | None = None) -> None:
        self.cluster = described.cluster
        self._described = described
        self._access = access
        self._view = view
        self._name = name
        self._endpoints: Mapping[str, Endpoint] = {}
        self._writer: Endpoint | None = None
        self._asked_again: dict[str, float] = {}
        self._warned = False

    async def topology(self) -> Topology:
        """Look now.

        Raises:
            RdskitError: neither a server nor the API tells.
        """
        told = await self._asked() if self._endpoints else None
        if told is None:
            found = await self._described.topology()
            self._endpoints = {**self._endpoints, **{host.identifier: host.endpoint for host in found.hosts}}
            told = await self._asked() or found
        if told.writer is None:
            raise NoWriterError(f"no host of {self.cluster} tells who writes: a failover is under way")
        self._endpoints = {host.identifier: host.endpoint for host in told.hosts}
        self._writer = told.writer.endpoint
        return told

    async def _asked(self) -> Topology | None:
        """What the writer says of itself, or else what others say of it; hosts that are away are not asked at once.

        A reader's view may be late: by itself it leads nobody away from the writer in use, before all have been heard.
        """
        asking = self._begin()
        in_use = [task for endpoint, task in asking.items() if endpoint == self._writer]
        pending, heard = set(asking.values()), None
        while pending:
            if self._is_in_use(heard) and pending.issubset(in_use):
                break  # it could only say the same, or nothing
            patience = _OTHERS if self._is_in_use(heard) else None
            done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for told in (task.result() for task in done):
                if told.is_first_hand:
                    return told.topology
                if heard is None or self._is_in_use(told.topology):
                    heard = told.topology
        return heard

    def _begin(self) -> dict[Endpoint, asyncio.Task[Told]]:
        now = asyncio.get_running_loop().time()
        near = {name: at for name, at in self._endpoints.items() if now >= self._asked_again.get(name, now)}
        return {
            endpoint: self._access.lines.begin(endpoint, functools.partial(self._ask, name, endpoint))
            for name, endpoint in (near or self._endpoints).items()
        }

    def _is_in_use(self, told: Topology | None) -> bool:
        """Whether an answer names the writer that the last one named."""
        return told is not None and told.writer is not None and told.writer.endpoint == self._writer

    async def _ask(self, name: str, endpoint: Endpoint) -> Told:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                return Told(await self._access.lines.ask(endpoint, self.told_by), endpoint)
        except (DriverError, RdskitError, TimeoutError) as error:
            self._warn(name, error)
            self._asked_again[name] = asyncio.get_running_loop().time() + _LEFT_ALONE
            return Told(None, endpoint)

    async def told_by(self, connection: Connection) -> Topology | None:
        """What one server says; None where that is of no use.

        Raises:
            DriverError: the server has no such view, or was lost.
        """
        rows = await connection.fetch_all(self._view.question, (), None)
        if self._view.source is None:
            told = members(rows)
        else:
            told = members_by_source(rows, await connection.fetch_all(self._view.source, (), None))
        endpoints = self._endpoints
        if self._name is not None:
            port, at = connection.endpoint.port, self._name.instance
            endpoints = {member.identifier: Endpoint(at(member.identifier), port) for member in told}
        if not {member.identifier for member in told} <= endpoints.keys():
            return None  # an instance that is new: the API knows where it is
        return topology_of(told, endpoints)

    def _warn(self, name: str, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        _log.log(level, "%s does not tell the topology of cluster %s: %s", name, self.cluster, error)
        self._warned = True


def asking(source: Source, access: Access, engine: Engine) -> Source:
    """A source that asks the servers, where these know."""
    if isinstance(source, SelectedHosts):
        return selected(asking(source.whole, access, engine), source.selection, source.entry)
    if isinstance(source, NearReaders):
        return NearReaders(asking(source.whole, access, engine), source.region)
    view = None
    if isinstance(source, ClusterSource):
        view = VIEWS.get((engine, source.aurora))
    elif isinstance(source, GlobalSource):
        view = GLOBAL_VIEWS.get(engine)
    return AskingSource(source, access, view) if view is not None else source


def _role(writes: bool) -> Role:  # noqa: FBT001 - it is all there is to it
    return Role.WRITER if writes else Role.READER
