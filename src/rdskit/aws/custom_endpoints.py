"""Look up custom endpoints of Aurora clusters by their identifiers."""

from __future__ import annotations

from typing import NamedTuple

from rdskit.aws.session import call
from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.topology import Selection


class CustomEndpoint(NamedTuple):
    """A custom endpoint.

    Attributes:
        cluster: identifier of its cluster.
        endpoint: its host and port.
        selection: the instances that it leads to.
    """

    cluster: str
    endpoint: Endpoint
    selection: Selection


async def describe_custom_endpoint(identifier: str) -> CustomEndpoint:
    """Look up a custom endpoint by its identifier.

    Source: RDS API Reference, "DescribeDBClusterEndpoints".

    Args:
        identifier: its name.

    Raises:
        ConfigError: there is none of that name.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    answer = await call("rds", "describe_db_cluster_endpoints", DBClusterEndpointIdentifier=identifier)
    found = [each for each in answer["DBClusterEndpoints"] if each.get("EndpointType") == "CUSTOM"]
    if not found:
        raise ConfigError(f"custom endpoint {identifier!r} does not exist in this account and region")
    (raw,) = found
    cluster = await call("rds", "describe_db_clusters", DBClusterIdentifier=raw["DBClusterIdentifier"])
    selection = Selection(
        readers_only=raw.get("CustomEndpointType") == "READER",
        members=frozenset(raw.get("StaticMembers") or ()),
        excluded=frozenset(raw.get("ExcludedMembers") or ()),
    )
    endpoint = Endpoint(raw["Endpoint"], int(cluster["DBClusters"][0]["Port"]))
    return CustomEndpoint(raw["DBClusterIdentifier"], endpoint, selection)
