"""Keep the table of all clusters of a fleet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet.clusters.cluster import Cluster
from rdskit.local.fleet.clusters.store import ClusterRecord, ClusterStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rdskit.local.fleet.fleet_context import FleetContext
    from rdskit.local.fleet.instance import Instance

CLUSTERED: Final = ("aurora-postgresql", "aurora-mysql", "postgres", "mysql")


class Clusters:
    """Table of all clusters of a fleet.

    Args:
        root: of the fleet.
        instances: finds all instances of the fleet.
    """

    def __init__(self, root: Path, instances: Callable[[], Iterable[Instance]]) -> None:
        self._store = ClusterStore(root)
        self._instances = instances
        self._clusters: dict[str, Cluster] = {}
        # Fleet._lock may be held when this one is acquired, so nothing under this lock may list the instances.
        self._lock = threading.Lock()

    def load(self, context: FleetContext) -> None:
        """Load the recorded clusters."""
        for record in self._store.load():
            for each in record.addresses:
                context.addresses.take(each)
            self._register(context, record)

    def create(self, context: FleetContext, resource_id: str, engine: str, port: int) -> Cluster:
        """Create a cluster without instances.

        Raises:
            LocalError: it exists, or the engine has no clusters here.
        """
        if engine not in CLUSTERED:
            raise LocalError(f"{engine} has no clusters in the local RDS: use {' or '.join(CLUSTERED)}")
        with self._lock:
            if resource_id in self._clusters:
                raise LocalError(f"{resource_id} exists already: delete it first")
            addresses = context.addresses
            record = ClusterRecord(resource_id, engine, addresses.allocate(port), addresses.allocate(port))
            self._store.save(record)
            return self._register(context, record)

    def find(self, resource_id: str) -> Cluster:
        """Return the cluster with a key.

        Raises:
            LocalError: there is none.
        """
        with self._lock:
            cluster = self._clusters.get(resource_id)
        if cluster is None:
            raise LocalError(f"there is no cluster {resource_id}")
        return cluster

    def all(self) -> list[Cluster]:
        """Return every cluster of the fleet."""
        with self._lock:
            return list(self._clusters.values())

    def delete(self, context: FleetContext, resource_id: str) -> None:
        """Remove a cluster, its endpoints and its record.

        Raises:
            LocalError: there is none, or it has instances.
        """
        cluster = self.find(resource_id)
        # Without this table's lock: listing the members acquires the fleet's.
        if cluster.members:
            raise LocalError(f"{resource_id} has {len(cluster.members)} instances: delete them first")
        cluster.close_endpoints()
        with self._lock:
            del self._clusters[resource_id]
        self._store.forget(resource_id)
        for each in cluster.record.addresses:
            context.addresses.release(each)

    def _register(self, context: FleetContext, record: ClusterRecord) -> Cluster:
        name = record.resource_id
        members = lambda: [each for each in self._instances() if each.record.cluster_id == name]  # noqa: E731 - a closure
        self._clusters[name] = Cluster(context, record, self._store, members)
        return self._clusters[name]
