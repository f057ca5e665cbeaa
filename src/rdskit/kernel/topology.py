"""The topology of a cluster: which hosts write and which read, at one moment."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


class Role(Enum):
    """The role of a host in its cluster."""

    WRITER = "writer"
    READER = "reader"


class Host(NamedTuple):
    """One database server as a client sees it."""

    identifier: str
    endpoint: Endpoint
    role: Role
    zone: str | None = None


class Topology(NamedTuple):
    """The hosts of one cluster. It may have no writer: that is normal during a failover.

    Attributes:
        hosts: the servers.
        entry: for a read-only target, the reader endpoint or custom endpoint of the target. It serves reads that need
            no particular reader, and refuses writes.
        provisional: whether a lookup for more hosts is running.
    """

    hosts: tuple[Host, ...]
    entry: Host | None = None
    provisional: bool = False

    @property
    def writer(self) -> Host | None:
        """The host that accepts writes, or None while there is none."""
        return next((host for host in self.hosts if host.role is Role.WRITER), None)

    @property
    def readers(self) -> tuple[Host, ...]:
        """The hosts that accept reads only."""
        return tuple(host for host in self.hosts if host.role is Role.READER)


class EpochReason(Enum):
    """The reason for which an epoch began."""

    OPENED = "opened"
    """The database was opened."""
    MOVED = "moved"
    """Another host became the writer."""
    RECONNECTED = "reconnected"
    """The same endpoint is reachable again after connections to it were lost: by a Multi-AZ failover, a restart, or the
    end of one connection."""


class Epoch(NamedTuple):
    """A period in which the writer stayed the same, as far as a client can see.

    Attributes:
        number: 1 when the database is opened, and one more each time that the writer was lost and is reached again.
        writer: the writer's endpoint.
        reason: the reason for which it began.
    """

    number: int
    writer: Endpoint
    reason: EpochReason


class Selection(NamedTuple):
    """The part of a cluster that one of its endpoints leads to.

    Writes go to the cluster's current writer, unless the endpoint is read-only.

    Source: RDS API, ``DBClusterEndpoint``.

    Attributes:
        readers_only: the reader endpoint, or a custom endpoint of type READER.
        members: the static members of a custom endpoint; empty for no limit.
        excluded: the excluded members of a custom endpoint.
    """

    readers_only: bool = False
    members: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Whether it selects the whole cluster."""
        return self == Selection()

    def of(self, topology: Topology, entry: Endpoint) -> Topology:
        """Return the selected part of a cluster.

        Args:
            topology: the whole cluster's.
            entry: the endpoint.
        """
        hosts = tuple(host for host in topology.hosts if self._has(host))
        return Topology(hosts, Host(str(entry), entry, Role.READER) if self.readers_only else None)

    def _has(self, host: Host) -> bool:
        if host.role is Role.WRITER:
            return not self.readers_only
        return host.identifier not in self.excluded and (not self.members or host.identifier in self.members)
