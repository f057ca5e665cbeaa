"""Values that the control plane and the fleet exchange: specifications, facts, events and failover records."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import datetime as dt

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.fault_model import Fault

EventKind = Literal[
    "failover-started",
    "failover-completed",
    "restarted",
    "stopped-unexpectedly",
    "storage-full",
    "standby-lost",
    "standby-rebuilt",
    "standby-in-sync",
    "replica-rebuilt",
]
FailoverCause = Literal["requested", "primary-ended", "primary-hung"]


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """Specification of a DB instance to create.

    Attributes:
        resource_id: ``db-ABC…``; the key of everything on disk.
        engine: ``postgres``, ``mysql`` or ``mariadb``.
        master_user: gets the rights that RDS gives, which are not a superuser's.
        master_password: of the master user; unused for a read replica, which has its source's roles.
        database: an initial database, owned by the master user.
        port: of the endpoint; honored on Linux only.
        multi_az: create a synchronous standby too.
        zones: availability zones of the primary and of the standby.
        parameters: values that the parameter group sets; every other parameter has its default.
        iam: whether IAM users may log in.
        cluster_id: key of the DB cluster that the instance belongs to. Users and databases are the cluster's.
        identifier: name in RDS of a cluster's instance; its SQL functions report it.
        tier: promotion tier of a cluster's instance.
    """

    resource_id: str
    engine: str
    master_user: str
    master_password: str = field(repr=False)
    database: str | None
    port: int
    multi_az: bool
    zones: tuple[str, str]
    parameters: Mapping[str, str]
    iam: bool = False
    cluster_id: str | None = None
    identifier: str = ""
    tier: int = 1


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """Event in the life of an instance or a cluster.

    Attributes:
        resource_id: of the instance or cluster.
        kind: for programs.
        message: for people.
        at: when it happened.
        promotion_ms: of a completed failover: from the signal that ended the old primary to the first write that the
            new one accepted.
    """

    resource_id: str
    kind: EventKind
    message: str
    at: dt.datetime
    promotion_ms: float | None = None


@dataclass(frozen=True, slots=True)
class FailoverRecord:
    """Record of one failover.

    Attributes:
        resource_id: of the instance or cluster.
        cause: why it happened.
        at: when the old primary was fenced.
        promotion_ms: as in :class:`FleetEvent`.
        detection_ms: from the old primary's last answer to a probe until ``at``; None for a requested failover.
    """

    resource_id: str
    cause: FailoverCause
    at: dt.datetime
    promotion_ms: float
    detection_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CustomEndpoint:
    """Custom endpoint of a DB cluster.

    Attributes:
        name: its key.
        readers_only: never route to the writer.
        static: route to these instances only; empty means all but ``excluded``, including later ones.
        excluded: instances that the endpoint does not route to.
    """

    name: str
    readers_only: bool
    static: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Present state of a DB cluster.

    Attributes:
        resource_id: of the cluster.
        endpoint: routes to the writer.
        reader_endpoint: routes to the readers in turn.
        writer_id: the instance that takes writes; None before the first instance.
        in_sync: readers that are known to have every acknowledged commit.
        addresses: of all its endpoints, by name.
    """

    resource_id: str
    endpoint: Endpoint
    reader_endpoint: Endpoint
    writer_id: str | None
    in_sync: frozenset[str]
    addresses: Mapping[str, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """Present state of an instance.

    Attributes:
        resource_id: of the instance.
        running: whether its primary (of a read replica: its only server) runs.
        endpoint: where clients connect; never changes.
        zone: availability zone of the primary.
        secondary_zone: availability zone of the standby; None without one.
        standby_in_sync: whether a failover would lose nothing; None without a standby.
        source_id: of a read replica: the instance that it replicates from.
        replica_lag: of a read replica: seconds behind its source; None while it does not stream.
        pending_restart: parameters that wait for a reboot.
        engine_version: as the server prints it.
        storage_full: whether its storage is used up, so that it cannot run.
        faults: injected faults that are in force.
    """

    resource_id: str
    running: bool
    endpoint: Endpoint
    zone: str
    secondary_zone: str | None
    standby_in_sync: bool | None
    source_id: str | None
    replica_lag: float | None
    pending_restart: frozenset[str]
    engine_version: str
    storage_full: bool = False
    faults: frozenset[Fault] = frozenset()
