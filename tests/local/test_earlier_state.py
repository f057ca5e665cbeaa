"""State that an earlier version stored, without what came later: it is loaded, and what is missing has its default."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.control.rds.cluster import LocalDBCluster
from rdskit.local.control.rds.instance import LocalDBInstance
from rdskit.local.fleet import ClusterFacts
from rdskit.local.fleet.clusters.store import ClusterRecord, ClusterStore
from rdskit.local.fleet.store import Store

if TYPE_CHECKING:
    from pathlib import Path

INSTANCE: dict[str, Any] = {
    "format": 1,
    "resource_id": "db-ONE",
    "master_user": "shop",
    "endpoint": ["127.0.0.5", 5432],
    "zones": ["eu-1a", "eu-1b"],
    "primary": {"name": "a", "address": ["127.0.0.6", 40001], "zone": "eu-1a"},
    "standby": None,
    "parameters": {},
    "proven": {},
    "source_id": None,
    "stopped": False,
    "failovers": [
        {"resource_id": "db-ONE", "cause": "requested", "at": "2026-01-02T00:00:00+00:00", "promotion_ms": 41.5}
    ],
}
CLUSTER: dict[str, Any] = {
    "resource_id": "cluster-ONE",
    "engine": "aurora-postgresql",
    "endpoint": ["127.0.0.5", 5432],
    "reader_endpoint": ["127.0.0.6", 5432],
    "writer_id": "db-ONE",
    "failovers": [],
}


def test_an_instance_of_the_first_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ensure()
    store.node("db-ONE", "a")
    (store.instances / "db-ONE" / "instance.json").write_text(json.dumps(INSTANCE))
    (record,) = store.load()
    assert (record.engine, record.iam, record.cluster_id, record.identifier, record.tier) == (
        "postgres",
        False,
        None,
        "",
        1,
    )
    assert record.failovers[0].detection_ms is None
    store.save(record)
    assert list(store.load()) == [record]


def test_a_cluster_without_custom_endpoints(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "cluster-ONE.json").write_text(json.dumps(CLUSTER))
    store = ClusterStore(tmp_path)
    (record,) = store.load()
    assert record == ClusterRecord(
        "cluster-ONE", "aurora-postgresql", Endpoint("127.0.0.5", 5432), Endpoint("127.0.0.6", 5432), "db-ONE"
    )


def test_a_cluster_of_the_api_without_hardware_secret_and_custom_endpoints() -> None:
    stored: Any = LocalDBCluster.__new__(LocalDBCluster)
    stored.__dict__.update(
        identifier="orders",
        resource_id="cluster-ONE",
        arn="arn:aws:rds:eu-west-1:123456789012:cluster:orders",
        engine="aurora-postgresql",
        engine_version="18.1",
        port=5432,
        master_user="app",
        password="correct-horse",
        database=None,
        iam=False,
        protected=False,
        created=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        zones=("eu-west-1a", "eu-west-1b"),
    )
    facts = ClusterFacts("cluster-ONE", Endpoint("127.0.0.5", 5432), Endpoint("127.0.0.6", 5432), None, frozenset())
    shown = stored.described(facts, [])
    assert (shown["Status"], shown["MultiAZ"], shown["CustomEndpoints"]) == ("available", False, [])
    assert shown["MasterUserSecret"] is None


def test_an_instance_of_the_api_that_was_stored_before_clusters_came() -> None:
    stored: Any = LocalDBInstance.__new__(LocalDBInstance)
    assert (stored.cluster_resource_id, stored.promotion_tier) == (None, None)
