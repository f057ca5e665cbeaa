"""Define a DB cluster as the API shows it. The fleet has its servers, under its resource id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.control.rds.secret import MasterUserSecret
    from rdskit.local.fleet import ClusterFacts

__all__ = ["ClusterEndpoint", "LocalDBCluster"]

_HOSTED_ZONE = "Z00LOCALRDSKIT"


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """A custom endpoint as the API shows it.

    Attributes:
        identifier: its name.
        resource_id: its resource id.
        arn: its ARN.
        kind: ``READER`` or ``ANY``.
        static: the only instances that it leads to; empty for all but ``excluded``.
        excluded: instances that it does not lead to.
        host: its address.
    """

    identifier: str
    resource_id: str
    arn: str
    kind: str
    static: tuple[str, ...]
    excluded: tuple[str, ...]
    host: str = ""

    def described(self, cluster: str) -> dict[str, object]:
        """Return it as DescribeDBClusterEndpoints shows it; ``cluster`` is the cluster's name."""
        return {
            "DBClusterEndpointIdentifier": self.identifier,
            "DBClusterIdentifier": cluster,
            "DBClusterEndpointResourceIdentifier": self.resource_id,
            "DBClusterEndpointArn": self.arn,
            "Endpoint": self.host,
            "Status": "available",
            "EndpointType": "CUSTOM",
            "CustomEndpointType": self.kind,
            "StaticMembers": list(self.static),
            "ExcludedMembers": list(self.excluded),
        }


@dataclass
class LocalDBCluster:
    """A DB cluster.

    Attributes:
        password: password of the master user, for the server of the first instance.
        hardware: class and storage of the instances of a Multi-AZ DB cluster, by their RDS names.
        endpoints: the custom endpoints.
        secret: the secret with the master password, if RDS manages it.
        deleting: whether a Multi-AZ DB cluster is being deleted, after its instances.
    """

    identifier: str
    resource_id: str
    arn: str
    engine: str
    engine_version: str
    port: int
    master_user: str
    password: str
    database: str | None
    iam: bool
    protected: bool
    created: dt.datetime
    zones: tuple[str, ...]
    # Defaults are class attributes: a cluster that an earlier version stored has no such attributes of its own.
    hardware: Mapping[str, object] | None = None
    deleting: bool = False
    endpoints: tuple[ClusterEndpoint, ...] = ()
    secret: MasterUserSecret | None = None

    @property
    def is_multi_az(self) -> bool:
        """Whether it is a Multi-AZ DB cluster; otherwise it is an Aurora cluster."""
        return not self.engine.startswith("aurora-")

    def described(self, facts: ClusterFacts, members: Iterable[LocalDBInstance]) -> dict[str, object]:
        """Return the cluster as DescribeDBClusters shows it.

        Args:
            facts: the state of the servers.
            members: the cluster's instances.
        """
        found = list(members)
        return {
            "DBClusterIdentifier": self.identifier,
            "DBClusterArn": self.arn,
            "DbClusterResourceId": self.resource_id,
            "Engine": self.engine,
            "EngineVersion": self.engine_version,
            "EngineMode": "provisioned",
            "Status": self._status(found),
            "Endpoint": facts.endpoint.host,
            "ReaderEndpoint": facts.reader_endpoint.host,
            "Port": facts.endpoint.port,
            "CustomEndpoints": [each.host for each in self.endpoints],
            "MasterUserSecret": _shown(self.secret),
            "HostedZoneId": _HOSTED_ZONE,
            "MasterUsername": self.master_user,
            "DatabaseName": self.database,
            "DBClusterMembers": [_member(each, facts) for each in found],
            "MultiAZ": self.is_multi_az or len(found) > 1,
            "AvailabilityZones": list(self.zones),
            "ClusterCreateTime": self.created,
            "DeletionProtection": self.protected,
            "IAMDatabaseAuthenticationEnabled": self.iam,
            "DBClusterParameterGroup": f"default.{self.engine}{self.engine_version.partition('.')[0]}",
            **(self.hardware or {}),
        }

    def _status(self, members: Iterable[LocalDBInstance]) -> str:
        """Return the operation in progress, otherwise ``available``."""
        # An Aurora cluster without instances is available too. A Multi-AZ DB cluster is being created with its
        # instances.
        if self.deleting:
            return "deleting"
        found = list(members)
        if self.is_multi_az and any(each.status == "creating" for each in found):
            return "creating"
        return "failing-over" if any(step.fails_over for each in found for step in each.steps) else "available"


def _shown(secret: MasterUserSecret | None) -> dict[str, object] | None:
    if secret is None:
        return None
    return {"SecretArn": secret.secret_arn, "SecretStatus": secret.secret_status, "KmsKeyId": secret.kms_key_id}


def _member(instance: LocalDBInstance, facts: ClusterFacts) -> dict[str, object]:
    return {
        "DBInstanceIdentifier": instance.db_instance_identifier,
        "IsClusterWriter": instance.dbi_resource_id == facts.writer_id,
        "DBClusterParameterGroupStatus": "in-sync",
        "PromotionTier": instance.promotion_tier,
    }
