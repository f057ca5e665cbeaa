"""Aurora global databases: one cluster that writes, and others that follow it in other regions."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from rdskit.aws.session import call, client
from rdskit.errors import AwsError, ConfigError


class RegionalCluster(NamedTuple):
    """A cluster of a global database.

    Attributes:
        identifier: its name, which is one of its own region's.
        region: where it is.
        writes: whether it is the primary.
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
    """Look a global database up; its primary's region and all others give the same answer.

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
    return described(found[0])


async def configured_region() -> str:
    """The region in which this client is, by its configuration.

    Raises:
        ConfigError: none is configured.
    """
    return str((await asyncio.to_thread(client, "rds")).meta.region_name)


def described(raw: dict[str, Any]) -> GlobalCluster:
    """Read one element of the API's answer."""
    members = tuple(
        _member(each["DBClusterArn"], writes=bool(each.get("IsWriter"))) for each in raw.get("GlobalClusterMembers", ())
    )
    return GlobalCluster(raw.get("Engine", ""), raw.get("DatabaseName") or None, members)


def _member(arn: str, *, writes: bool) -> RegionalCluster:
    """Read ``arn:aws:rds:REGION:ACCOUNT:cluster:IDENTIFIER``."""
    _, _, _, region, _, _, identifier = arn.split(":", 6)
    return RegionalCluster(identifier, region, writes)
