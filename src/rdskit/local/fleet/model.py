"""What the control plane asks of the fleet, and what the fleet tells it."""

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
    """A DB instance to be made.

    Attributes:
        resource_id: ``db-ABC…``; the key of everything on disk.
        engine: ``postgres``, ``mysql`` or ``mariadb``.
        master_user: gets RDS's rights, which are not a superuser's.
        master_password: of the master user; of no use for a read replica, which has its source's roles.
        database: an initial database, owned by the master user.
        port: of the endpoint; honoured on Linux.
        multi_az: with a synchronous standby.
        zones: availability zones of the primary and of the standby.
        parameters: what the parameter group sets; everything else has its default.
        iam: whether IAM users may log in.
        cluster_id: of an instance of a DB cluster: the cluster's key. Users and databases are the cluster's.
        identifier: of an instance of a DB cluster: its name in RDS, which its SQL functions tell.
        tier: of an instance of a DB cluster: its promotion tier.
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
    """Something that happened to an instance.

    Attributes:
        resource_id: of the instance.
        kind: for programs.
        message: for people.
        at: when.
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
    """One failover.

    Attributes:
        resource_id: of the instance.
        cause: why.
        at: when the old primary was ended.
        promotion_ms: as in :class:`FleetEvent`.
        detection_ms: from the old primary's last answer to a probe to ``at``; None of one that was asked for.
    """

    resource_id: str
    cause: FailoverCause
    at: dt.datetime
    promotion_ms: float
    detection_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CustomEndpoint:
    """A further endpoint of a DB cluster.

    Attributes:
        name: its key.
        readers_only: whether it never leads to the writer.
        static: the only instances that it leads to; empty means all but ``excluded``, later ones too.
        excluded: instances that it does not lead to.
    """

    name: str
    readers_only: bool
    static: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The present state of a DB cluster.

    Attributes:
        resource_id: of the cluster.
        endpoint: leads to the writer.
        reader_endpoint: leads to the readers in turn.
        writer_id: the instance that takes writes; None before there is one.
        in_sync: the readers on which every acknowledged commit is known to be.
        addresses: of all its endpoints, by their names.
    """

    resource_id: str
    endpoint: Endpoint
    reader_endpoint: Endpoint
    writer_id: str | None
    in_sync: frozenset[str]
    addresses: Mapping[str, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """The present state of an instance.

    Attributes:
        resource_id: of the instance.
        running: its primary (or, of a read replica, its one server) runs.
        endpoint: where clients connect; never changes.
        zone: where the primary is.
        secondary_zone: where the standby is; None without one.
        standby_in_sync: whether a failover would lose nothing; None without a standby.
        source_id: of a read replica: what it copies.
        replica_lag: of a read replica: seconds behind its source; None while it does not stream.
        pending_restart: parameters that wait for a reboot.
        engine_version: as the server prints it.
        storage_full: its storage is used up, so that it cannot run.
        faults: what was injected and is in force.
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
