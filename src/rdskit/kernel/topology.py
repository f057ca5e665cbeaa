"""Who writes and who reads: one cluster's hosts at one moment."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


class Role(Enum):
    """What a host may be used for."""

    WRITER = "writer"
    READER = "reader"


class Host(NamedTuple):
    """One database server as a client sees it."""

    identifier: str
    endpoint: Endpoint
    role: Role
    zone: str | None = None


class Topology(NamedTuple):
    """The hosts of one cluster. A topology without a writer is legal: that is what a failover looks like.

    Attributes:
        hosts: the servers.
        entry: where a client may only read: the reader endpoint, or the custom endpoint, that it was given. It serves
            what needs no particular reader, and refuses writes.
        provisional: whether more is being looked up.
    """

    hosts: tuple[Host, ...]
    entry: Host | None = None
    provisional: bool = False

    @property
    def writer(self) -> Host | None:
        """The host that takes writes, or None while there is none."""
        return next((host for host in self.hosts if host.role is Role.WRITER), None)

    @property
    def readers(self) -> tuple[Host, ...]:
        """The hosts that take reads only."""
        return tuple(host for host in self.hosts if host.role is Role.READER)


class EpochReason(Enum):
    """What began an epoch."""

    OPENED = "opened"
    """The database was opened."""
    MOVED = "moved"
    """Another endpoint leads to the writer."""
    RECONNECTED = "reconnected"
    """The same endpoint answers again after connections to it were lost: a Multi-AZ failover, a restart, or the end of
    one connection."""


class Epoch(NamedTuple):
    """A time in which the writer stayed the same, as far as a client can see.

    Attributes:
        number: 1 when the database is opened, and one more each time that the writer was lost and is reached again.
        writer: the writer's endpoint.
        reason: what began it.
    """

    number: int
    writer: Endpoint
    reason: EpochReason


class Selection(NamedTuple):
    """The part of a cluster that one of its endpoints leads to.

    Writes go to the cluster's writer, whoever that is by then, unless the endpoint is one for reading.

    Source: RDS API, ``DBClusterEndpoint``.

    Attributes:
        readers_only: the reader endpoint, or a custom endpoint of type READER.
        members: identifiers of the instances that a custom endpoint is limited to; empty for no limit.
        excluded: identifiers of those that it leaves out.
    """

    readers_only: bool = False
    members: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Selection()

    def of(self, topology: Topology, entry: Endpoint) -> Topology:
        """Take this part of a cluster.

        Args:
            topology: of the whole cluster.
            entry: the endpoint.
        """
        hosts = tuple(host for host in topology.hosts if self._has(host))
        return Topology(hosts, Host(str(entry), entry, Role.READER) if self.readers_only else None)

    def _has(self, host: Host) -> bool:
        if host.role is Role.WRITER:
            return not self.readers_only
        return host.identifier not in self.excluded and (not self.members or host.identifier in self.members)
