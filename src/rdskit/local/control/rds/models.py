"""Implement the RDS backend of one account and region with real servers.

Calls answer at once. `Workflows` performs the servers' work, and the status of an instance follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from botocore import xform_name
from moto.core.utils import utcnow
from moto.rds.exceptions import DBInstanceAlreadyExists, DBInstanceNotFoundError, DBParameterGroupNotFoundError
from moto.rds.models import RDSBackend

from rdskit.local.control.rds import rules, steps
from rdskit.local.control.rds.clusters import Clusters
from rdskit.local.control.rds.creation import inherited_from, settings_of
from rdskit.local.control.rds.events import EVENTS, Event
from rdskit.local.control.rds.instance import LocalDBInstance
from rdskit.local.control.rds.modification import Current, Modification, plan
from rdskit.local.control.rds.parameters import family_of
from rdskit.local.control.rds.secret import SecretKeeper, new_password
from rdskit.local.control.rds.subscriptions import publish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.local.control.rds.engines import Engines
    from rdskit.local.control.rds.workflows import Workflows
    from rdskit.local.fleet import Fleet

__all__ = ["LocalRDSBackend"]

_EVENTS_KEPT = 2000  # per region; RDS keeps events for 14 days


class LocalRDSBackend(RDSBackend):
    """moto's RDS backend with real servers.

    Attributes:
        workflows: performs the servers' work; set once, when the control plane is composed.
        engines: the installed engines; set with it.
        fleet: the servers, for calls that need no step: clusters without instances, and facts of clusters.
    """

    workflows: ClassVar[Workflows]
    engines: ClassVar[Engines]
    fleet: ClassVar[Fleet]

    # ---- creation -------------------------------------------------------------------------------------------------

    def create_db_instance(self, db_kwargs: Mapping[str, Any]) -> LocalDBInstance:
        """Create an instance in status ``creating``; a step creates its servers."""
        identifier = db_kwargs["db_instance_identifier"].lower()
        # First: this may release the monitor for up to 45 seconds, and invalidate every check before it.
        self.engines.require(db_kwargs["engine"])
        self._check_new_identifier(identifier)
        if db_kwargs.get("db_cluster_identifier"):
            return Clusters(self).create_member(identifier, db_kwargs)
        rules.check_stands_alone(db_kwargs["engine"])
        version = rules.check_engine(db_kwargs["engine"], db_kwargs.get("engine_version"), self.engines.versions())
        managed = bool(db_kwargs.get("manage_master_user_password"))
        user, password = db_kwargs.get("master_username"), db_kwargs.get("master_user_password")
        rules.check_master_credentials(user, password, db_kwargs["engine"], managed=managed)
        rules.check_database_name(db_kwargs.get("db_name"), db_kwargs["engine"])
        zones = rules.zones(self.region_name, db_kwargs.get("availability_zone"))
        instance = self.make(zones, {**settings_of(db_kwargs), "engine_version": version})
        if instance.storage_encrypted and not db_kwargs.get("kms_key_id"):
            # RDS shows the default key's ARN for encrypted storage. Files of local servers are not encrypted.
            instance.kms_key_id = self.kms.describe_key("alias/aws/rds").arn
        if group := db_kwargs.get("db_parameter_group_name"):
            self._associate_group(instance, group)
            instance.parameter_apply_status = "in-sync"  # the first start has the group's values
        if managed:
            password = self._manage_password(instance, db_kwargs.get("master_user_secret_kms_key_id"))
        # After all checks: an instance that is registered appears in answers, and in the saved state.
        self.databases[identifier] = instance
        instance.applied_parameters = self.group_values(instance)
        self.workflows.begin(instance, steps.Create(password or "", instance.applied_parameters))
        return instance

    def create_db_instance_read_replica(self, db_kwargs: Mapping[str, Any]) -> LocalDBInstance:
        """Create a read replica in status ``creating``; a step clones the source."""
        identifier = db_kwargs["db_instance_identifier"].lower()
        self._check_new_identifier(identifier)
        source = self.instance(db_kwargs["source_db_instance_identifier"].rpartition(":")[2])  # a name or an ARN
        rules.check_no_member(source.db_instance_identifier, source.db_cluster_identifier)
        rules.check_usable(source.db_instance_identifier, source.status)
        own = {"multi_az": False, "source_db_instance_identifier": source.db_instance_identifier}
        zones = rules.zones(self.region_name, db_kwargs.get("availability_zone"))
        replica = self.make(zones, {**inherited_from(source), **settings_of(db_kwargs), **own})
        replica.set_as_replica()
        self.databases[identifier] = replica
        source.add_replica(replica)
        replica.applied_parameters = self.group_values(replica)
        self.workflows.begin(replica, steps.CreateReplica(source.dbi_resource_id, replica.applied_parameters))
        return replica

    # ---- changes --------------------------------------------------------------------------------------------------

    def modify_db_instance(self, db_instance_identifier: str, db_kwargs: Mapping[str, Any]) -> LocalDBInstance:
        """Change settings at once, and begin the steps that the servers need."""
        instance = self.instance(db_instance_identifier)
        rules.check_modifiable(
            instance.db_instance_identifier,
            instance.status,
            present=int(instance.allocated_storage or 0),
            storage=db_kwargs.get("AllocatedStorage"),
        )
        if db_kwargs.get("MultiAZ") is not None or db_kwargs.get("MasterUserPassword"):
            rules.check_no_member(instance.db_instance_identifier, instance.db_cluster_identifier)
        # Every check comes before the first change: a refused request must change nothing.
        change = plan(_current(instance), db_kwargs, instance.deferred)
        if change.new_identifier:
            self._check_new_identifier(change.new_identifier)
        if change.parameter_group:
            self._associate_group(instance, change.parameter_group)
        # The order of the steps matters: more storage first, because full servers can do nothing else. The conversion
        # comes before the class, whose step depends on whether there is a standby.
        with_iam = instance.enable_iam_database_authentication
        self._apply_settings(instance, change)
        if instance.status == "storage-full" and "AllocatedStorage" in change.settings:
            self.workflows.begin(instance, steps.AllocateStorage())
        if instance.enable_iam_database_authentication != with_iam:
            self.workflows.begin(instance, steps.ConfigureIam(not with_iam))
        self._change_password(instance, change, db_kwargs.get("MasterUserSecretKmsKeyId"))
        if change.multi_az is not None:
            conversion = steps.AddStandby() if change.multi_az else steps.RemoveStandby()
            self.workflows.begin(instance, conversion)
        self._scale(instance, change)
        if change.new_identifier:
            # Last: everything above uses the old name. Steps refer to the resource id, which stays.
            self._rename(instance, change.new_identifier)
        return instance

    def reboot(self, identifier: str, *, force_failover: bool) -> LocalDBInstance:
        """Restart the servers, or fail over to the standby."""
        instance = self.instance(identifier)
        rules.check_changeable(instance.db_instance_identifier, instance.status)
        rules.check_failover(instance.db_instance_identifier, multi_az=instance.multi_az, forced=force_failover)
        # A reboot applies the whole group, static parameters included.
        instance.applied_parameters = self.group_values(instance)
        step = steps.FailOver if force_failover else steps.Reboot
        self.workflows.begin(instance, step(instance.applied_parameters))
        return instance

    def rotate(self, secret_arn: str, version_id: str) -> None:
        """Give the master user of a managed secret a new random password.

        Args:
            secret_arn: ARN of the secret.
            version_id: id of its new version.

        Raises:
            InvalidStateError: the instance is not available.
        """
        for instance in self.instances():
            secret = getattr(instance, "master_user_secret", None)
            if secret is not None and secret.secret_arn == secret_arn:
                rules.check_usable(instance.db_instance_identifier, instance.status)
                self.workflows.begin(instance, steps.ResetPassword(new_password(), version_id))
        Clusters(self).rotate(secret_arn, version_id)

    def stop_db_instance(
        self, db_instance_identifier: str, db_snapshot_identifier: str | None = None
    ) -> LocalDBInstance:
        """Stop the servers; the data stays."""
        instance = self.instance(db_instance_identifier)
        rules.check_no_member(instance.db_instance_identifier, instance.db_cluster_identifier)
        rules.check_stoppable(
            instance.db_instance_identifier,
            instance.status,
            replicas=instance.replicas,
            source=instance.read_replica_source_db_instance_identifier,
        )
        rules.check_no_snapshot(db_snapshot_identifier)
        self.workflows.begin(instance, steps.Stop())
        return instance

    def start_db_instance(self, db_instance_identifier: str) -> LocalDBInstance:
        """Start the servers of a stopped instance."""
        instance = self.instance(db_instance_identifier)
        rules.check_startable(instance.db_instance_identifier, instance.status)
        self.workflows.begin(instance, steps.Start())
        return instance

    def promote_read_replica(self, db_kwargs: Mapping[str, Any]) -> LocalDBInstance:
        """Make a read replica an independent instance."""
        replica = self.instance(db_kwargs["db_instance_identifier"])
        rules.check_usable(replica.db_instance_identifier, replica.status)
        rules.check_replica(replica.db_instance_identifier, is_replica=replica.is_replica)
        self.workflows.begin(replica, steps.Promote())
        return replica

    def delete(self, identifier: str, *, skip_snapshot: bool, final_snapshot: str | None) -> LocalDBInstance:
        """Delete an instance, which has the status ``deleting`` until its servers are removed."""
        instance = self.instance(identifier)
        rules.check_delete(
            instance.db_instance_identifier,
            instance.status,
            protected=instance.deletion_protection,
            skip_snapshot=skip_snapshot,
            final_snapshot=final_snapshot,
        )
        copies = [self.instance(name) for name in instance.replicas]
        rules.check_replicas_settled(identifier, {each.db_instance_identifier: each.status for each in copies})
        # A replica whose creation failed has no servers to promote.
        replicas = tuple(each.dbi_resource_id for each in copies if each.status != "failed")
        self.workflows.begin(instance, steps.Delete(replicas))
        return instance

    # ---- results of workflows -------------------------------------------------------------------------------------

    def settle(self, instance: LocalDBInstance, step: steps.Step) -> None:
        """Record a step that is done, and its event. Called inside the monitor."""
        # A worker calls this after the servers did the work. Another request may have changed the instance in the
        # meantime, so each branch changes only what its step was about.
        if isinstance(step, steps.Create):
            self._settle_password(instance, step.password, None)
        elif isinstance(step, steps.ResetPassword):
            self._settle_password(instance, step.password, step.version_id)
        elif isinstance(step, (steps.Reboot, steps.FailOver)) or (
            isinstance(step, steps.ApplyParameters) and instance.parameter_apply_status == "applying"
        ):
            instance.parameter_apply_status = "in-sync"
            if isinstance(step, (steps.Scale, steps.ScaleOver)):
                instance.db_instance_class = step.instance_class
        elif isinstance(step, (steps.AddStandby, steps.RemoveStandby)):
            instance.multi_az = isinstance(step, steps.AddStandby)
        elif isinstance(step, steps.Promote):
            self._detach_replica(instance)
        elif isinstance(step, steps.Observe):
            instance.show_whether_running()
        elif isinstance(step, steps.Delete):
            self._remove(instance)
        if step.done:
            self.record(instance, step.done)

    def give_up(self, instance: LocalDBInstance, step: steps.Step, reason: str) -> None:
        """Record a step that failed, and its event. Called inside the monitor."""
        if isinstance(step, steps.ApplyParameters):
            instance.parameter_apply_status = "failed-to-apply"
        self.record(instance, step.failed, reason=reason)

    def record(self, instance: LocalDBInstance, kind: str, *, reason: str = "") -> None:
        """Add an event and publish it to matching subscriptions. Call inside the monitor.

        Args:
            instance: the instance that the event is about.
            kind: a key of `events.EVENTS`.
            reason: completes the texts that have a place for it.
        """
        text = EVENTS[kind]
        event = Event(
            source_identifier=instance.db_instance_identifier,
            source_arn=instance.db_instance_arn,
            message=text.message.format(reason=reason),
            event_categories=(text.category,),
            date=utcnow(),
            event_id=text.event_id,
            region=self.region_name,
        )
        self.announce(event)

    def announce(self, event: Event) -> None:
        """Add an event and publish it to matching subscriptions. Call inside the monitor."""
        self.events = [*self.events[1 - _EVENTS_KEPT :], event]  # type: ignore[list-item]  # ours replace moto's
        publish(event, self.event_subscriptions.values(), self.account_id)

    # ---- lookups --------------------------------------------------------------------------------------------------

    def instance(self, identifier: str) -> LocalDBInstance:
        """Return the instance of that name.

        Raises:
            DBInstanceNotFoundError: there is no such instance.
        """
        instance = self.databases.get(identifier)
        if not isinstance(instance, LocalDBInstance):
            raise DBInstanceNotFoundError(identifier)
        return instance

    def instances(self) -> list[LocalDBInstance]:
        """Return every instance of the region."""
        return [each for each in self.databases.values() if isinstance(each, LocalDBInstance)]

    def recorded(self, source_identifier: str | None, source_type: str | None) -> list[Event]:
        """Return the events of one source or of all, oldest first."""
        events: list[Any] = self.describe_events(source_identifier, source_type)
        return events

    def group_values(self, instance: LocalDBInstance) -> dict[str, str]:
        """Return the values that the instance's parameter group sets, by name."""
        group = instance.db_parameter_groups()[0]
        return {name: each["ParameterValue"] for name, each in group.parameters.items()}

    def _get_resource_for_tagging(self, arn: str) -> Any:
        # moto returns None for a missing resource, and lists no tags for it. RDS refuses it.
        resource = super()._get_resource_for_tagging(arn)
        if resource is None:
            raise DBInstanceNotFoundError(arn)
        return resource

    # ---- details --------------------------------------------------------------------------------------------------

    def _check_new_identifier(self, identifier: str) -> None:
        if identifier in self.databases:
            raise DBInstanceAlreadyExists
        self._validate_db_identifier(identifier)

    def make(self, zones: tuple[str, str], settings: Mapping[str, Any]) -> LocalDBInstance:
        """Return a new instance, not registered yet."""
        # moto declares abstract methods for CloudFormation without defining them.
        return LocalDBInstance(self, zones=zones, **settings)  # type: ignore[abstract]

    def keeper(self) -> SecretKeeper:
        """Return the keeper of master secrets in this region."""
        return SecretKeeper(self.secretsmanager, self.kms)

    def _manage_password(self, instance: LocalDBInstance, kms_key_id: str | None) -> str:
        password = new_password()
        user = instance.master_username or ""
        instance.manage_master_user_password = True
        instance.master_user_secret = self.keeper().create(  # type: ignore[assignment]  # ours instead of moto's
            instance.db_instance_arn, user, password, kms_key_id
        )
        return password

    def _change_password(self, instance: LocalDBInstance, change: Modification, kms_key_id: str | None) -> None:
        password = change.password
        if change.manage_password is True:
            password = self._manage_password(instance, kms_key_id)
        elif change.manage_password is False and (secret := instance.forget_secret()):
            self.keeper().remove(secret)
        elif change.rotate:
            password = new_password()
        if password is not None:
            self.workflows.begin(instance, steps.ResetPassword(password))

    def _settle_password(self, instance: LocalDBInstance, password: str, version_id: str | None) -> None:
        """Update the managed secret after the database has received the password."""
        # In this order: a client that reads the secret must be able to log in with it. A crash in between repeats the
        # step with the same password.
        if instance.cluster_resource_id is not None:
            Clusters(self).settle_password(instance.cluster_resource_id, password, version_id)
        if instance.manage_master_user_password:
            instance.master_user_secret = self.keeper().activate(  # type: ignore[assignment]  # ours, as above
                instance.master_user_secret,  # type: ignore[arg-type]  # ours, as above
                instance.master_username or "",
                password,
                version_id,
            )

    def _apply_settings(self, instance: LocalDBInstance, change: Modification) -> None:
        settings = {_attribute(name): value for name, value in change.settings.items()}
        # RDS answers with windows in lower case, whatever the request has.
        if window := settings.get("preferred_maintenance_window"):
            settings["preferred_maintenance_window"] = window.lower()
        instance.update(**settings)
        instance.deferred = change.pending

    def _scale(self, instance: LocalDBInstance, change: Modification) -> None:
        """Change the instance class by a step that restarts the servers, after any conversion."""
        if change.instance_class is None:
            return
        # instance.multi_az changes when the conversion is done: this step runs after it.
        multi_az = instance.multi_az if change.multi_az is None else change.multi_az
        instance.applied_parameters = self.group_values(instance)
        step = steps.ScaleOver if multi_az else steps.Scale
        self.workflows.begin(instance, step(instance.applied_parameters, change.instance_class))

    def _associate_group(self, instance: LocalDBInstance, name: str) -> None:
        """Associate a parameter group, which applies at the next reboot."""
        # Dynamic parameters included (RDS User Guide, "Working with parameter groups").
        group = self.db_parameter_groups.get(name)
        if group is None and not instance.is_default_parameter_group(name):
            raise DBParameterGroupNotFoundError(name)
        if group is not None:
            rules.check_group_family(name, group.family, family_of(instance.engine, instance.engine_version))
        instance.db_parameter_group_name = name
        differs = self.group_values(instance) != instance.applied_parameters
        instance.parameter_apply_status = "pending-reboot" if differs else "in-sync"

    def _rename(self, instance: LocalDBInstance, name: str) -> None:
        # Names are keys and references: the table, the replicas of a source, and the source of replicas.
        identifier, before = name.lower(), instance.db_instance_identifier
        del self.databases[before]
        instance.db_instance_identifier = identifier
        self.databases[identifier] = instance
        for other in self.instances():
            other.replicas = [identifier if each == before else each for each in other.replicas]
            if other.source_db_instance_identifier == before:
                other.source_db_instance_identifier = identifier

    def _detach_replica(self, replica: LocalDBInstance) -> None:
        source = self.databases.get(replica.source_db_instance_identifier or "")
        if source is not None and replica.db_instance_identifier in source.replicas:
            source.remove_replica(replica)
        replica.is_replica = False
        replica.source_db_instance_identifier = None

    def _remove(self, instance: LocalDBInstance) -> None:
        for name in list(instance.replicas):
            self._detach_replica(self.instance(name))
        if instance.is_replica:
            self._detach_replica(instance)
        if secret := instance.forget_secret():
            self.keeper().remove(secret)
        del self.databases[instance.db_instance_identifier]
        Clusters(self).member_gone(instance)


def _current(instance: LocalDBInstance) -> Current:
    return Current(
        identifier=instance.db_instance_identifier,
        engine=instance.engine,
        engine_version=instance.engine_version,
        port=int(instance.port or 0),
        instance_class=instance.db_instance_class or "",
        multi_az=instance.multi_az,
        managed_password=bool(instance.manage_master_user_password),
        replica=instance.is_replica,
    )


def _attribute(name: str) -> str:
    """Return the attribute of moto's DB instance for an RDS setting."""
    return str(xform_name(name))
