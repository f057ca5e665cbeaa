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
    """The hosts of one cluster. A topology without a writer is legal: that is what a failover looks like."""

    hosts: tuple[Host, ...]

    @property
    def writer(self) -> Host | None:
        """The host that takes writes, or None while there is none."""
        return next((host for host in self.hosts if host.role is Role.WRITER), None)

    @property
    def readers(self) -> tuple[Host, ...]:
        """The hosts that take reads only."""
        return tuple(host for host in self.hosts if host.role is Role.READER)
