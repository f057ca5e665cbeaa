"""The cluster that the host of a plain URL belongs to: found by itself, after the host has answered.

First the host's own connection is made. An Aurora server tells its cluster in SQL, and its name tells where the others
are: that needs no AWS at all. Otherwise the RDS API is asked. Whatever does not work costs one warning and the
topology, never the connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from rdskit.aws.rds import Owner, owner_of_address, owner_of_name
from rdskit.client.failover.cluster_source import AskingSource, ClusterSource, asking
from rdskit.client.failover.sources import InstanceSource, Source, StaticSource, selected
from rdskit.client.failover.views import VIEWS
from rdskit.errors import AwsError, ConfigError, RdskitError
from rdskit.kernel.events import TopologyUnavailable
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.rds_names import EndpointKind, RdsName, read_name
from rdskit.kernel.topology import Host, Role, Selection, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.client.failover.access import Access
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.targets import Engine
    from rdskit.runtime.observers import Observers

PATIENCE: Final = 2.0
"""Seconds that the API may take before a reader endpoint is used without knowing its readers."""
_ASK_TIMEOUT: Final = 1.0  # seconds for the server's answer
_CLOSE_TIMEOUT: Final = 1.0  # seconds
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_RDS")
_PASSING: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalFailure"})
_log = logging.getLogger("rdskit.failover")


def discovered(endpoint: Endpoint, access: Access, engine: Engine, observers: Observers) -> Source:
    """The source for a URL's host: one that looks further if that is RDS, or AWS is somewhere else than usual."""
    name = read_name(endpoint.host)
    may_be_known = name.has_topology if name is not None else is_elsewhere(os.environ)
    return DiscoveredSource(endpoint, name, access, engine, observers) if may_be_known else StaticSource(endpoint)


def is_elsewhere(environment: Mapping[str, str]) -> bool:
    """Whether AWS is a local or another one, where endpoints may be called anything."""
    return any(environment.get(variable) for variable in _ENDPOINTS)


