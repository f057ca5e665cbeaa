"""Create, show, change and delete custom endpoints of DB clusters, each with a real address."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rdskit.local.control.rds.cluster import ClusterEndpoint
from rdskit.local.control.rds.rds_errors import (
    EndpointExistsError,
    EndpointNotFoundError,
    InvalidCombinationError,
    InvalidValueError,
)
from rdskit.local.fleet import CustomEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rdskit.local.control.rds.cluster import LocalDBCluster
    from rdskit.local.control.rds.clusters import Backend, Clusters

__all__ = ["ClusterEndpoints"]

_TYPES = ("READER", "ANY")


class ClusterEndpoints:
    """The custom endpoints of one backend's clusters.

    Args:
        clusters: clusters of the request's account and region; every method is called inside the monitor.
        backend: the backend of the clusters.
    """

    def __init__(self, clusters: Clusters, backend: Backend) -> None:
        self._clusters = clusters
        self._backend = backend

    def create(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Create an endpoint and return its description."""
        cluster = self._clusters.find(request["DBClusterIdentifier"])
        identifier = str(request["DBClusterEndpointIdentifier"]).lower()
        if cluster.is_multi_az:
            raise InvalidCombinationError("Custom endpoints are Aurora's: a Multi-AZ DB cluster has none.")
        if any(each.identifier == identifier for _, each in self._all()):
            raise EndpointExistsError(identifier)
        arn = f"arn:aws:rds:{self._backend.region_name}:{self._backend.account_id}:cluster-endpoint:{identifier}"
        resource_id = "cluster-endpoint-" + base64.b32encode(secrets.token_bytes(20)).decode()[:26]
        empty = ClusterEndpoint(identifier, resource_id, arn, "ANY", (), ())
        return self._put(cluster, self._changed(cluster, empty, request))

    def describe(self, request: Mapping[str, Any]) -> list[dict[str, object]]:
        """Return the endpoints of one cluster or of all, including each cluster's writer and reader endpoints."""
        asked = request.get("DBClusterIdentifier")
        chosen = [self._clusters.find(asked)] if asked else self._clusters.all()
        found = [shown for cluster in chosen for shown in self._shown(cluster)]
        if identifier := request.get("DBClusterEndpointIdentifier"):
            self.find(identifier)
            found = [each for each in found if each.get("DBClusterEndpointIdentifier") == identifier.lower()]
        for each in request.get("Filters") or ():
            found = _filtered(found, each["Name"], {str(value).lower() for value in each["Values"]})
        return found

    def modify(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Change the members of an endpoint; existing connections stay."""
        cluster, endpoint = self.find(request["DBClusterEndpointIdentifier"])
        return self._put(cluster, self._changed(cluster, endpoint, request))

    def delete(self, identifier: str) -> dict[str, object]:
        """Delete an endpoint and return its description."""
        cluster, endpoint = self.find(identifier)
        self._backend.fleet.remove_custom_endpoint(cluster.resource_id, endpoint.resource_id)
        cluster.endpoints = tuple(each for each in cluster.endpoints if each != endpoint)
        return {**endpoint.described(cluster.identifier), "Status": "deleting"}

    def find(self, identifier: str) -> tuple[LocalDBCluster, ClusterEndpoint]:
        """Return the endpoint of that name, and its cluster.

        Raises:
            EndpointNotFoundError: there is no such endpoint.
        """
        for cluster, endpoint in self._all():
            if endpoint.identifier == identifier.lower():
                return cluster, endpoint
        raise EndpointNotFoundError(identifier)

    def _all(self) -> Iterable[tuple[LocalDBCluster, ClusterEndpoint]]:
        return [(cluster, endpoint) for cluster in self._clusters.all() for endpoint in cluster.endpoints]

    def _shown(self, cluster: LocalDBCluster) -> list[dict[str, object]]:
        facts = self._backend.fleet.describe_cluster(cluster.resource_id)
        own = {"WRITER": facts.endpoint.host, "READER": facts.reader_endpoint.host}
        common = {"DBClusterIdentifier": cluster.identifier, "Status": "available"}
        built_in: list[dict[str, object]] = [
            {**common, "Endpoint": host, "EndpointType": kind} for kind, host in own.items()
        ]
        return [*built_in, *(each.described(cluster.identifier) for each in cluster.endpoints)]

    def _changed(
        self, cluster: LocalDBCluster, endpoint: ClusterEndpoint, request: Mapping[str, Any]
    ) -> ClusterEndpoint:
        kind = str(request.get("EndpointType") or endpoint.kind).upper()
        static, excluded = request.get("StaticMembers"), request.get("ExcludedMembers")
        if kind not in _TYPES:
            raise InvalidValueError(f"EndpointType {kind} is not one of {', '.join(_TYPES)}.")
        if static and excluded:
            raise InvalidCombinationError("StaticMembers and ExcludedMembers cannot be given together.")
        members = {each.db_instance_identifier for each in self._clusters.members(cluster)}
        unknown = sorted(set(static or excluded or ()) - members)
        if unknown:
            raise InvalidValueError(f"{', '.join(unknown)} is not an instance of {cluster.identifier}.")
        # An empty list clears the members, a missing one keeps them.
        if static is None and excluded is None:
            static, excluded = endpoint.static, endpoint.excluded
        return replace(endpoint, kind=kind, static=tuple(static or ()), excluded=tuple(excluded or ()))

    def _put(self, cluster: LocalDBCluster, endpoint: ClusterEndpoint) -> dict[str, object]:
        # The fleet knows resource ids only. An identifier whose instance was deleted since stays in the description.
        ids = {each.db_instance_identifier: each.dbi_resource_id for each in self._clusters.members(cluster)}
        served = CustomEndpoint(
            endpoint.resource_id,
            readers_only=endpoint.kind == "READER",
            static=tuple(ids[each] for each in endpoint.static if each in ids),
            excluded=tuple(ids[each] for each in endpoint.excluded if each in ids),
        )
        # Allowed inside the monitor: it takes the cluster's lock, which comes after the monitor in the lock order.
        address = self._backend.fleet.set_custom_endpoint(cluster.resource_id, served)
        endpoint = replace(endpoint, host=address.host)
        others = [each for each in cluster.endpoints if each.identifier != endpoint.identifier]
        cluster.endpoints = (*others, endpoint)
        return endpoint.described(cluster.identifier)


def _filtered(found: list[dict[str, object]], name: str, values: set[str]) -> list[dict[str, object]]:
    fields = {
        "db-cluster-id": "DBClusterIdentifier",
        "db-cluster-endpoint-type": "EndpointType",
        "db-cluster-endpoint-custom-type": "CustomEndpointType",
        "db-cluster-endpoint-id": "DBClusterEndpointIdentifier",
        "db-cluster-endpoint-status": "Status",
    }
    if name not in fields:
        raise InvalidValueError(f"Unrecognized filter name: {name}")
    return [each for each in found if str(each.get(fields[name], "")).lower() in values]
