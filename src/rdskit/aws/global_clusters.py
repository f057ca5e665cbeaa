"""Look up Aurora global databases: one primary cluster, and secondary clusters in other regions."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from rdskit.aws.session import call, client
from rdskit.errors import AwsError, ConfigError


class RegionalCluster(NamedTuple):
    """A cluster of a global database.

    Attributes:
        identifier: its name, unique in its own region.
        region: its region.
        writes: whether it is the primary cluster.
    """

    identifier: str
    region: str
    writes: bool


class GlobalCluster(NamedTuple):
    """A global database.

    Attributes:
        engine: as the API names it.
        database: the initial database, or None.
        members: its clusters.
    """

    engine: str
    database: str | None
    members: tuple[RegionalCluster, ...]


async def describe_global_cluster(identifier: str) -> GlobalCluster:
    """Look up a global database; every region of it returns the same description.

    Source: RDS API Reference, "DescribeGlobalClusters", "GlobalClusterMember".

    Args:
        identifier: its name.

    Raises:
        ConfigError: there is none of that name.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await call("rds", "describe_global_clusters", GlobalClusterIdentifier=identifier)
    except AwsError as error:
        if error.code in {"GlobalClusterNotFound", "GlobalClusterNotFoundFault"}:
            raise ConfigError(f"global cluster {identifier!r} does not exist in this account") from error
        raise
    found = [each for each in answer["GlobalClusters"] if each["GlobalClusterIdentifier"] == identifier]
    if not found:
        raise ConfigError(f"global cluster {identifier!r} does not exist in this account")
    return parse_global_cluster(found[0])


async def configured_region() -> str:
    """Return the region that AWS is configured for.

    Raises:
        ConfigError: none is configured.
    """
    return str((await asyncio.to_thread(client, "rds")).meta.region_name)


def parse_global_cluster(raw: dict[str, Any]) -> GlobalCluster:
    """Parse one element of the API's response."""
    members = tuple(
        _parse_member(each["DBClusterArn"], writes=bool(each.get("IsWriter")))
        for each in raw.get("GlobalClusterMembers", ())
    )
    return GlobalCluster(raw.get("Engine", ""), raw.get("DatabaseName") or None, members)


def _parse_member(arn: str, *, writes: bool) -> RegionalCluster:
    """Parse a member's ARN, ``arn:aws:rds:REGION:ACCOUNT:cluster:IDENTIFIER``."""
    _, _, _, region, _, _, identifier = arn.split(":", 6)
    return RegionalCluster(identifier, region, writes)
