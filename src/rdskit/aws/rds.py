"""What the RDS API says about instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rdskit.aws.session import call
from rdskit.errors import AwsError, ConfigError, ConnectError
from rdskit.kernel.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class InstanceDescription:
    """One DB instance, as far as a client needs to know it.

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
        writer: identifier of the instance that the API takes for the writer, or None.
        database: the initial database, or None.
    """

    identifier: str
    engine: str
    status: str
    writer: str | None
    database: str | None

    @property
    def is_aurora(self) -> bool:
        """Whether its instances share their storage."""
        return self.engine.startswith("aurora")


async def describe_cluster(identifier: str) -> ClusterDescription:
    """Look one cluster up.

    Raises:
        ConfigError: there is no such cluster.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await call("rds", "describe_db_clusters", DBClusterIdentifier=identifier)
    except AwsError as error:
        if error.code in {"DBClusterNotFound", "DBClusterNotFoundFault"}:
            raise ConfigError(f"DB cluster {identifier!r} does not exist in this account and region") from error
        raise
    raw = answer["DBClusters"][0]
    writers = (each["DBInstanceIdentifier"] for each in raw["DBClusterMembers"] if each["IsClusterWriter"])
    return ClusterDescription(
        identifier=raw["DBClusterIdentifier"],
        engine=raw["Engine"],
        status=raw["Status"],
        writer=next(writers, None),
        database=raw.get("DatabaseName") or None,
    )


async def describe_members(cluster: str) -> tuple[InstanceDescription, ...]:
    """Look up the instances of a cluster, which are at most sixteen and so on one page."""
    filters = [{"Name": "db-cluster-id", "Values": [cluster]}]
    answer = await call("rds", "describe_db_instances", Filters=filters)
    found = [one for one in answer["DBInstances"] if one.get("DBClusterIdentifier") == cluster]
    return tuple(_description(one) for one in found)


async def describe_instance(identifier: str) -> InstanceDescription:
    """Look one instance up.

    Raises:
        ConfigError: there is no such instance.
        AwsError: the API refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await call("rds", "describe_db_instances", DBInstanceIdentifier=identifier)
    except AwsError as error:
        if error.code in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            message = f"DB instance {identifier!r} does not exist in this account and region; {await _known()}"
            raise ConfigError(message) from error
        raise
    return _description(answer["DBInstances"][0])


async def _known() -> str:
    try:
        answer = await call("rds", "describe_db_instances", MaxRecords=20)
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
