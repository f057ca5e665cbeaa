"""A DB instance as the API shows it; its servers live elsewhere, under its resource id."""

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
    """A random DbiResourceId of RDS's shape: ``db-`` and 26 of A-Z, 2-7."""
    return "db-" + base64.b32encode(secrets.token_bytes(20)).decode()[:26]


class LocalDBInstance(DBInstance):
    """moto's DB instance with a status that is true, a resource id of its own and work that waits.

    Attributes:
        steps: work on the servers that is not done yet, the one under way first; stored with the instance.
        zones: of the primary and of the standby.
        deferred: changes that were asked for and wait for ApplyImmediately, by their RDS names.
        parameter_apply_status: ``in-sync``, ``applying`` or ``pending-reboot``.
        applied_parameters: what the servers were last told to use.
        cluster_resource_id: of the cluster that it belongs to.
        promotion_tier: its place in that cluster's order of succession.
        storage_full: its storage is used up, so that its servers cannot run.
    """

    # Class attributes, because instances that an earlier version stored come back without them.
    cluster_resource_id: str | None = None
    promotion_tier: int | None = None
    storage_full = False

    def __init__(self, backend: RDSBackend, *, zones: tuple[str, str], **settings: Any) -> None:
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
        """Take over what the servers say of themselves."""
        self.running = facts.running
        self.storage_full = facts.storage_full
        self.served_at = (facts.endpoint.host, facts.endpoint.port)
        self.zones = (facts.zone, facts.secondary_zone or self.zones[1])
        if facts.pending_restart:
            self.parameter_apply_status = "pending-reboot"

    def show_whether_running(self) -> None:
        """An available instance whose servers ended by themselves is being brought back; until then it reboots."""
        if self.status in ("available", "rebooting", "storage-full"):
            stays_down = "storage-full" if self.storage_full else "rebooting"
            self.status = "available" if self.running else stays_down

    def subject(self) -> Subject:
        """What the servers must know of this instance."""
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
        """None until the servers accept logins, as in RDS."""
        if self.served_at is None:
            return None
        address, port = self.served_at
        return {"Address": address, "Port": port, "HostedZoneId": _HOSTED_ZONE}

    @property
    def address(self) -> str:
        """Where the endpoint listens; empty while there is none."""
        return self.served_at[0] if self.served_at else ""

    @property
    def db_instance_port(self) -> int:
        """RDS answers 0 here for everything but clusters."""
        return 0

    @property
    def availability_zone(self) -> str:
        """The zone of the primary."""
        return self.zones[0] if hasattr(self, "zones") else self._first_zone

    @availability_zone.setter
    def availability_zone(self, value: str) -> None:
        self._first_zone = value

    @property
    def secondary_availability_zone(self) -> str | None:
        """The zone of the standby; swaps with the primary's at a failover."""
        return self.zones[1] if self.multi_az and self.served_at else None

    @property
    def pending_modified_values(self) -> dict[str, Any]:
        """What waits to be applied, and what is being applied right now."""
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
        """How a read replica's replication is, and nothing for other instances."""
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
        """Take the managed secret away from the instance."""
        secret: MasterUserSecret | None = self.__dict__.pop("master_user_secret", None)
        self.manage_master_user_password = False
        return secret
