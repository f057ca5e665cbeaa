"""Discover the cluster that the host of a plain URL belongs to, after connecting to that host.

The client connects to the host first. An Aurora server lists its cluster's instances in SQL, and their endpoints follow
from its own host name: that needs no AWS API. Otherwise the RDS API is asked. If discovery fails, the client logs one
warning and uses the host alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from rdskit.aws.rds import Owner, owner_of_address, owner_of_name
from rdskit.client.failover.cluster_source import ClusterSource, SqlSource, prefer_sql
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

API_TIMEOUT: Final = 2.0
"""Seconds to wait for the API before a reader endpoint is used without knowing its readers."""
_ASK_TIMEOUT: Final = 1.0  # seconds for the server's answer
_CLOSE_TIMEOUT: Final = 1.0  # seconds
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_RDS")
_TRANSIENT_CODES: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalFailure"})
_log = logging.getLogger("rdskit.failover")


def discovered(endpoint: Endpoint, access: Access, engine: Engine, observers: Observers) -> Source:
    """Return the source for a URL's host: a discovering one for a host of RDS, or with a custom AWS endpoint."""
    name = read_name(endpoint.host)
    may_be_known = name.has_topology if name is not None else has_custom_aws_endpoint(os.environ)
    return DiscoveredSource(endpoint, name, access, engine, observers) if may_be_known else StaticSource(endpoint)


def has_custom_aws_endpoint(environment: Mapping[str, str]) -> bool:
    """Return whether the environment sets an AWS endpoint, such as the local RDS: hosts may then have any name."""
    return any(environment.get(variable) for variable in _ENDPOINTS)


