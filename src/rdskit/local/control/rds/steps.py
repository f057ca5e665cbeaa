"""Pieces of work on an instance's servers, done one after another, outside the control plane's monitor.

A step is stored with its instance until it is done, so that a crash in the middle only means that it is done again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rdskit.errors import LocalError
from rdskit.local.fleet import InstanceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.local.fleet import Fleet

__all__ = [
    "AddStandby",
    "AllocateStorage",
    "ApplyParameters",
    "ConfigureIam",
    "Create",
    "CreateReplica",
    "Delete",
    "FailOver",
    "FailOverCluster",
    "Observe",
    "Promote",
    "Reboot",
    "RemoveStandby",
    "ResetPassword",
    "Scale",
    "ScaleOver",
    "Start",
    "Step",
    "Stop",
    "Subject",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the servers must know of an instance."""

    resource_id: str
    engine: str
    master_user: str
    database: str | None
    port: int
    multi_az: bool
    zones: tuple[str, str]
    iam: bool = False
    cluster_id: str | None = None
    identifier: str = ""
    tier: int = 1

    def spec(self, password: str, parameters: Mapping[str, str]) -> InstanceSpec:
        """The specification of new servers for the instance."""
        return InstanceSpec(
            resource_id=self.resource_id,
            engine=self.engine,
            master_user=self.master_user,
            master_password=password,
            database=self.database,
            port=self.port,
            multi_az=self.multi_az,
            zones=self.zones,
            parameters=dict(parameters),
            iam=self.iam,
            cluster_id=self.cluster_id,
            identifier=self.identifier,
            tier=self.tier,
        )


@dataclass(frozen=True)
class Step(ABC):
    """One piece of work.

    Attributes:
        status: of the instance while the step waits and works; None leaves it as it is.
        result: status afterwards; None leaves it as it is.
        failure: status when the servers could not do it; None leaves it as it is.
        removes: whether the instance is gone afterwards.
        fails_over: whether its cluster has another writer afterwards.
        begun: the event when the work begins, a key of `events.EVENTS`.
        done: the event when it is done.
        failed: the event when it failed, with the reason.
    """

    status: ClassVar[str | None] = "modifying"
    result: ClassVar[str | None] = "available"
    failure: ClassVar[str | None] = "available"
    removes: ClassVar[bool] = False
    fails_over: ClassVar[bool] = False
    begun: ClassVar[str | None] = None
    done: ClassVar[str | None] = None
    failed: ClassVar[str] = "notice"

    @property
    def changes(self) -> Mapping[str, object]:
        """What PendingModifiedValues shows until the step is done."""
        return {}

    @abstractmethod
    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Do the work; it may have been done before, wholly or half, by a process that crashed.

        Raises:
            LocalError: the servers could not do it.
        """


@dataclass(frozen=True)
class Create(Step):
    """Make the servers of a new instance."""

    password: str = field(repr=False)
    parameters: Mapping[str, str]
    status = "creating"
    failure = "failed"
    done = "created"
    failed = "create-failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Begin anew where a crash left half an instance: nobody has been told of it yet."""
        _discard(fleet, subject.resource_id)
        fleet.create(subject.spec(self.password, self.parameters))


@dataclass(frozen=True)
class CreateReplica(Step):
    """Make a read replica of another instance."""

    source_id: str
    parameters: Mapping[str, str]
    status = "creating"
    failure = "failed"
    done = "created"
    failed = "replica-create-failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Begin anew where a crash left half a replica."""
        _discard(fleet, subject.resource_id)
        # A replica has its source's roles: it has no password of its own.
        fleet.create_replica(subject.spec("", self.parameters), self.source_id)


@dataclass(frozen=True)
class AllocateStorage(Step):
    """Give an instance that is ``storage-full`` more storage, and let it start again."""

    failure = "storage-full"
    begun = "storage-started"
    done = "storage-finished"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Storage that is not full is fine."""
        fleet.allocate_storage(subject.resource_id)


@dataclass(frozen=True)
class ResetPassword(Step):
    """Give the master user another password.

    Attributes:
        version_id: of the managed secret's new version, where somebody asked for one of that name.
    """

    password: str = field(repr=False)
    version_id: str | None = None
    status = "resetting-master-credentials"
    done = "password-reset"

    @property
    def changes(self) -> Mapping[str, object]:
        """Told until it is done."""
        return {"MasterUserPassword": "****"}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Set it."""
        fleet.set_master_password(subject.resource_id, self.password)


@dataclass(frozen=True)
class AddStandby(Step):
    """Convert to Multi-AZ."""

    begun = "multi-az-started"
    done = "multi-az-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """Told until it is done."""
        return {"MultiAZ": True}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Convert; once more changes nothing."""
        fleet.set_multi_az(subject.resource_id, True)


