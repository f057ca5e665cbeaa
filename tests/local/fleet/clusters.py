"""Create an Aurora PostgreSQL cluster of three instances for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.local.fleet.conftest import Harness, spec

if TYPE_CHECKING:
    from rdskit.local.fleet.model import ClusterFacts

CLUSTER = "cluster-ORDERS"


def add_three(harness: Harness) -> ClusterFacts:
    """Create a cluster with a writer and two readers; the second reader has the lower promotion tier."""
    facts = harness.fleet.create_cluster(CLUSTER, "aurora-postgresql", 5432)
    add(harness, "one")
    add(harness, "two", tier=5)
    add(harness, "three", tier=0)
    return facts


def add(harness: Harness, identifier: str, *, tier: int = 1) -> None:
    base = spec(f"db-{identifier.upper()}", engine="aurora-postgresql")
    harness.fleet.create(replace(base, cluster_id=CLUSTER, identifier=identifier, tier=tier))


def status(harness: Harness, facts: ClusterFacts) -> dict[str, str]:
    with harness.connect(facts.endpoint) as connection:
        rows = connection.execute("select server_id, session_id from aurora_replica_status()").fetchall()
    return {name: "writer" if session == "MASTER_SESSION_ID" else "reader" for name, session in rows}


def whole(harness: Harness) -> bool:
    return len(harness.fleet.describe_cluster(CLUSTER).in_sync) == 2
