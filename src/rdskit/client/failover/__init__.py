"""One cluster: its hosts, a pool for each, and what happens when the writer goes away."""

from rdskit.client.failover.cluster import Cluster
from rdskit.client.failover.cluster_source import ClusterSource, asking
from rdskit.client.failover.discovery import discovered
from rdskit.client.failover.sources import InstanceSource, ListedReaders, Source, StaticSource

__all__ = [
    "Cluster",
    "ClusterSource",
    "InstanceSource",
    "ListedReaders",
    "Source",
    "StaticSource",
    "asking",
    "discovered",
]
