"""Define the sources of a cluster's topology."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from rdskit.aws.rds import InstanceDescription, describe_instance
from rdskit.errors import NoWriterError
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.topology import Selection


class Source(Protocol):
    """Finds the writer and the readers of a cluster.

    Attributes:
        cluster: name that identifies the cluster.
        changes: whether the topology may change, so that refreshing it makes sense.
        refresh_interval: shortest time in seconds between two refreshes while the writer is lost.
    """

    cluster: str

    @property
    def changes(self) -> bool: ...  # noqa: D102 - see above
    @property
    def refresh_interval(self) -> float: ...  # noqa: D102 - see above

    async def topology(self) -> Topology:
        """Return the current topology.

        Raises:
            RdskitError: it cannot be read.
        """
        ...


class StaticSource:
    """The host that a URL names, as the only writer; of several hosts, each may be the writer."""

    changes = False
    refresh_interval = 1.0

    def __init__(self, *endpoints: Endpoint) -> None:
        self.cluster = ",".join(map(str, endpoints))
        self._topology = Topology(tuple(Host(str(endpoint), endpoint, Role.WRITER) for endpoint in endpoints))

    async def topology(self) -> Topology:
        """Return the same topology each time."""
        return self._topology


class InstanceSource:
    """A DB instance and its read replicas, as the RDS API describes them."""

    changes = True
    refresh_interval = 1.0

    def __init__(self, identifier: str, region: str | None = None) -> None:
        self.cluster = identifier
        self._identifier = identifier
        self._region = region

    async def topology(self) -> Topology:
        """Describe the instance and its replicas; if the instance is a replica itself, return it as a read-only entry.

        Raises:
            ConfigError: there is no such instance.
            NoWriterError: it has no endpoint, because it is being created or deleted.
        """
        writer = await describe_instance(self._identifier, self._region)
        if writer.endpoint is None:
            raise NoWriterError(
                f"DB instance {self._identifier!r} is {writer.status!r} and has no endpoint; wait for it"
            )
        if writer.source is not None:
            return Topology((), entry=_host(writer, Role.READER))
        # One request per replica: the API's description of the source names its replicas, without their endpoints.
        replicas = await asyncio.gather(*(describe_instance(name, self._region) for name in _local(writer.replicas)))
        return Topology((_host(writer, Role.WRITER), *(_host(r, Role.READER) for r in replicas if _serves(r))))


class ListedReaders:
    """The writer of a source, with the readers that the user lists in place of the source's own."""

    def __init__(self, source: Source, readers: Sequence[Endpoint]) -> None:
        self._source = source
        self._readers = tuple(Host(str(endpoint), endpoint, Role.READER) for endpoint in readers)
        self.cluster = source.cluster

    @property
    def changes(self) -> bool:
        """Taken from the source."""
        return self._source.changes

    @property
    def refresh_interval(self) -> float:
        """Taken from the source."""
        return self._source.refresh_interval

    async def topology(self) -> Topology:
        """Return the source's writer with the listed readers."""
        found = await self._source.topology()
        writers = tuple(host for host in found.hosts if host.role is Role.WRITER)
        return found._replace(hosts=(*writers, *self._readers))


class SelectedHosts:
    """The hosts of a cluster that one of its endpoints leads to.

    Args:
        source: the source of the whole cluster.
        selection: which hosts.
        entry: the endpoint.
    """

    changes = True

    def __init__(self, source: Source, selection: Selection, entry: Endpoint) -> None:
        self.cluster = source.cluster
        self.whole = source
        self.selection = selection
        self.entry = entry

    @property
    def refresh_interval(self) -> float:
        """Taken from the cluster's source."""
        return self.whole.refresh_interval

    async def topology(self) -> Topology:
        """Return the selected part of the cluster."""
        return self.selection.of(await self.whole.topology(), self.entry)


def selected(source: Source, selection: Selection, entry: Endpoint) -> Source:
    """Return a source of the hosts that an endpoint leads to; the source itself if it leads to all."""
    return source if selection.is_everything else SelectedHosts(source, selection, entry)


def _local(replicas: Sequence[str]) -> list[str]:
    """Return the replicas of this region; the API names those of other regions by their ARN, without an endpoint."""
    return [name for name in replicas if not name.startswith("arn:")]


def _serves(replica: InstanceDescription) -> bool:
    return replica.endpoint is not None and replica.status not in {"creating", "deleting", "stopped", "failed"}


def _host(instance: InstanceDescription, role: Role) -> Host:
    assert instance.endpoint is not None, instance.identifier
    return Host(instance.identifier, instance.endpoint, role, instance.zone)
