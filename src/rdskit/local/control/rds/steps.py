"""Define the steps: pieces of work on an instance's servers, performed in order and outside the monitor.

A step is stored with its instance until it is done. After a crash in the middle it is performed again, so each step
must accept that its work was done before, completely or in part.
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
    """The facts of an instance that its servers need."""

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
        """Return the specification of new servers for the instance."""
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
        status: status of the instance while the step waits and works; None does not change it.
        result: status after success; None does not change it.
        failure: status after a failure; None does not change it.
        removes: whether the instance no longer exists afterwards.
        fails_over: whether its cluster has another writer afterwards.
        begun: event at the begin of the work, a key of `events.EVENTS`.
        done: event after success.
        failed: event after a failure, with the reason.
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
        """The entries of PendingModifiedValues until the step is done."""
        return {}

    @abstractmethod
    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Perform the work, which a process that crashed may have done before, completely or in part.

        Raises:
            LocalError: the servers could not do it.
        """


@dataclass(frozen=True)
class Create(Step):
    """Create the servers of a new instance."""

    password: str = field(repr=False)
    parameters: Mapping[str, str]
    status = "creating"
    failure = "failed"
    done = "created"
    failed = "create-failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Create the servers; remove what a crash left of an earlier attempt."""
        # Safe, because the instance is not available before this step is done: it has no data of a client yet.
        _discard(fleet, subject.resource_id)
        fleet.create(subject.spec(self.password, self.parameters))


@dataclass(frozen=True)
class CreateReplica(Step):
    """Create a read replica of another instance."""

    source_id: str
    parameters: Mapping[str, str]
    status = "creating"
    failure = "failed"
    done = "created"
    failed = "replica-create-failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Create the replica; remove what a crash left of an earlier attempt."""
        _discard(fleet, subject.resource_id)
        # A replica has its source's roles and their passwords.
        fleet.create_replica(subject.spec("", self.parameters), self.source_id)


@dataclass(frozen=True)
class AllocateStorage(Step):
    """Give an instance that is ``storage-full`` more storage, and let it start again."""

    failure = "storage-full"
    begun = "storage-started"
    done = "storage-finished"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Give the servers more storage; without effect if theirs is not full."""
        fleet.allocate_storage(subject.resource_id)


@dataclass(frozen=True)
class ResetPassword(Step):
    """Give the master user another password.

    Attributes:
        version_id: id of the managed secret's new version, if the caller chose one.
    """

    password: str = field(repr=False)
    version_id: str | None = None
    status = "resetting-master-credentials"
    done = "password-reset"

    @property
    def changes(self) -> Mapping[str, object]:
        """The password, masked as in RDS."""
        return {"MasterUserPassword": "****"}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Set the password of the master user."""
        # A managed secret becomes active in settle(), after the database has accepted the password.
        fleet.set_master_password(subject.resource_id, self.password)


@dataclass(frozen=True)
class AddStandby(Step):
    """Convert to Multi-AZ."""

    begun = "multi-az-started"
    done = "multi-az-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """The new value of MultiAZ."""
        return {"MultiAZ": True}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Add the standby, unless there is one."""
        fleet.set_multi_az(subject.resource_id, True)


@dataclass(frozen=True)
class RemoveStandby(Step):
    """Convert to Single-AZ."""

    begun = "single-az-started"
    done = "single-az-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """The new value of MultiAZ."""
        return {"MultiAZ": False}

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Remove the standby, if there is one."""
        fleet.set_multi_az(subject.resource_id, False)


@dataclass(frozen=True)
class ConfigureIam(Step):
    """Enable or disable IAM database authentication."""

    enabled: bool
    status = "configuring-iam-database-auth"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Configure the endpoint and the servers."""
        fleet.set_iam(subject.resource_id, self.enabled)


@dataclass(frozen=True)
class ApplyParameters(Step):
    """Set dynamic parameters on running servers."""

    # No status of its own: an instance stays available while it gets them.
    parameters: Mapping[str, str]
    status = None
    result = None
    failure = None
    done = "parameters-updated"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Set these parameters, and reset all others to their defaults."""
        fleet.apply_parameters(subject.resource_id, self.parameters)


@dataclass(frozen=True)
class Reboot(Step):
    """Restart the servers with the parameter group's values."""

    # Parameters with which a server does not start are the usual reason of a failure: the user can repair them then.

    parameters: Mapping[str, str]
    status = "rebooting"
    done = "restarted"
    failure = "incompatible-parameters"
    failed = "parameters-refused"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Apply the values, then restart, which static parameters need."""
        fleet.apply_parameters(subject.resource_id, self.parameters)
        fleet.reboot(subject.resource_id)


@dataclass(frozen=True)
class FailOver(Step):
    """Reboot with failover: promote the standby, with the parameter group's values.

    A failover that fails, because no standby is in sync for example, leaves the instance as it was.
    """

    parameters: Mapping[str, str]
    status = "rebooting"
    done = "restarted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Apply the values, so that the new primary has them, then fail over."""
        fleet.apply_parameters(subject.resource_id, self.parameters)
        fleet.reboot(subject.resource_id, force_failover=True)


@dataclass(frozen=True)
class _ChangeClass(Step):
    """Move to another instance class.

    Attributes:
        instance_class: the new class. It has no effect on the size of a local server.
    """

    instance_class: str
    status = "modifying"
    begun = "class-started"
    done = "class-finished"

    @property
    def changes(self) -> Mapping[str, object]:
        """The new instance class."""
        return {"DBInstanceClass": self.instance_class}


@dataclass(frozen=True)
class Scale(_ChangeClass, Reboot):
    """Move to another class by a restart of the servers."""


@dataclass(frozen=True)
class ScaleOver(_ChangeClass, FailOver):
    """Move a Multi-AZ instance to another class: change the standby first, then promote it."""


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
        """Promote a reader, unless a process that crashed has done so."""
        # The step belongs to the instance that was the writer: another writer means that the failover is done.
        if fleet.describe_cluster(self.cluster_id).writer_id == subject.resource_id:
            fleet.fail_over_cluster(self.cluster_id, self.target_id)


@dataclass(frozen=True)
class Stop(Step):
    """Stop the servers; the data stays."""

    status = "stopping"
    result = "stopped"
    done = "stopped"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Stop the instance's servers."""
        fleet.stop(subject.resource_id)


@dataclass(frozen=True)
class Start(Step):
    """Start stopped servers."""

    status = "starting"
    failure = "failed"
    done = "started"
    failed = "failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Start the instance's servers."""
        fleet.start_instance(subject.resource_id)


@dataclass(frozen=True)
class Promote(Step):
    """Make a read replica an instance of its own."""

    done = "replica-promoted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Promote the read replica."""
        fleet.promote_replica(subject.resource_id)


@dataclass(frozen=True)
class Observe(Step):
    """Update the instance after its servers have changed by themselves."""

    status = None
    result = None
    failure = "failed"
    failed = "failed"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Do nothing: the workflow reads the servers' state after every step."""


@dataclass(frozen=True)
class Delete(Step):
    """Remove the servers and their data; promote read replicas to independent instances first."""

    replica_ids: tuple[str, ...]
    status = "deleting"
    removes = True
    failure = "failed"
    failed = "failed"
    done = "deleted"

    def perform(self, fleet: Fleet, subject: Subject) -> None:
        """Delete the servers, if there are any."""
        # A replica must not follow a source that no longer exists. Promoting one again has no effect.
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