class DiscoveredSource:
    """The host of a URL; then, what it belongs to.

    ``topology`` gives the host alone at first where that writes, so that connecting never waits for the API; the next
    look asks it.
    """

    def __init__(
        self, endpoint: Endpoint, name: RdsName | None, access: Access, engine: Engine, observers: Observers
    ) -> None:
        self.cluster = str(endpoint)  # the same whether or not the rest is found out: tokens carry it
        self.changes = True
        self._endpoint = endpoint
        self._name = name
        self._access = access
        self._engine = engine
        self._observers = observers
        self._role: Role | None = None
        self._found: Source | None = None
        self._warned = False

    @property
    def look_again(self) -> float:
        """Seconds between two looks while the writer is away."""
        return self._found.look_again if self._found is not None else 1.0

    async def topology(self) -> Topology:
        """Look now.

        Raises:
            RdskitError: the host refuses this client; or it cannot be told who writes by now.
        """
        if self._found is not None:
            return await self._found.topology()
        if self._role is None:
            return await self._meet()
        return (await self._look_up() if self.changes else None) or self._alone()

    def _alone(self) -> Topology:
        """The host and nobody else, as if nothing were known of RDS; a name for readers is taken at its word."""
        kind = self._name.kind if self._name is not None else None
        if kind is EndpointKind.READER or (kind is EndpointKind.CUSTOM and self._role is Role.READER):
            return Selection(readers_only=True).of(Topology(()), self._endpoint)
        return Topology((Host(self.cluster, self._endpoint, Role.WRITER),))

    # -- the host itself -------------------------------------------------------------------------------------------

    async def _meet(self) -> Topology:
        """Make the first connection, and ask on it."""
        try:
            connection = await self._access.open(Host(self.cluster, self._endpoint, Role.READER))
        except DriverError as error:
            if error.failure is Failure.REFUSED:
                raise error.public from error.__cause__
            return self._alone()._replace(provisional=True)  # it is away; it may come back as whatever
        try:
            self._role = connection.role
            told = await self._told_by(connection)
        finally:
            await connection.close(_CLOSE_TIMEOUT)
        if told is not None:
            return told
        if self._role is Role.WRITER:
            return self._alone()._replace(provisional=True)
        return await self._look_up_in_time() or self._alone()

    async def _told_by(self, connection: Connection) -> Topology | None:
        """The topology, if this is Aurora, and the name tells where its instances are."""
        view = VIEWS.get((self._engine, True))
        if self._name is None or self._name.kind is EndpointKind.CUSTOM or view is None:
            return None
        host = StaticHost(self._endpoint)
        source = AskingSource(host, self._access, view, self._name)
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                if view.guard is not None and not (await connection.fetch_all(view.guard, (), None))[0][0]:
                    return None
                told = await source.told_by(connection)
        except (DriverError, TimeoutError) as error:
            _log.debug("%s is not Aurora, or does not tell its cluster: %s", self._endpoint, error)
            return None
        if told is None:
            return None
        selection = Selection(readers_only=self._name.kind is EndpointKind.READER)
        return await self._settle(selected(source, selection, self._endpoint), told=selection.of(told, self._endpoint))

    # -- the API ---------------------------------------------------------------------------------------------------

    async def _look_up_in_time(self) -> Topology | None:
        """Ask the API about a host that does not write: for as long as it takes where there is no other way."""
        try:
            async with asyncio.timeout(PATIENCE if self._alone().entry is not None else None):
                return await self._look_up()
        except TimeoutError:
            _log.info("the RDS API has not said within %g s what %s is; asking again", PATIENCE, self._endpoint)
            return None

    async def _look_up(self) -> Topology | None:
        """Ask the API what the host belongs to; None, and a warning, if that is not to be had."""
        try:
            owner = await self._owner()
            return None if owner is None else await self._settle(self._source_of(owner))
        except RdskitError as error:
            self.changes = _is_passing(error)
            self._warn(error, f"allow {self._actions}, or pass topology='off'")
            return None

    @property
    def _actions(self) -> str:
        """What this client must be allowed to do."""
        kind = self._name.kind if self._name is not None else None
        return {
            EndpointKind.INSTANCE: "rds:DescribeDBInstances",
            EndpointKind.CUSTOM: "rds:DescribeDBClusterEndpoints, rds:DescribeDBClusters and rds:DescribeDBInstances",
        }.get(kind or EndpointKind.CLUSTER, "rds:DescribeDBClusters and rds:DescribeDBInstances")

    async def _owner(self) -> Owner | None:
        if self._name is not None:
            return await owner_of_name(self._name, self._endpoint.host)
        owner = await owner_of_address(self._endpoint)
        if owner is None:
            self.changes = False
            _log.info("the RDS API knows no instance or cluster with the endpoint %s", self._endpoint)
        return owner

    def _source_of(self, owner: Owner) -> Source:
        region = self._name.region if self._name is not None else None
        if not owner.is_cluster:
            return InstanceSource(owner.identifier, region)
        cluster = ClusterSource(owner.identifier, aurora=owner.engine.startswith("aurora"), region=region)
        return selected(asking(cluster, self._access, self._engine), owner.selection, self._endpoint)

    # -- both ------------------------------------------------------------------------------------------------------

    async def _settle(self, source: Source, told: Topology | None = None) -> Topology | None:
        """Use a source from now on, if this client gets to the writer that it names."""
        found = await source.topology() if told is None else told
        try:
            await self._reach(found.writer)
        except DriverError as error:
            self._warn(error.public, "let this client reach every host of the cluster, or pass topology='off'")
            return None
        self._found = source
        return found

    async def _reach(self, writer: Host | None) -> None:
        """Prove that the writer takes connections under the name that was found for it."""
        if writer is None or (writer.endpoint == self._endpoint and self._role is Role.WRITER):
            return
        connection = await self._access.open(writer)
        await connection.close(_CLOSE_TIMEOUT)

    def _warn(self, error: Exception, advice: str) -> None:
        """Tell once that there is no topology, and what to do."""
        level = logging.DEBUG if self._warned else logging.WARNING
        _log.log(level, "who else is in the cluster of %s is not known: %s; %s", self._endpoint, error, advice)
        if not self._warned and self._observers:
            self._observers.notify(TopologyUnavailable(str(self._endpoint), type(error).__name__, advice))
        self._warned = True


class StaticHost:
    """One host, whatever it does now: a place to ask."""

    changes = False
    look_again = 1.0

    def __init__(self, endpoint: Endpoint) -> None:
        self.cluster = str(endpoint)
        self._host = Host(self.cluster, endpoint, Role.READER)

    async def topology(self) -> Topology:
        """Give the host."""
        return Topology((self._host,))


def _is_passing(error: RdskitError) -> bool:
    """Whether asking again later may help: without a permission it would only fill the account's audit trail."""
    if isinstance(error, AwsError):
        return error.code in _PASSING
    return not isinstance(error, ConfigError)
