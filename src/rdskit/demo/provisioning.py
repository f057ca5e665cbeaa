"""Provision the demo's servers through the AWS API: a Multi-AZ instance and a read replica."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rdskit.aws.session import call
from rdskit.demo.model import Member
from rdskit.errors import AwsError, LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit import Database

DemoEngine = Literal["postgres", "mysql", "mariadb"]

DATABASE = "shop"
_TITLES: dict[DemoEngine, str] = {"postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_READY = 120.0  # seconds for an instance to become available
_LAG_TIMEOUT = 2.0  # seconds for one query of the primary
_POLL = 0.1  # seconds between two polls while waiting
_REBUILT = "Recovery of standby DB instance has completed"
_FINAL_STATUSES = frozenset({"failed", "incompatible-parameters", "storage-full", "restore-error"})


@dataclass(frozen=True, slots=True)
class Entrance:
    """The application's connection settings.

    Attributes:
        target: for ``rdskit.connect``.
        credentials: for ``rdskit.connect``.
        title: a description of the servers.
    """

    target: str
    credentials: str
    title: str


class Provisioning:
    """Provision the instance and its replica.

    Args:
        engine: their engine.

    Attributes:
        primary: the instance's identifier.
        replica: the read replica's.
    """

    def __init__(self, engine: DemoEngine) -> None:
        self._engine = engine
        self.primary = "rdskit-demo" if engine == "postgres" else f"rdskit-demo-{engine}"
        self.replica = f"{self.primary}-replica"

    async def prepare(self, say: Callable[[str], None]) -> Entrance:
        """Make both available, created now or left by an earlier run.

        Args:
            say: called with a message before each slow step.

        Raises:
            LocalError: one of them does not become available.
            AwsError: a request was refused.
        """
        await _ensure(self.primary, self._create_primary, say)
        await available(self.primary)
        await _ensure(self.replica, self._create_replica, say)
        await available(self.replica)
        found = await available(self.primary)
        secret = found["MasterUserSecret"]["SecretArn"]
        title = f"{_TITLES[self._engine]} {found['EngineVersion']}, Multi-AZ, one read replica"
        return Entrance(f"rds://{self.primary}/{DATABASE}", f"secretsmanager:{secret}", title)

    async def fail_over(self) -> None:
        """Request a failover, as an operator would.

        Raises:
            AwsError: the request was refused.
        """
        await call("rds", "reboot_db_instance", DBInstanceIdentifier=self.primary, ForceFailover=True)

    async def rebuilt(self, since: dt.datetime) -> dt.datetime | None:
        """Return when the standby was in sync again after a failover; None if it is not yet.

        Args:
            since: when the failover began.
        """
        minutes = int((dt.datetime.now(dt.UTC) - since).total_seconds() // 60) + 1
        found = await call(
            "rds",
            "describe_events",
            SourceIdentifier=self.primary,
            SourceType="db-instance",
            EventCategories=["recovery"],
            Duration=minutes,
        )
        return next(
            (each["Date"] for each in found["Events"] if _REBUILT in each["Message"] and each["Date"] > since), None
        )

    async def zone(self) -> str:
        """Return the primary's availability zone."""
        found = await _describe(self.primary)
        return str(found["AvailabilityZone"]) if found else "?"

    async def members(self) -> tuple[Member, ...]:
        """Return the servers as the API describes them now."""
        primary, replica = await asyncio.gather(_describe(self.primary), _describe(self.replica))
        return tuple(
            Member(found["DBInstanceIdentifier"], part, found.get("AvailabilityZone"), found["DBInstanceStatus"])
            for found, part in ((primary, "writer"), (replica, "reader"))
            if found is not None
        )

    async def replica_lag(self, db: Database) -> float | None:
        """Return the replica's lag in seconds, as the primary reports it; None if it reports none.

        Source: PostgreSQL documentation, ``pg_stat_replication.replay_lag``. The synchronous standby is not a reader. A
        primary of MySQL or MariaDB knows its replicas, but not their lag.
        """
        if self._engine != "postgres":
            return None
        async with db.transaction(read_only=True, timeout=_LAG_TIMEOUT) as tx:  # a transaction runs on the writer
            lag: float = await tx.fetch_value(
                "select coalesce(max(extract(epoch from replay_lag)), 0)::float8 "
                "from pg_stat_replication where sync_state = 'async'"
            )
            return lag

    async def _create_primary(self) -> None:
        await call(
            "rds",
            "create_db_instance",
            DBInstanceIdentifier=self.primary,
            DBInstanceClass="db.t4g.medium",
            Engine=self._engine,
            AllocatedStorage=20,
            DBName=DATABASE,
            MasterUsername="shopkeeper",
            ManageMasterUserPassword=True,
            MultiAZ=True,
        )

    async def _create_replica(self) -> None:
        await call(
            "rds",
            "create_db_instance_read_replica",
            DBInstanceIdentifier=self.replica,
            SourceDBInstanceIdentifier=self.primary,
        )


async def available(identifier: str) -> dict[str, Any]:
    """Wait until an instance is available, and return its description.

    Raises:
        LocalError: it is not available within two minutes, or its status is final.
    """
    status = "missing"
    try:
        async with asyncio.timeout(_READY):
            while True:
                found = await _describe(identifier)
                status = found["DBInstanceStatus"] if found else "missing"
                if found is not None and status == "available":
                    return found
                if status in _FINAL_STATUSES:
                    break
                await asyncio.sleep(_POLL)
    except TimeoutError:
        pass  # reported below, together with the final statuses
    raise LocalError(f"{identifier} is {status!r} and not available: `rdskit local reset --yes` starts with empty data")


async def _ensure(identifier: str, create: Callable[[], Any], say: Callable[[str], None]) -> None:
    found = await _describe(identifier)
    if found is None:
        say(f"creating {identifier}")
        try:
            await create()
        except AwsError as error:
            # The AWS client retries a request whose response is late, and then finds what the first one has created.
            if error.code != "DBInstanceAlreadyExists":
                raise
    elif found["DBInstanceStatus"] == "stopped":
        say(f"starting {identifier}")
        await call("rds", "start_db_instance", DBInstanceIdentifier=identifier)


async def _describe(identifier: str) -> dict[str, Any] | None:
    try:
        answer = await call("rds", "describe_db_instances", DBInstanceIdentifier=identifier)
    except AwsError as error:
        if error.code in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            return None
        raise
    found: dict[str, Any] = answer["DBInstances"][0]
    return found
