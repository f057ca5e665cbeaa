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
    )
