"""Find the endpoints of a local RDS that IAM tokens and policies name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.control.iam.verification import IamEndpoint
from rdskit.local.control.rds.clusters import Clusters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.control.rds.models import LocalRDSBackend

__all__ = ["iam_endpoint"]


def iam_endpoint(name: str, backends: Iterable[LocalRDSBackend]) -> IamEndpoint | None:
    """Return the endpoint of that name; None if it does not exist or has no address yet. Call inside the monitor.

    Policies name the database of a cluster, and of its instances, by the cluster's resource id. Source: AWS, Service
    Authorization Reference, "Actions, resources, and condition keys for Amazon RDS IAM Authentication".
    """
    return next(
        (found for backend in backends for found in (_of_instance(name, backend), _of_cluster(name, backend)) if found),
        None,
    )


def _of_instance(name: str, backend: LocalRDSBackend) -> IamEndpoint | None:
    for each in backend.instances():
        if each.dbi_resource_id == name and each.served_at is not None:
            resource_id = each.cluster_resource_id or name
            return IamEndpoint(resource_id, Endpoint(*each.served_at), backend.region_name, backend.account_id)
    return None


def _of_cluster(name: str, backend: LocalRDSBackend) -> IamEndpoint | None:
    for each in Clusters(backend).all():
        address = backend.fleet.describe_cluster(each.resource_id).addresses.get(name)
        if address is not None:
            return IamEndpoint(each.resource_id, address, backend.region_name, backend.account_id)
    return None