@dataclass(frozen=True)
class RemoveStandby(Step):
    """Convert to Single-AZ."""

    begun = "single-az-started"
    done = "single-az-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """Told until it is done."""
        return {"MultiAZ": False}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Convert; once more changes nothing."""
        fleet.set_multi_az(subject.resource_id, False)


@dataclass(frozen=True)
class ConfigureIam(Step):
    """Let IAM users in, or refuse them."""

    enabled: bool
    status = "configuring-iam-database-auth"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Tell the endpoint; once more changes nothing."""
        fleet.set_iam(subject.resource_id, self.enabled)


@dataclass(frozen=True)
class ApplyParameters(Step):
    """Set dynamic parameters on running servers."""

    parameters: Mapping[str, str]
    status = None
    result = None
    failure = None
    done = "parameters-updated"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Set exactly these; a parameter that is not among them gets its default again."""
        fleet.apply_parameters(subject.resource_id, self.parameters)


@dataclass(frozen=True)
class Reboot(Step):
    """Restart the servers with the parameter group's values."""

    parameters: Mapping[str, str]
    status = "rebooting"
    done = "restarted"
    failure = "incompatible-parameters"
    failed = "parameters-refused"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Values first, then the restart that static ones wait for."""
        fleet.apply_parameters(subject.resource_id, self.parameters)
        fleet.reboot(subject.resource_id)


@dataclass(frozen=True)
class FailOver(Step):
    """Reboot with failover: the standby takes over, with the parameter group's values.

    One that cannot be done, for want of a standby in sync, leaves the instance as it was.
    """

    parameters: Mapping[str, str]
    status = "rebooting"
    done = "restarted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Values first: the new primary has them."""
        fleet.apply_parameters(subject.resource_id, self.parameters)
        fleet.reboot(subject.resource_id, force_failover=True)


@dataclass(frozen=True)
class _ToClass(Step):
    """Move to another instance class.

    Attributes:
        instance_class: the new one; no server here is larger for it.
    """

    instance_class: str
    status = "modifying"
    begun = "class-started"
    done = "class-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """The class that it does not have yet."""
        return {"DBInstanceClass": self.instance_class}


@dataclass(frozen=True)
class Scale(_ToClass, Reboot):
    """Move to another class, which restarts the servers."""


@dataclass(frozen=True)
class ScaleOver(_ToClass, FailOver):
    """Move a Multi-AZ instance to another class: the standby first, which then takes over."""


@dataclass(frozen=True)
class FailOverCluster(Step):
    """Promote a reader of the instance's cluster.

    Attributes:
        cluster_id: the cluster's resource id.
        target_id: the reader's resource id; None takes the lowest promotion tier.
    """

    cluster_id: str
    target_id: str | None
    status = None
    result = None
    failure = None
    fails_over = True

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Promote, unless a process that crashed has done so already."""
        if fleet.describe_cluster(self.cluster_id).writer_id == subject.resource_id:
            fleet.fail_over_cluster(self.cluster_id, self.target_id)


@dataclass(frozen=True)
class Stop(Step):
    """Stop the servers; the data stays."""

    status = "stopping"
    result = "stopped"
    done = "stopped"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Stop."""
        fleet.stop(subject.resource_id)


@dataclass(frozen=True)
class Start(Step):
    """Start stopped servers."""

    status = "starting"
    failure = "failed"
    done = "started"
    failed = "failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Start."""
        fleet.start_instance(subject.resource_id)


@dataclass(frozen=True)
class Promote(Step):
    """Make a read replica an instance of its own."""

    done = "replica-promoted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Promote."""
        fleet.promote_replica(subject.resource_id)


@dataclass(frozen=True)
class Observe(Step):
    """Look at the servers after they changed by themselves."""

    status = None
    result = None
    failure = "failed"
    failed = "failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Nothing to do: what the servers say is taken over after every step."""


@dataclass(frozen=True)
class Delete(Step):
    """Remove the servers and their data; read replicas become instances of their own first."""

    replica_ids: tuple[str, ...]
    status = "deleting"
    removes = True
    failure = "failed"
    failed = "failed"
    done = "deleted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Delete what is there; a failed creation may have left nothing."""
        for replica_id in self.replica_ids:
            fleet.promote_replica(replica_id)
        _discard(fleet, subject.resource_id)


def _discard(fleet: Fleet, resource_id: str) -> None:
    if _known(fleet, resource_id):
        fleet.delete(resource_id)


def _known(fleet: Fleet, resource_id: str) -> bool:
    try:
        fleet.describe(resource_id)
    except LocalError:
        return False
    return True
