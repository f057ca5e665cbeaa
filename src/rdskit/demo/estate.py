"""The demo's servers: a Multi-AZ PostgreSQL instance and a read replica, asked for by the AWS API as anyone would."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rdskit.aws.session import call
from rdskit.demo.model import Member
from rdskit.errors import AwsError, LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit import Database

PRIMARY, REPLICA, DATABASE = "rdskit-demo", "rdskit-demo-replica", "shop"
_READY = 120.0  # seconds for an instance to become available
_LAG_TIMEOUT = 2.0  # seconds for one question to the primary
_LOOK = 0.1  # seconds between two looks while waiting
_HOPELESS = frozenset({"failed", "incompatible-parameters", "storage-full", "restore-error"})


@dataclass(frozen=True, slots=True)
class Estate:
    """What the application needs to know.

    Attributes:
        target: for ``rdskit.connect``.
        credentials: for ``rdskit.connect``.
        title: what it is, in words.
    """

    target: str
    credentials: str
    title: str


async def prepare(say: Callable[[str], None]) -> Estate:
    """Have the instance and its replica, made now or left by an earlier run, available.

    Args:
        say: is told what takes time.

    Raises:
        LocalError: one of them does not become available.
        AwsError: a request was refused.
    """
    await _have(PRIMARY, _create_primary, say)
    await _have(REPLICA, _create_replica, say)
    await asyncio.gather(available(PRIMARY), available(REPLICA))
    primary = await available(PRIMARY)
    secret = primary["MasterUserSecret"]["SecretArn"]
    title = f"PostgreSQL {primary['EngineVersion']}, Multi-AZ, one read replica"
    return Estate(f"rds://{PRIMARY}/{DATABASE}", f"secretsmanager:{secret}", title)


async def fail_over() -> None:
    """Ask for a failover, as an operator would.

    Raises:
        AwsError: the request was refused.
    """
    await call("rds", "reboot_db_instance", DBInstanceIdentifier=PRIMARY, ForceFailover=True)


async def zone() -> str:
    """The primary's availability zone."""
    found = await _describe(PRIMARY)
    return str(found["AvailabilityZone"]) if found else "?"


async def members() -> tuple[Member, ...]:
    """The servers as the API describes them now."""
    primary, replica = await asyncio.gather(_describe(PRIMARY), _describe(REPLICA))
    return tuple(
        Member(found["DBInstanceIdentifier"], part, found.get("AvailabilityZone"), found["DBInstanceStatus"])
        for found, part in ((primary, "writer"), (replica, "reader"))
        if found is not None
    )


async def replica_lag(db: Database) -> float | None:
    """Seconds that the replica is behind, as the primary sees it; None while nothing streams or nothing is behind.

    Source: PostgreSQL documentation, ``pg_stat_replication.replay_lag``. The synchronous standby is no reader.
    """
    async with db.transaction(read_only=True, timeout=_LAG_TIMEOUT) as tx:  # a transaction runs on the writer
        lag: float | None = await tx.fetch_value(
            "select max(extract(epoch from replay_lag))::float8 from pg_stat_replication where sync_state = 'async'"
        )
        return lag


async def available(identifier: str) -> dict[str, Any]:
    """Wait until an instance is available, and give its description.

    Raises:
        LocalError: it is not within two minutes, or will never be.
    """
    status = "missing"
    try:
        async with asyncio.timeout(_READY):
            while True:
                found = await _describe(identifier)
                status = found["DBInstanceStatus"] if found else "missing"
                if found is not None and status == "available":
                    return found
                if status in _HOPELESS:
                    break
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        pass  # told below, together with the statuses that nothing changes
    raise LocalError(f"{identifier} is {status!r} and not available: `rdskit local reset --yes` begins anew")


async def _have(identifier: str, create: Callable[[], Any], say: Callable[[str], None]) -> None:
    found = await _describe(identifier)
    if found is None:
        say(f"creating {identifier}")
        await create()
    elif found["DBInstanceStatus"] == "stopped":
        say(f"starting {identifier}")
        await call("rds", "start_db_instance", DBInstanceIdentifier=identifier)
    if identifier == PRIMARY:
        await available(identifier)


async def _create_primary() -> None:
    await call(
        "rds",
        "create_db_instance",
        DBInstanceIdentifier=PRIMARY,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        DBName=DATABASE,
        MasterUsername="shopkeeper",
        ManageMasterUserPassword=True,
        MultiAZ=True,
    )


async def _create_replica() -> None:
    await call(
        "rds",
        "create_db_instance_read_replica",
        DBInstanceIdentifier=REPLICA,
        SourceDBInstanceIdentifier=PRIMARY,
    )


async def _describe(identifier: str) -> dict[str, Any] | None:
    try:
        answer = await call("rds", "describe_db_instances", DBInstanceIdentifier=identifier)
    except AwsError as error:
        if error.code in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            return None
        raise
    found: dict[str, Any] = answer["DBInstances"][0]
    return found
