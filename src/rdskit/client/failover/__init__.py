"""Find a cluster's hosts, keep a pool for each, and follow the writer through failovers."""

from rdskit.client.failover.cluster import Cluster
from rdskit.client.failover.cluster_source import ClusterSource, prefer_sql
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
    "discovered",
    "prefer_sql",
    "selected",
]
