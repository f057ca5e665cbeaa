"""One cluster: its hosts, a pool for each, and what happens when the writer goes away."""

from rdskit.client.failover.cluster import Cluster
from rdskit.client.failover.cluster_source import ClusterSource, asking
from rdskit.client.failover.discovery import discovered
from rdskit.client.failover.global_source import GlobalSource, NearReaders
from rdskit.client.failover.listed_hosts import ListedHosts
from rdskit.client.failover.sources import InstanceSource, ListedReaders, Source, StaticSource, selected

__all__ = [
    "Cluster",
    "ClusterSource",
    "GlobalSource",
    "InstanceSource",
    "ListedHosts",
    "ListedReaders",
    "NearReaders",
    "Source",
    "StaticSource",
    "asking",
    "discovered",
    "selected",
]
