"""DB clusters of the local RDS for tests; a plain helper, no fixture of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rdskit.local import faults, lifecycle
from tests.plugins.confidentiality import keep_confidential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

PASSWORD = "cluster-throwaway"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A DB cluster and its instances."""

    local_rds: LocalRds
    identifier: str
    instances: tuple[str, ...]

    @property
    def target(self) -> str:
        """For ``rdskit.connect``."""
        return self.target_of(self.identifier)

    def target_of(self, identifier: str) -> str:
        """Return the target of an instance, for ``rdskit.connect``."""
        return f"rds://app:{PASSWORD}@{identifier}/app"

    @property
    def writer(self) -> str:
        """The identifier of its writer, as the API says."""
        members = self._described()["DBClusterMembers"]
        (name,) = [each["DBInstanceIdentifier"] for each in members if each["IsClusterWriter"]]
        return str(name)

    @property
    def heirs(self) -> list[str]:
        """The readers that may be promoted: they hold every acknowledged commit."""
        (found,) = [each for each in lifecycle.clusters(self.local_rds.data) if each["identifier"] == self.identifier]
        return list(found["in_sync"])

    async def has_heir(self) -> bool:
        """Return whether a reader may be promoted."""
        return bool(await asyncio.to_thread(lambda: self.heirs))

    async def inject(self, instance: str, fault: faults.Fault) -> None:
        """Inject a fault into one of its instances."""
        await asyncio.to_thread(functools.partial(faults.inject, instance, fault, data=self.local_rds.data))

    async def clear(self, instance: str) -> None:
        """End the faults of one of its instances."""
        await asyncio.to_thread(functools.partial(faults.clear, instance, data=self.local_rds.data))

    def fail_over(self) -> None:
        """Force a failover and wait until it is over."""
        self.local_rds.rds.failover_db_cluster(DBClusterIdentifier=self.identifier)
        self.local_rds.rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=self.identifier)

    def _described(self) -> Any:
        return self.local_rds.rds.describe_db_clusters(DBClusterIdentifier=self.identifier)["DBClusters"][0]


def _create(local_rds: LocalRds, identifier: str, engine: str, **more: Any) -> None:
    keep_confidential(PASSWORD)
    local_rds.rds.create_db_cluster(
        DBClusterIdentifier=identifier,
        Engine=engine,
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        DatabaseName="app",
        **more,
    )


@contextlib.contextmanager
def aurora(local_rds: LocalRds, identifier: str, readers: int, engine: str = "aurora-postgresql") -> Iterator[Cluster]:
    """Run an Aurora cluster with a writer and readers for the length of the block."""
    _create(local_rds, identifier, engine)
    rds = local_rds.rds
    names = tuple(f"{identifier}-{number}" for number in range(1 + readers))
    for name in names:
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.r6g.large",
            Engine=engine,
            DBClusterIdentifier=identifier,
        )
    for name in names:
        local_rds.await_available(name)
    cluster = Cluster(local_rds, identifier, names)
    yield cluster
    for name in sorted(names, key=lambda name: name == cluster.writer):  # the writer last: no reader is promoted for it
        local_rds.await_available(name)  # one that is still joining its cluster again cannot be deleted
        local_rds.delete(name)
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)


@contextlib.contextmanager
def multi_az_cluster(local_rds: LocalRds, identifier: str, engine: str) -> Iterator[Cluster]:
    """Run a Multi-AZ DB cluster, which comes with its three instances, for the length of the block."""
    _create(local_rds, identifier, engine, DBClusterInstanceClass="db.m6gd.large", AllocatedStorage=100)
    rds = local_rds.rds
    waiter = rds.get_waiter("db_cluster_available")
    waiter.wait(DBClusterIdentifier=identifier)
    found = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"][0]
    yield Cluster(local_rds, identifier, tuple(each["DBInstanceIdentifier"] for each in found["DBClusterMembers"]))
    waiter.wait(DBClusterIdentifier=identifier)
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(DBClusterIdentifier=identifier)
