"""Where a cluster's topology comes from."""

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
    """Tells who writes and who reads.

    Attributes:
        cluster: the cluster's name, by which two clusters are told apart.
        changes: whether it is worth looking again.
        look_again: seconds between two looks while the writer is away.
    """

    cluster: str

    @property
    def changes(self) -> bool: ...  # noqa: D102 - see above
    @property
    def look_again(self) -> float: ...  # noqa: D102 - see above

    async def topology(self) -> Topology:
        """Look now.

        Raises:
            RdskitError: it cannot be told.
        """
        ...


class StaticSource:
    """A host as a URL names it: the writer, and no one else. Of several hosts each may be the writer."""

    changes = False
    look_again = 1.0

    def __init__(self, *endpoints: Endpoint) -> None:
        self.cluster = ",".join(map(str, endpoints))
        self._topology = Topology(tuple(Host(str(endpoint), endpoint, Role.WRITER) for endpoint in endpoints))

    async def topology(self) -> Topology:
        """Give what was given."""
        return self._topology


class InstanceSource:
    """A DB instance and its read replicas, as the RDS API describes them."""

    changes = True
    look_again = 1.0

    def __init__(self, identifier: str, region: str | None = None) -> None:
        self.cluster = identifier
        self._identifier = identifier
        self._region = region

    async def topology(self) -> Topology:
        """Describe the instance and each of its replicas; a replica's own name is for reading from it.

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
        replicas = await asyncio.gather(*(describe_instance(name, self._region) for name in _local(writer.replicas)))
        return Topology((_host(writer, Role.WRITER), *(_host(r, Role.READER) for r in replicas if _serves(r))))


class ListedReaders:
    """A source's writer, with the readers that the user lists instead of those that it knows."""

    def __init__(self, source: Source, readers: Sequence[Endpoint]) -> None:
        self._source = source
        self._readers = tuple(Host(str(endpoint), endpoint, Role.READER) for endpoint in readers)
        self.cluster = source.cluster

    @property
    def changes(self) -> bool:
        """As of the source."""
        return self._source.changes

    @property
    def look_again(self) -> float:
        """As of the source."""
        return self._source.look_again

    async def topology(self) -> Topology:
        """Ask the source who writes."""
        found = await self._source.topology()
        writers = tuple(host for host in found.hosts if host.role is Role.WRITER)
        return found._replace(hosts=(*writers, *self._readers))


class SelectedHosts:
    """The part of a cluster that one of its endpoints leads to.

    Args:
        source: of the whole cluster.
        selection: the part.
        entry: the endpoint.
    """

    changes = True

    def __init__(self, source: Source, selection: Selection, entry: Endpoint) -> None:
        self.cluster = source.cluster
        self.whole = source
        self.selection = selection
        self.entry = entry

    @property
    def look_again(self) -> float:
        """As of the cluster."""
        return self.whole.look_again

    async def topology(self) -> Topology:
        """Look at the cluster now."""
        return self.selection.of(await self.whole.topology(), self.entry)


def selected(source: Source, selection: Selection, entry: Endpoint) -> Source:
    """The part of a cluster that an endpoint leads to; the source itself where that is everything."""
    return source if selection.is_everything else SelectedHosts(source, selection, entry)


def _local(replicas: Sequence[str]) -> list[str]:
    """Those of this region: the API names others by their ARN, and has their endpoint elsewhere."""
    return [name for name in replicas if not name.startswith("arn:")]


def _serves(replica: InstanceDescription) -> bool:
    return replica.endpoint is not None and replica.status not in {"creating", "deleting", "stopped", "failed"}


def _host(instance: InstanceDescription, role: Role) -> Host:
    assert instance.endpoint is not None, instance.identifier
    return Host(instance.identifier, instance.endpoint, role, instance.zone)
