"""Run real servers behind the API: primaries, synchronous standbys, read replicas and DB clusters, with failover."""

from rdskit.local.fleet.model import (
    ClusterFacts,
    CustomEndpoint,
    FailoverRecord,
    FleetEvent,
    InstanceFacts,
    InstanceSpec,
)
from rdskit.local.fleet.service import Fleet

__all__ = ["ClusterFacts", "CustomEndpoint", "FailoverRecord", "Fleet", "FleetEvent", "InstanceFacts", "InstanceSpec"]
