"""The real servers behind the API: primaries, synchronous standbys, read replicas, and what is done when they fail."""

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
