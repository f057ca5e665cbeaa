"""What the API does with DB clusters."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from moto.core.utils import utcnow
from moto.rds.exceptions import DBClusterNotFoundError

from rdskit.local.control.rds import rules, steps
from rdskit.local.control.rds.cluster import LocalDBCluster
from rdskit.local.control.rds.faults import (
    ClusterExistsError,
    InvalidClusterStateError,
    InvalidCombinationError,
    InvalidValueError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from rdskit.local.control.rds.engines import Engines
    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.control.rds.workflows import Workflows
    from rdskit.local.fleet import Fleet

__all__ = ["Clusters"]

_PORTS = {"aurora-postgresql": 5432, "aurora-mysql": 3306}
_MODIFIABLE = frozenset({"DBClusterIdentifier", "MasterUserPassword", "DeletionProtection", "ApplyImmediately"})
_LAST_TIER = 15


class Backend(Protocol):
    """What clusters need of the RDS backend of one account and region."""

    clusters: Any
    region_name: str
    account_id: str
    workflows: ClassVar[Workflows]
    engines: ClassVar[Engines]
    fleet: ClassVar[Fleet]

    def instance(self, identifier: str) -> LocalDBInstance:
        """The instance of that name."""
        ...

    def instances(self) -> list[LocalDBInstance]:
        """Every instance of the region."""
        ...


class Clusters:
    """The DB clusters of one backend.

    Args:
        backend: of the request's account and region; every method is called inside the monitor.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: MutableMapping[str, Any] = backend.clusters  # ours in the place of the emulation's

    def create(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Accept a new cluster; its servers come with its instances."""
        identifier, engine = str(request["DBClusterIdentifier"]).lower(), request["Engine"]
        if identifier in self._kept:
            raise ClusterExistsError(identifier)
        if engine not in _PORTS:
            raise InvalidValueError(f"The local RDS has no clusters of engine {engine}: use {' or '.join(_PORTS)}.")
        self._backend.engines.require(engine)
        if request.get("ManageMasterUserPassword"):
            raise InvalidCombinationError("The local RDS manages no passwords of clusters: give MasterUserPassword.")
        version = rules.check_engine(engine, request.get("EngineVersion"), self._backend.engines.versions())
        user, password = request.get("MasterUsername"), request.get("MasterUserPassword")
        rules.check_master_credentials(user, password, engine, managed=False)
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
            password=str(password),
            database=request.get("DatabaseName"),
            iam=bool(request.get("EnableIAMDatabaseAuthentication")),
            protected=bool(request.get("DeletionProtection")),
            created=utcnow(),
            zones=rules.zones(region, None),
        )
        self._backend.fleet.create_cluster(cluster.resource_id, engine, cluster.port)
        self._kept[identifier] = cluster
        return self.described(cluster)

    def find(self, identifier: str) -> LocalDBCluster:
        """The cluster of that name or ARN.

        Raises:
            DBClusterNotFoundError: there is none.
        """
        found = self._kept.get(identifier.rpartition(":")[2].lower())
        if not isinstance(found, LocalDBCluster):
            raise DBClusterNotFoundError(identifier)
        return found

    def describe(self, identifier: str | None) -> list[dict[str, object]]:
        """One cluster, or all."""
        chosen = [self.find(identifier)] if identifier else list(self._kept.values())
        return [self.described(each) for each in chosen]

    def described(self, cluster: LocalDBCluster) -> dict[str, object]:
        """A cluster as the API shows it."""
        return cluster.described(self._backend.fleet.describe_cluster(cluster.resource_id), self.members(cluster))

    def members(self, cluster: LocalDBCluster) -> list[LocalDBInstance]:
        """The instances of a cluster."""
        return [each for each in self._backend.instances() if each.db_cluster_identifier == cluster.identifier]

    def fail_over(self, identifier: str, target: str | None) -> dict[str, object]:
        """Promote a reader: that of the lowest promotion tier, or the one that is named."""
        cluster = self.find(identifier)
        members = self.members(cluster)
        if sum(each.status == "available" for each in members) < 2:  # noqa: PLR2004 - a writer and a reader
            raise InvalidClusterStateError(f"{identifier} should have at least two available instances for failover.")
        chosen = self._backend.instance(target) if target else None
        if chosen is not None and chosen not in members:
            raise InvalidValueError(f"{target} is not an instance of {identifier}: see its DBClusterMembers.")
        writer_id = self._backend.fleet.describe_cluster(cluster.resource_id).writer_id
        writer = next(each for each in members if each.dbi_resource_id == writer_id)
        step = steps.FailOverCluster(cluster.resource_id, chosen.dbi_resource_id if chosen else None)
        self._backend.workflows.begin(writer, step)
        return self.described(cluster)

    def modify(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Change the master password or the deletion protection."""
        cluster = self.find(request["DBClusterIdentifier"])
        unknown = sorted(set(request) - _MODIFIABLE)
        if unknown:
            raise InvalidCombinationError(f"The local RDS cannot modify {', '.join(unknown)} of a cluster.")
        if (protected := request.get("DeletionProtection")) is not None:
            cluster.protected = bool(protected)
        if password := request.get("MasterUserPassword"):
            self._set_password(cluster, password)
        return self.described(cluster)

    def delete(self, identifier: str, *, skip_snapshot: bool) -> dict[str, object]:
        """Remove a cluster that has no instances any more."""
        cluster = self.find(identifier)
        if cluster.protected:
            raise InvalidCombinationError("Cannot delete protected Cluster, please disable deletion protection first.")
        if not skip_snapshot:
            raise InvalidCombinationError("The local RDS takes no snapshots yet: set SkipFinalSnapshot.")
        if members := self.members(cluster):
            names = ", ".join(each.db_instance_identifier for each in members)
            raise InvalidClusterStateError(f"Cluster cannot be deleted, it still contains DB instances: {names}.")
        shown = {**self.described(cluster), "Status": "deleting"}
        self._backend.fleet.delete_cluster(cluster.resource_id)
        del self._kept[cluster.identifier]
        return shown

    def settings(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a new instance of a cluster takes over from it."""
        cluster = self.find(request["db_cluster_identifier"])
        if request["engine"] != cluster.engine:
            raise InvalidCombinationError(f"The cluster {cluster.identifier} runs {cluster.engine}.")
        if request.get("master_username") or request.get("master_user_password") or request.get("multi_az"):
            raise InvalidCombinationError("MasterUsername, its password and MultiAZ are the DB cluster's.")
        if not 0 <= int(request.get("promotion_tier") or 0) <= _LAST_TIER:
            raise InvalidValueError("PromotionTier must be from 0 to 15.")
        return {
            "engine_version": cluster.engine_version,
            "master_username": cluster.master_user,
            "db_name": cluster.database,
            "port": cluster.port,
            "enable_iam_database_authentication": cluster.iam,
        }

    def _set_password(self, cluster: LocalDBCluster, password: str) -> None:
        rules.check_password(password, cluster.engine)
        cluster.password = password
        writer_id = self._backend.fleet.describe_cluster(cluster.resource_id).writer_id
        for each in self.members(cluster):
            if each.dbi_resource_id == writer_id:
                self._backend.workflows.begin(each, steps.ResetPassword(password))
