"""Look up instances and clusters in the RDS API, and find the owner of an endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.aws.session import call, call_hurried
from rdskit.errors import AwsError, ConfigError, ConnectError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.rds_names import EndpointKind, RdsName
from rdskit.kernel.topology import Selection

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERYTHING: Final = Selection()
_READERS: Final = Selection(readers_only=True)
_PAGE = 100  # the largest MaxRecords that RDS accepts


@dataclass(frozen=True, slots=True)
class InstanceDescription:
    """The fields of one DB instance that a client needs.

    Attributes:
        endpoint: None while the instance is being created.
        replicas: identifiers of its read replicas in this region.
        source: identifier of the instance that it replicates, or None.
        cluster: identifier of the cluster that it belongs to, or None.
        database: the initial database, or None.
    """

    identifier: str
    engine: str
    status: str
    endpoint: Endpoint | None
    zone: str | None
    multi_az: bool
    replicas: tuple[str, ...]
    source: str | None
    database: str | None
    master_user: str
    secret: str | None
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """One DB cluster: Aurora, or a Multi-AZ DB cluster.

    Attributes:
        writer: identifier of the instance that the API reports as the writer, or None.
        database: the initial database, or None.
        secret: ARN of the master user's secret, if RDS manages it.
    """

    identifier: str
    engine: str
    status: str
    writer: str | None
    database: str | None
    secret: str | None = None

    @property
    def is_aurora(self) -> bool:
        """Whether its instances share their storage."""
        return self.engine.startswith("aurora")


@dataclass(frozen=True, slots=True)
class Owner:
    """The cluster or instance that an endpoint belongs to.

    Attributes:
        identifier: the cluster's; the instance's if it is in no cluster.
        is_cluster: whether ``identifier`` is a cluster's.
        engine: the API's engine name.
        selection: the instances that the endpoint leads to.
    """

    identifier: str
    is_cluster: bool
    engine: str
    selection: Selection = _EVERYTHING


async def describe_cluster(identifier: str, region: str | None = None) -> ClusterDescription:
    """Look up one cluster.

    Args:
        identifier: its name.
        region: its region; by default the configured one.

    Raises:
        ConfigError: there is no such cluster.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    raw = await _raw_cluster(identifier, region)
    writers = (each["DBInstanceIdentifier"] for each in raw["DBClusterMembers"] if each["IsClusterWriter"])
    return ClusterDescription(
        identifier=raw["DBClusterIdentifier"],
        engine=raw["Engine"],
        status=raw["Status"],
        writer=next(writers, None),
        database=raw.get("DatabaseName") or None,
        secret=(raw.get("MasterUserSecret") or {}).get("SecretArn"),
    )


async def describe_members(cluster: str, region: str | None = None) -> tuple[InstanceDescription, ...]:
    """Look up the instances of a cluster; there are at most sixteen, so one page is enough."""
    filters = [{"Name": "db-cluster-id", "Values": [cluster]}]
    answer = await call("rds", "describe_db_instances", region=region, Filters=filters)
    found = [one for one in answer["DBInstances"] if one.get("DBClusterIdentifier") == cluster]
    return tuple(_description(one) for one in found)


async def describe_instance(
    identifier: str, region: str | None = None, *, hurried: bool = False
) -> InstanceDescription:
    """Look up one instance.

    Args:
        identifier: its name.
        region: its region; by default the configured one.
        hurried: make one short attempt, for an optional result; errors then do not list the existing instances.

    Raises:
        ConfigError: there is no such instance.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await (call_hurried if hurried else call)(
            "rds", "describe_db_instances", region=region, DBInstanceIdentifier=identifier
        )
    except AwsError as error:
        if error.code in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            known = "check its name" if hurried else await _known_instances(region)
            message = f"DB instance {identifier!r} does not exist in this account and region; {known}"
            raise ConfigError(message) from error
        raise
    return _description(answer["DBInstances"][0])


# -- owners of endpoints -----------------------------------------------------------------------------------------------


async def owner_of_name(name: RdsName, host: str) -> Owner:
    """Find the owner of an RDS host name with the least permissions: only the named resource is described.

    Args:
        name: the parsed host name.
        host: the host name itself.

    Raises:
        ConfigError: no resource of this account has that endpoint.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    owner = await _owner_by_name(name, host.lower())
    if owner is None:
        raise ConfigError(f"no instance or cluster of this account has the endpoint {host}: it is another account's")
    return owner


async def _owner_by_name(name: RdsName, host: str) -> Owner | None:
    region = name.region
    if name.kind is EndpointKind.INSTANCE:
        instance = await describe_instance(name.identifier, region, hurried=True)
        ours = instance.endpoint is not None and instance.endpoint.host.lower() == host
        return _owner_of_instance(instance) if ours else None
    if name.kind is EndpointKind.CUSTOM:
        custom = await _raw_custom_endpoint(region, host, DBClusterEndpointIdentifier=name.identifier)
        return await _owner_by_custom_endpoint(custom, region) if custom else None
    return await _owner_among(await _raw_cluster(name.identifier, region, hurried=True), host)


