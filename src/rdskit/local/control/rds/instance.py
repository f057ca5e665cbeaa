"""Define a DB instance as the API shows it. The fleet has its servers, under its resource id."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from moto.rds.models import DBInstance

from rdskit.local.control.rds.steps import Subject

if TYPE_CHECKING:
    from moto.rds.models import RDSBackend

    from rdskit.local.control.rds.secret import MasterUserSecret
    from rdskit.local.control.rds.steps import Step
    from rdskit.local.fleet import InstanceFacts

__all__ = ["LocalDBInstance", "new_resource_id"]

_HOSTED_ZONE = "Z00LOCALRDSKIT"


def new_resource_id() -> str:
    """Return a random DbiResourceId of RDS's form: ``db-`` and 26 characters of A-Z, 2-7."""
    return "db-" + base64.b32encode(secrets.token_bytes(20)).decode()[:26]


class LocalDBInstance(DBInstance):
    """moto's DB instance with a real status, its own resource id, and steps.

    Attributes:
        steps: pending steps, the one in progress first; stored with the instance.
        zones: availability zones of the primary and of the standby.
        deferred: changes that wait for a call with ApplyImmediately, by their RDS names.
        parameter_apply_status: ``in-sync``, ``applying``, ``pending-reboot`` or ``failed-to-apply``.
        applied_parameters: the parameters that the servers last received.
        cluster_resource_id: resource id of its cluster.
        promotion_tier: its priority in the cluster's failovers.
        storage_full: whether its storage is exhausted, so that its servers cannot run.
    """

    # Class attributes: decoding calls no constructor, so instances that an earlier version stored have no such
    # attributes.
    cluster_resource_id: str | None = None
    promotion_tier: int | None = None
    storage_full = False

    def __init__(self, backend: RDSBackend, *, zones: tuple[str, str], **settings: Any) -> None:
        # moto's constructor sets the status "available" and the same resource id for every instance: replace both.
        super().__init__(backend, availability_zone=zones[0], **settings)
        self.status = "creating"
        self.dbi_resource_id = new_resource_id()
        self.zones = zones
        self.steps: list[Step] = []
        self.served_at: tuple[str, int] | None = None
        self.deferred: dict[str, Any] = {}
        self.parameter_apply_status = "in-sync"
        self.applied_parameters: dict[str, str] = {}
        self.license_model = "postgresql-license" if "postgres" in self.engine else "general-public-license"
        self.ca_certificate_identifier = "rds-ca-rsa2048-g1"
        self.running = False

    def learn(self, facts: InstanceFacts) -> None:
        """Copy the state of the servers. Call inside the monitor."""
        self.running = facts.running
        self.storage_full = facts.storage_full
        self.served_at = (facts.endpoint.host, facts.endpoint.port)
        self.zones = (facts.zone, facts.secondary_zone or self.zones[1])
        if facts.pending_restart:
            self.parameter_apply_status = "pending-reboot"

    def show_whether_running(self) -> None:
        """Set the status from the servers' state, if no step determines it."""
        # The supervisor restarts servers that ended by themselves. Until then RDS shows such an instance as rebooting.
        if self.status in ("available", "rebooting", "storage-full"):
            stays_down = "storage-full" if self.storage_full else "rebooting"
            self.status = "available" if self.running else stays_down

    def subject(self) -> Subject:
        """Return the facts that the servers need."""
        return Subject(
            resource_id=self.dbi_resource_id,
            engine=self.engine,
            master_user=self.master_username or "",
            database=self.db_name,
            port=int(self.port or DBInstance.default_port(self.engine)),
            multi_az=self.multi_az,
            zones=self.zones,
            iam=self.enable_iam_database_authentication,
            cluster_id=self.cluster_resource_id,
            identifier=self.db_instance_identifier,
            tier=1 if self.promotion_tier is None else self.promotion_tier,
        )

    @property
    def endpoint(self) -> dict[str, Any] | None:  # type: ignore[override]  # moto shows one before there is one
        """The endpoint; None until the servers accept logins, as in RDS."""
        if self.served_at is None:
            return None
        address, port = self.served_at
        return {"Address": address, "Port": port, "HostedZoneId": _HOSTED_ZONE}

    @property
    def address(self) -> str:
        """The endpoint's host; empty while there is none."""
        return self.served_at[0] if self.served_at else ""

    @property
    def db_instance_port(self) -> int:
        """Always 0, as RDS answers for instances outside clusters."""
        return 0

    @property
    def availability_zone(self) -> str:
        """The availability zone of the primary."""
        # moto's constructor sets it before self.zones exists.
        return self.zones[0] if hasattr(self, "zones") else self._first_zone

    @availability_zone.setter
    def availability_zone(self, value: str) -> None:
        self._first_zone = value

    @property
    def secondary_availability_zone(self) -> str | None:
        """The zone of the standby; a failover swaps it with the primary's."""
        return self.zones[1] if self.multi_az and self.served_at else None

    @property
    def pending_modified_values(self) -> dict[str, Any]:
        """The changes that wait, and those that steps are applying."""
        under_way = {name: value for step in self.steps for name, value in step.changes.items()}
        return {**self.deferred, **under_way}

    @property
    def latest_restorable_time(self) -> None:  # type: ignore[override]  # moto invents one
        """None: the local RDS takes no backups."""
        return

    @property
    def read_replica_source_db_instance_identifier(self) -> str | None:
        """The source of a read replica."""
        return self.source_db_instance_identifier if self.is_replica else None

    @property
    def status_infos(self) -> list[dict[str, object]]:
        """The state of a read replica's replication; empty for other instances."""
        if not self.is_replica or self.status == "creating":
            return []
        status = "replicating" if self.running else "stopped"
        return [{"StatusType": "read replication", "Normal": self.running, "Status": status}]

    @property
    def db_parameter_group_status_list(self) -> list[dict[str, str]]:
        """The parameter group, and whether its values are in force."""
        name = self.db_parameter_groups()[0].name
        return [{"DBParameterGroupName": name, "ParameterApplyStatus": self.parameter_apply_status}]

    def forget_secret(self) -> MasterUserSecret | None:
        """Remove the managed secret from the instance and return it."""
        # Out of __dict__: moto sets the attribute only on instances with a managed password.
        secret: MasterUserSecret | None = self.__dict__.pop("master_user_secret", None)
        self.manage_master_user_password = False
        return secret