class DiscoveredSource:
    """Finds first the host of a URL, then the cluster it belongs to.

    If the host is a writer, the first ``topology`` returns it alone, so that connecting never waits for the API. The
    next refresh asks the API.
    """

    def __init__(
        self, endpoint: Endpoint, name: RdsName | None, access: Access, engine: Engine, observers: Observers
    ) -> None:
        self.cluster = str(endpoint)  # tokens carry it, so it must not depend on the outcome of the discovery
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
    def refresh_interval(self) -> float:
        """Seconds between two refreshes while the writer is lost."""
        return self._found.refresh_interval if self._found is not None else 1.0

    async def topology(self) -> Topology:
        """Return the topology as it is known now, and discover more if needed.

        Raises:
            RdskitError: the host refuses this client, or the current writer cannot be found.
        """
        if self._found is not None:
            return await self._found.topology()
        if self._role is None:
            return await self._connect_first()
        return (await self._look_up() if self.changes else None) or self._single_host()

    def _single_host(self) -> Topology:
        """Return a topology of the host alone; a reader endpoint's host counts as a reader."""
        kind = self._name.kind if self._name is not None else None
        if kind is EndpointKind.READER or (kind is EndpointKind.CUSTOM and self._role is Role.READER):
            return Selection(readers_only=True).of(Topology(()), self._endpoint)
        return Topology((Host(self.cluster, self._endpoint, Role.WRITER),))

    # -- the host itself -------------------------------------------------------------------------------------------

    async def _connect_first(self) -> Topology:
        """Open the first connection, and query the cluster's topology on it."""
        # As a reader, so that any role is accepted: the answer decides what the host is.
        try:
            connection = await self._access.open(Host(self.cluster, self._endpoint, Role.READER))
        except DriverError as error:
            if error.failure is Failure.REFUSED:
                raise error.public from error.__cause__
            return self._single_host()._replace(provisional=True)  # unreachable: its role is unknown until it is back
        try:
            self._role = connection.role
            found = await self._ask_server(connection)
        finally:
            await connection.close(_CLOSE_TIMEOUT)
        if found is not None:
            return found
        if self._role is Role.WRITER:
            return self._single_host()._replace(provisional=True)
        return await self._look_up_in_time() or self._single_host()

    async def _ask_server(self, connection: Connection) -> Topology | None:
        """Return the topology from the server's own view, if it is Aurora and its name reveals the others'."""
        view = VIEWS.get((self._engine, True))
        if self._name is None or self._name.kind is EndpointKind.CUSTOM or view is None:
            return None
        host = StaticHost(self._endpoint)
        source = SqlSource(host, self._access, view, self._name)
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                if view.guard is not None and not (await connection.fetch_all(view.guard, (), None))[0][0]:
                    return None
                found = await source.topology_from(connection)
        except (DriverError, TimeoutError) as error:
            _log.debug("%s is not Aurora, or does not show its cluster: %s", self._endpoint, error)
            return None
        if found is None:
            return None
        selection = Selection(readers_only=self._name.kind is EndpointKind.READER)
        return await self._adopt_source(
            selected(source, selection, self._endpoint), found=selection.of(found, self._endpoint)
        )

    # -- the API ---------------------------------------------------------------------------------------------------

    async def _look_up_in_time(self) -> Topology | None:
        """Ask the API about a host that is not a writer; without a limit if the host alone is of no use."""
        try:
            async with asyncio.timeout(API_TIMEOUT if self._single_host().entry is not None else None):
                return await self._look_up()
        except TimeoutError:
            _log.info("the RDS API did not describe %s within %g s; asking again", self._endpoint, API_TIMEOUT)
            return None

    async def _look_up(self) -> Topology | None:
        """Ask the API which cluster or instance the host belongs to; on failure log a warning and return None."""
        try:
            owner = await self._owner()
            return None if owner is None else await self._adopt_source(self._source_of(owner))
        except RdskitError as error:
            self.changes = _is_transient(error)
            self._warn(error, f"allow {self._actions}, or pass topology='off'")
            return None

    @property
    def _actions(self) -> str:
        """The IAM actions that this client needs, for the warning."""
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
        return selected(prefer_sql(cluster, self._access, self._engine), owner.selection, self._endpoint)

    # -- both ------------------------------------------------------------------------------------------------------

    async def _adopt_source(self, source: Source, found: Topology | None = None) -> Topology | None:
        """Use a source from now on, if this client can connect to the writer that it names."""
        found = await source.topology() if found is None else found
        try:
            await self._verify_writer(found.writer)
        except DriverError as error:
            self._warn(error.public, "let this client reach every host of the cluster, or pass topology='off'")
            return None
        self._found = source
        return found

    async def _verify_writer(self, writer: Host | None) -> None:
        """Connect to the writer once by its discovered endpoint, which may not be reachable from here."""
        if writer is None or (writer.endpoint == self._endpoint and self._role is Role.WRITER):
            return
        connection = await self._access.open(writer)
        await connection.close(_CLOSE_TIMEOUT)

    def _warn(self, error: Exception, advice: str) -> None:
        """Warn once that there is no topology, and say what to do."""
        level = logging.DEBUG if self._warned else logging.WARNING
        _log.log(level, "the other hosts of the cluster of %s are unknown: %s; %s", self._endpoint, error, advice)
        if not self._warned and self._observers:
            self._observers.notify(TopologyUnavailable(str(self._endpoint), type(error).__name__, advice))
        self._warned = True


class StaticHost:
    """A source of one host with unknown role, to send queries to."""

    changes = False
    refresh_interval = 1.0

    def __init__(self, endpoint: Endpoint) -> None:
        self.cluster = str(endpoint)
        self._host = Host(self.cluster, endpoint, Role.READER)

    async def topology(self) -> Topology:
        """Return the host alone."""
        return Topology((self._host,))


def _is_transient(error: RdskitError) -> bool:
    """Return whether a later retry may help; without a permission it would only fill the account's audit trail."""
    if isinstance(error, AwsError):
        return error.code in _TRANSIENT_CODES
    return not isinstance(error, ConfigError)