async def owner_of_address(endpoint: Endpoint) -> Owner | None:
    """Find the instance or cluster with an endpoint among all of the configured account and region.

    Raises:
        AwsError: the API refused.
        ConnectError: it cannot be reached.
        ConfigError: AWS is not configured.
    """
    clusters, instances = await asyncio.gather(
        _all("describe_db_clusters", "DBClusters"), _all("describe_db_instances", "DBInstances")
    )
    for raw in clusters:
        if raw.get("Port") == endpoint.port and (owner := await _owner_among(raw, endpoint.host)):
            return owner
    described = (_description(raw) for raw in instances)
    return next((_owner_of_instance(one) for one in described if one.endpoint == endpoint), None)


async def _owner_among(raw: Mapping[str, Any], host: str) -> Owner | None:
    """Return the cluster as the owner of one of its endpoints; None if the host is none of them."""
    if host in (raw.get("CustomEndpoints") or ()):
        custom = await _raw_custom_endpoint(None, host, DBClusterIdentifier=raw["DBClusterIdentifier"])
        return await _owner_by_custom_endpoint(custom, None) if custom else None
    selection = {raw.get("ReaderEndpoint"): _READERS, raw.get("Endpoint"): _EVERYTHING}.get(host)
    if selection is None:
        return None
    return Owner(raw["DBClusterIdentifier"], is_cluster=True, engine=raw["Engine"], selection=selection)


async def _owner_by_custom_endpoint(custom: Mapping[str, Any], region: str | None) -> Owner:
    cluster = await _raw_cluster(custom["DBClusterIdentifier"], region, hurried=True)
    selection = Selection(
        readers_only=custom.get("CustomEndpointType") == "READER",
        members=frozenset(custom.get("StaticMembers") or ()),
        excluded=frozenset(custom.get("ExcludedMembers") or ()),
    )
    return Owner(cluster["DBClusterIdentifier"], is_cluster=True, engine=cluster["Engine"], selection=selection)


def _owner_of_instance(instance: InstanceDescription) -> Owner:
    """Return the instance's cluster; else the instance that it replicates in this region; else itself."""
    if instance.cluster is not None:
        return Owner(instance.cluster, is_cluster=True, engine=instance.engine)
    source = instance.source if instance.source and not instance.source.startswith("arn:") else None
    return Owner(source or instance.identifier, is_cluster=False, engine=instance.engine)


async def _raw_cluster(identifier: str, region: str | None, *, hurried: bool = False) -> dict[str, Any]:
    try:
        answer = await (call_hurried if hurried else call)(
            "rds", "describe_db_clusters", region=region, DBClusterIdentifier=identifier
        )
    except AwsError as error:
        if error.code in {"DBClusterNotFound", "DBClusterNotFoundFault"}:
            raise ConfigError(f"DB cluster {identifier!r} does not exist in this account and region") from error
        raise
    found: dict[str, Any] = answer["DBClusters"][0]
    return found


async def _raw_custom_endpoint(region: str | None, address: str, **by: str) -> dict[str, Any] | None:
    answer = await call_hurried("rds", "describe_db_cluster_endpoints", region=region, **by)
    found: list[dict[str, Any]] = answer["DBClusterEndpoints"]
    return next((one for one in found if one.get("Endpoint", "").lower() == address.lower()), None)


async def _all(operation: str, key: str) -> list[dict[str, Any]]:
    """Return the results of all pages of a list operation."""
    found: list[dict[str, Any]] = []
    where: dict[str, str] = {}
    while True:
        answer = await call_hurried("rds", operation, MaxRecords=_PAGE, **where)
        found.extend(answer[key])
        if not answer.get("Marker"):
            return found
        where = {"Marker": answer["Marker"]}


async def _known_instances(region: str | None) -> str:
    try:
        answer = await call("rds", "describe_db_instances", region=region, MaxRecords=20)
    except (AwsError, ConnectError):
        return "check its name"
    names = ", ".join(sorted(instance["DBInstanceIdentifier"] for instance in answer["DBInstances"]))
    return f"there are: {names}" if names else "there are no instances"


def _description(raw: dict[str, Any]) -> InstanceDescription:
    endpoint = raw.get("Endpoint") or {}
    address = endpoint.get("Address")
    return InstanceDescription(
        identifier=raw["DBInstanceIdentifier"],
        engine=raw["Engine"],
        status=raw["DBInstanceStatus"],
        endpoint=Endpoint(address, int(endpoint["Port"])) if address else None,
        zone=raw.get("AvailabilityZone"),
        multi_az=bool(raw.get("MultiAZ")),
        replicas=tuple(raw.get("ReadReplicaDBInstanceIdentifiers") or ()),
        source=raw.get("ReadReplicaSourceDBInstanceIdentifier") or None,
        database=raw.get("DBName") or None,
        master_user=raw.get("MasterUsername", ""),
        secret=(raw.get("MasterUserSecret") or {}).get("SecretArn"),
        cluster=raw.get("DBClusterIdentifier") or None,
    )
