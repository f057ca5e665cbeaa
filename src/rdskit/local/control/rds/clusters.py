"""Create, change and delete DB clusters for the API."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from moto.core.utils import utcnow
from moto.rds.exceptions import DBClusterNotFoundError

from rdskit.local.control.rds import rules, steps
from rdskit.local.control.rds.cluster import LocalDBCluster
from rdskit.local.control.rds.creation import settings_of
from rdskit.local.control.rds.events import CLUSTER_EVENTS, Event
from rdskit.local.control.rds.rds_errors import (
    ClusterExistsError,
    InvalidClusterStateError,
    InvalidCombinationError,
    InvalidValueError,
)
from rdskit.local.control.rds.secret import new_password

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from rdskit.local.control.rds.engines import Engines
    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.control.rds.secret import SecretKeeper
    from rdskit.local.control.rds.workflows import Workflows
    from rdskit.local.fleet import Fleet

__all__ = ["Clusters"]

_PORTS = {"aurora-postgresql": 5432, "aurora-mysql": 3306, "postgres": 5432, "mysql": 3306}
_HARDWARE = ("DBClusterInstanceClass", "AllocatedStorage", "StorageType", "Iops")
_INSTANCES = "abc"
"""Zones of the instances of a Multi-AZ DB cluster: it has three, each in another zone."""
_MODIFIABLE = frozenset(
    {
        "DBClusterIdentifier",
        "MasterUserPassword",
        "ManageMasterUserPassword",
        "RotateMasterUserPassword",
        "MasterUserSecretKmsKeyId",
        "DeletionProtection",
        "ApplyImmediately",
    }
)
_LAST_TIER = 15


class Backend(Protocol):
    """The parts of an RDS backend that clusters use."""

    clusters: Any
    databases: Any
    region_name: str
    account_id: str
    workflows: ClassVar[Workflows]
    engines: ClassVar[Engines]
    fleet: ClassVar[Fleet]

    def instance(self, identifier: str) -> LocalDBInstance:
        """Return the instance of that name."""
        ...

    def instances(self) -> list[LocalDBInstance]:
        """Return every instance of the region."""
        ...

    def make(self, zones: tuple[str, str], settings: Mapping[str, Any]) -> LocalDBInstance:
        """Return a new instance, not registered yet."""
        ...

    def keeper(self) -> SecretKeeper:
        """Return the keeper of master secrets."""
        ...

    def announce(self, event: Event) -> None:
        """Add an event, and publish it."""
        ...

    def group_values(self, instance: LocalDBInstance) -> dict[str, str]:
        """Return the values that its parameter group sets."""
        ...


class Clusters:
    """The DB clusters of one backend.

    Args:
        backend: backend of the request's account and region; every method is called inside the monitor.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: MutableMapping[str, Any] = backend.clusters  # moto's table, saved with the backend

    def create(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Create a cluster without servers; these come with its instances."""
        identifier, engine = str(request["DBClusterIdentifier"]).lower(), request["Engine"]
        if engine not in _PORTS:
            raise InvalidValueError(f"The local RDS has no clusters of engine {engine}: use {' or '.join(_PORTS)}.")
        # May release the monitor while the engine is fetched: only what is checked after it still holds below.
        self._backend.engines.require(engine)
        if identifier in self._kept:
            raise ClusterExistsError(identifier)
        managed = bool(request.get("ManageMasterUserPassword"))
        version = rules.check_engine(engine, request.get("EngineVersion"), self._backend.engines.versions())
        user, password = request.get("MasterUsername"), request.get("MasterUserPassword")
        rules.check_master_credentials(user, password, engine, managed=managed)
        rules.check_database_name(request.get("DatabaseName"), engine)
        region = self._backend.region_name
        cluster = LocalDBCluster(
            identifier=identifier,
            resource_id="cluster-" + base64.b32encode(secrets.token_bytes(20)).decode()[:26],
            arn=f"arn:aws:rds:{region}:{self._backend.account_id}:cluster:{identifier}",
            engine=engine,
            engine_version=version,
            port=int(request.get("Port") or _PORTS[engine]),
            master_user=str(user),
            password=password or new_password(),
            database=request.get("DatabaseName"),
            iam=bool(request.get("EnableIAMDatabaseAuthentication")),
            protected=bool(request.get("DeletionProtection")),
            created=utcnow(),
            zones=rules.zones(region, None),
        )
        # After every check: from here on servers or addresses exist.
        cluster.hardware = _hardware(cluster, request)
        self._backend.fleet.create_cluster(cluster.resource_id, engine, cluster.port)
        self._kept[identifier] = cluster
        if managed:
            self._manage_password(cluster, request.get("MasterUserSecretKmsKeyId"))
        self.record(cluster, "created")
        if cluster.is_multi_az:
            for number, letter in enumerate(_INSTANCES, 1):
                self._add_standard_member(cluster, f"{identifier}-instance-{number}", f"{region}{letter}")
        return self.described(cluster)

    def all(self) -> list[LocalDBCluster]:
        """Return every cluster of the region."""
        return [each for each in self._kept.values() if isinstance(each, LocalDBCluster)]

    def find(self, identifier: str) -> LocalDBCluster:
        """Return the cluster of that name or ARN.

        Raises:
            DBClusterNotFoundError: there is no such cluster.
        """
        found = self._kept.get(identifier.rpartition(":")[2].lower())
        if not isinstance(found, LocalDBCluster):
            raise DBClusterNotFoundError(identifier)
        return found

    def describe(self, identifier: str | None) -> list[dict[str, object]]:
        """Return one cluster or all, as the API shows them."""
        chosen = [self.find(identifier)] if identifier else list(self._kept.values())
        return [self.described(each) for each in chosen]

    def described(self, cluster: LocalDBCluster) -> dict[str, object]:
        """Return a cluster as the API shows it."""
        return cluster.described(self._backend.fleet.describe_cluster(cluster.resource_id), self.members(cluster))

    def members(self, cluster: LocalDBCluster) -> list[LocalDBInstance]:
        """Return the instances of a cluster."""
        return [each for each in self._backend.instances() if each.db_cluster_identifier == cluster.identifier]

    def fail_over(self, identifier: str, target: str | None) -> dict[str, object]:
        """Promote a reader: the given one, or that of the lowest promotion tier."""
        cluster = self.find(identifier)
        members = self.members(cluster)
        if sum(each.status == "available" for each in members) < 2:  # noqa: PLR2004 - a writer and a reader
            raise InvalidClusterStateError(f"{identifier} should have at least two available instances for failover.")
        chosen = self._backend.instance(target) if target else None
        if chosen is not None and chosen not in members:
            raise InvalidValueError(f"{target} is not an instance of {identifier}: see its DBClusterMembers.")
        # The step runs on the writer: it waits for the writer's other steps, and after a crash it can tell whether the
        # failover is done.
        writer_id = self._backend.fleet.describe_cluster(cluster.resource_id).writer_id
        writer = next(each for each in members if each.dbi_resource_id == writer_id)
        step = steps.FailOverCluster(cluster.resource_id, chosen.dbi_resource_id if chosen else None)
        self._backend.workflows.begin(writer, step)
        return self.described(cluster)

    def modify(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Change the master password, its management, or the deletion protection."""
        cluster = self.find(request["DBClusterIdentifier"])
        unknown = sorted(set(request) - _MODIFIABLE)
        if unknown:
            raise InvalidCombinationError(f"The local RDS cannot modify {', '.join(unknown)} of a cluster.")
        if (protected := request.get("DeletionProtection")) is not None:
            cluster.protected = bool(protected)
        self._change_password(cluster, request)
        return self.described(cluster)

    def delete(self, identifier: str, *, skip_snapshot: bool) -> dict[str, object]:
        """Delete an Aurora cluster without instances, or a Multi-AZ DB cluster with its instances."""
        cluster = self.find(identifier)
        if cluster.protected:
            raise InvalidCombinationError("Cannot delete protected Cluster, please disable deletion protection first.")
        if not skip_snapshot:
            raise InvalidCombinationError("The local RDS takes no snapshots yet: set SkipFinalSnapshot.")
        if cluster.is_multi_az:
            return self._begin_deletion(cluster)
        if members := self.members(cluster):
            names = ", ".join(each.db_instance_identifier for each in members)
            raise InvalidClusterStateError(f"Cluster cannot be deleted, it still contains DB instances: {names}.")
        # Described before the removal: afterwards the fleet has no facts of it.
        shown = {**self.described(cluster), "Status": "deleting"}
        self._remove(cluster)
        return shown

    def member_gone(self, instance: LocalDBInstance) -> None:
        """Continue the deletion of a Multi-AZ DB cluster after one of its instances is gone."""
        # Readers first, then the writer, then the cluster: a writer that went first would cause a failover.
        for cluster in [each for each in self._kept.values() if each.resource_id == instance.cluster_resource_id]:
            if not cluster.deleting:
                continue
            left = [each for each in self.members(cluster) if each is not instance]
            if not left:
                self._remove(cluster)
            elif len(left) == 1:
                self._delete_member(left[0])

    def create_member(self, identifier: str, request: Mapping[str, Any]) -> LocalDBInstance:
        """Create an instance of an Aurora cluster; the first one is the writer."""
        cluster = self.find(request["db_cluster_identifier"])
        self._check_member(cluster, request)
        zones = rules.zones(self._backend.region_name, request.get("availability_zone"))
        return self._add_member(cluster, identifier, settings_of(request), zones, int(request.get("promotion_tier", 1)))

    def _check_member(self, cluster: LocalDBCluster, request: Mapping[str, Any]) -> None:
        if cluster.is_multi_az:
            raise InvalidCombinationError(
                f"The instances of the Multi-AZ DB cluster {cluster.identifier} come with it."
            )
        if request["engine"] != cluster.engine:
            raise InvalidCombinationError(f"The cluster {cluster.identifier} runs {cluster.engine}.")
        if request.get("master_username") or request.get("master_user_password") or request.get("multi_az"):
            raise InvalidCombinationError("MasterUsername, its password and MultiAZ are the DB cluster's.")
        if not 0 <= int(request.get("promotion_tier") or 0) <= _LAST_TIER:
            raise InvalidValueError("PromotionTier must be from 0 to 15.")

    def _add_standard_member(self, cluster: LocalDBCluster, identifier: str, zone: str) -> None:
        hardware = cluster.hardware or {}
        settings = {
            "db_instance_identifier": identifier,
            "db_instance_class": hardware.get("DBClusterInstanceClass"),
            "engine": cluster.engine,
            "allocated_storage": hardware.get("AllocatedStorage"),
        }
        given = {name: value for name, value in settings.items() if value is not None}
        self._add_member(cluster, identifier, given, rules.zones(self._backend.region_name, zone), 1)

    def _add_member(
        self,
        cluster: LocalDBCluster,
        identifier: str,
        settings: Mapping[str, Any],
        zones: tuple[str, str],
        tier: int,
    ) -> LocalDBInstance:
        backend = self._backend
        instance = backend.make(zones, {**settings, **_inherited_from(cluster)})
        # Not an argument of the constructor: moto would look the cluster up among its own class of clusters.
        instance.db_cluster_identifier, instance.cluster_resource_id = cluster.identifier, cluster.resource_id
        instance.promotion_tier = tier
        backend.databases[identifier] = instance
        instance.applied_parameters = backend.group_values(instance)
        backend.workflows.begin(instance, steps.Create(cluster.password, instance.applied_parameters))
        return instance

    def _begin_deletion(self, cluster: LocalDBCluster) -> dict[str, object]:
        cluster.deleting = True
        writer_id = self._backend.fleet.describe_cluster(cluster.resource_id).writer_id
        members = self.members(cluster)
        readers = [each for each in members if each.dbi_resource_id != writer_id]
        for each in readers or members:
            self._delete_member(each)  # the writer follows in member_gone()
        return self.described(cluster)

    def _delete_member(self, instance: LocalDBInstance) -> None:
        if instance.status != "deleting":
            self._backend.workflows.begin(instance, steps.Delete(()))

    def _remove(self, cluster: LocalDBCluster) -> None:
        self._backend.fleet.delete_cluster(cluster.resource_id)
        del self._kept[cluster.identifier]
        if cluster.secret is not None:
            self._backend.keeper().remove(cluster.secret)
        self.record(cluster, "deleted")

    def record(self, cluster: LocalDBCluster, kind: str, *, reason: str = "") -> None:
        """Add an event of a cluster; ``kind`` is a key of `events.CLUSTER_EVENTS`. Call inside the monitor."""
        text = CLUSTER_EVENTS[kind]
        self._backend.announce(
            Event(
                source_identifier=cluster.identifier,
                source_arn=cluster.arn,
                message=text.message.format(reason=reason),
                event_categories=(text.category,),
                date=utcnow(),
                event_id=text.event_id,
                region=self._backend.region_name,
                source_type="db-cluster",
            )
        )

    def settle_password(self, resource_id: str, password: str, version_id: str | None) -> None:
        """Update the cluster's secret after its writer has received the password."""
        for cluster in self.all():
            if cluster.resource_id == resource_id and cluster.secret is not None:
                cluster.secret = self._backend.keeper().activate(
                    cluster.secret, cluster.master_user, password, version_id
                )

    def rotate(self, secret_arn: str, version_id: str) -> None:
        """Give the master user of a managed secret a new random password."""
        for cluster in self.all():
            if cluster.secret is not None and cluster.secret.secret_arn == secret_arn:
                self._reset_password(cluster, new_password(), version_id)

    def _change_password(self, cluster: LocalDBCluster, request: Mapping[str, Any]) -> None:
        password, manage = request.get("MasterUserPassword"), request.get("ManageMasterUserPassword")
        if manage and password:
            raise InvalidCombinationError("MasterUserPassword cannot be given when ManageMasterUserPassword is set.")
        if password:
            rules.check_password(password, cluster.engine)
            if cluster.secret is not None and manage is not False:
                raise InvalidCombinationError(f"The password of {cluster.identifier} is managed: rotate it.")
        elif manage or (request.get("RotateMasterUserPassword") and cluster.secret is not None):
            password = new_password()
        if manage is False and cluster.secret is not None:
            self._backend.keeper().remove(cluster.secret)
            cluster.secret = None
        if manage and cluster.secret is None:
            self._manage_password(cluster, request.get("MasterUserSecretKmsKeyId"))
        # Last: the step on the writer activates the secret that exists by then.
        if password:
            self._reset_password(cluster, password)

    def _manage_password(self, cluster: LocalDBCluster, kms_key_id: str | None) -> None:
        keeper = self._backend.keeper()
        cluster.secret = keeper.create(cluster.arn, cluster.master_user, cluster.password, kms_key_id)

    def _reset_password(self, cluster: LocalDBCluster, password: str, version_id: str | None = None) -> None:
        # Without an instance there is no server to change: the first one is created with this password.
        cluster.password = password
        writer_id = self._backend.fleet.describe_cluster(cluster.resource_id).writer_id
        for each in self.members(cluster):
            if each.dbi_resource_id == writer_id:
                self._backend.workflows.begin(each, steps.ResetPassword(password, version_id))


def _hardware(cluster: LocalDBCluster, request: Mapping[str, Any]) -> dict[str, object]:
    """Return the class and storage of a Multi-AZ DB cluster's instances; those of Aurora have their own."""
    given = {name: request[name] for name in _HARDWARE if request.get(name) is not None}
    if not cluster.is_multi_az:
        if given:
            raise InvalidCombinationError(f"{', '.join(given)} cannot be given for engine {cluster.engine}.")
    elif "DBClusterInstanceClass" not in given:
        raise InvalidCombinationError(f"DBClusterInstanceClass is required for a cluster of engine {cluster.engine}.")
    return given


def _inherited_from(cluster: LocalDBCluster) -> dict[str, Any]:
    """Return the settings that an instance inherits from its cluster."""
    return {
        "engine_version": cluster.engine_version,
        "master_username": cluster.master_user,
        "db_name": cluster.database,
        "port": cluster.port,
        "enable_iam_database_authentication": cluster.iam,
    }
