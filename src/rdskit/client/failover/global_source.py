"""Read the topology of an Aurora global database: one writer, and readers in several regions."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rdskit.aws.global_clusters import RegionalCluster, describe_global_cluster
from rdskit.aws.rds import describe_cluster, describe_members
from rdskit.errors import NoWriterError, RdskitError
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from rdskit.client.failover.sources import Source

_log = logging.getLogger("rdskit.failover")


class GlobalSource:
    """A global database as the RDS API describes it, region by region.

    Hosts are named ``REGION/INSTANCE``, because instances of two regions may have the same name.
    """

    changes = True
    refresh_interval = 1.0

    def __init__(self, identifier: str) -> None:
        self.cluster = identifier

    async def topology(self) -> Topology:
        """Describe the clusters of all regions; skip a secondary region that does not answer.

        Raises:
            ConfigError: there is no such global database.
            AwsError: the API refused.
            ConnectError: the API cannot be reached.
            NoWriterError: there is no primary cluster, or it has no writer: a switchover between regions is under way.
        """
        found = await describe_global_cluster(self.cluster)
        parts = await asyncio.gather(*(_hosts_of(member) for member in found.members))
        topology = Topology(tuple(host for part in parts for host in part))
        if topology.writer is None:
            raise NoWriterError(f"global cluster {self.cluster!r} has no writer in any region: retry in some seconds")
        return topology


async def _hosts_of(member: RegionalCluster) -> tuple[Host, ...]:
    try:
        cluster = await describe_cluster(member.identifier, member.region)
        instances = await describe_members(member.identifier, member.region)
    except RdskitError as error:
        # Without the primary region there is no writer; a secondary one only adds readers.
        if member.writes:
            raise
        _log.warning("cluster %s in %s is left out: %s", member.identifier, member.region, error)
        return ()
    writer = cluster.writer if member.writes else None
    return tuple(
        Host(f"{member.region}/{one.identifier}", one.endpoint, _role(one.identifier, writer), one.zone)
        for one in instances
        if one.endpoint is not None
    )


def _role(identifier: str, writer: str | None) -> Role:
    return Role.WRITER if identifier == writer else Role.READER


class NearReaders:
    """A global database's writer with the readers of one region; with all readers, if that region has none.

    Args:
        source: the source of the whole global database.
        region: the client's region.
    """

    changes = True

    def __init__(self, source: Source, region: str) -> None:
        self.cluster = source.cluster
        self.whole = source
        self.region = region

    @property
    def refresh_interval(self) -> float:
        """Seconds between two refreshes, as for the whole database."""
        return self.whole.refresh_interval

    async def topology(self) -> Topology:
        """Read the whole topology, and select the near readers."""
        found = await self.whole.topology()
        near = tuple(host for host in found.readers if host.identifier.startswith(f"{self.region}/"))
        writer = (found.writer,) if found.writer is not None else ()
        return found._replace(hosts=(*writer, *near)) if near else found
