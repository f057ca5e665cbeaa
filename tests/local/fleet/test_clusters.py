"""DB clusters: roles, endpoints and SQL functions through failovers, with every acknowledged row kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fault_model import Fault
from rdskit.local.fleet import Fleet
from rdskit.local.fleet.clusters.policy import Candidate, heir
from tests.local.fleet.conftest import Harness, assert_nothing_lost, more, spec, writers

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.fleet.model import ClusterFacts

CLUSTER = "cluster-ORDERS"


@pytest.fixture
def engine() -> str:
    return "aurora-postgresql"


def add(harness: Harness, identifier: str, *, tier: int = 1) -> str:
    base = spec(f"db-{identifier.upper()}", engine="aurora-postgresql")
    harness.fleet.create(replace(base, cluster_id=CLUSTER, identifier=identifier, tier=tier))
    return base.resource_id


@pytest.fixture
def cluster(harness: Harness) -> ClusterFacts:
    """A writer and two readers; the second reader is to be promoted first."""
    facts = harness.fleet.create_cluster(CLUSTER, "aurora-postgresql", 5432)
    add(harness, "one")
    add(harness, "two", tier=5)
    add(harness, "three", tier=0)
    return facts


def status(harness: Harness, facts: ClusterFacts) -> dict[str, str]:
    with harness.connect(facts.endpoint) as connection:
        rows = connection.execute("select server_id, session_id from aurora_replica_status()").fetchall()
    return {name: "writer" if session == "MASTER_SESSION_ID" else "reader" for name, session in rows}


def whole(harness: Harness) -> bool:
    return len(harness.fleet.describe_cluster(CLUSTER).in_sync) == 2


def read_by(harness: Harness, facts: ClusterFacts) -> set[str]:
    """Who answers at the reader endpoint."""
    found = set()
    for _ in range(6):
        with harness.connect(facts.reader_endpoint) as connection:
            found |= {name for (name,) in connection.execute("select aurora_db_instance_identifier()")}
    return found


def test_roles_endpoints_and_functions_follow_a_requested_failover(harness: Harness, cluster: ClusterFacts) -> None:
    assert status(harness, cluster) == {"one": "writer", "two": "reader", "three": "reader"}
    assert read_by(harness, cluster) == {"two", "three"}
    with harness.connect(cluster.reader_endpoint) as reader, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("create table refused (id int)")
    harness.fleet.fail_over_cluster(CLUSTER, "db-TWO")
    assert harness.fleet.describe_cluster(CLUSTER).writer_id == "db-TWO"
    harness.until(lambda: whole(harness))
    assert status(harness, cluster) == {"one": "reader", "two": "writer", "three": "reader"}
    assert read_by(harness, cluster) == {"one", "three"}
    assert [each.cause for each in harness.fleet.failovers()] == ["requested"]


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["kill", "hang", "blackhole"])
def test_a_lost_writer_is_replaced_by_the_lowest_tier_and_returns_as_a_reader(
    harness: Harness, cluster: ClusterFacts, kind: str
) -> None:
    fault = {"kill": Fault("kill"), "hang": Fault("hang"), "blackhole": Fault("blackhole")}[kind]
    with writers(harness, cluster.endpoint) as active:
        assert more(active)
        harness.fleet.inject("db-ONE", fault)
        harness.until(lambda: "failover-completed" in harness.kinds())
        harness.fleet.clear_faults("db-ONE")
        assert more(active)
        assert harness.fleet.describe_cluster(CLUSTER).writer_id == "db-THREE"
        harness.until(lambda: whole(harness))
        assert more(active)
    assert_nothing_lost(harness, cluster.endpoint, active)
    assert read_by(harness, cluster) == {"one", "two"}
    (failover,) = harness.fleet.failovers()
    assert failover.cause == ("primary-ended" if kind == "kill" else "primary-hung")


@pytest.mark.chaos
def test_a_lost_reader_stops_no_writer_for_long_and_comes_back(harness: Harness, cluster: ClusterFacts) -> None:
    with writers(harness, cluster.endpoint) as active:
        assert more(active)
        harness.fleet.inject("db-TWO", Fault("kill"))
        assert more(active)
        harness.until(lambda: whole(harness))
    assert_nothing_lost(harness, cluster.endpoint, active)
    assert harness.fleet.failovers() == []


def test_lag_ends_for_a_reader_that_was_the_writer_meanwhile(harness: Harness, cluster: ClusterFacts) -> None:
    with pytest.raises(LocalError, match="whose storage does not fill up"):
        harness.fleet.inject("db-ONE", Fault("full-disk"))
    harness.fleet.inject("db-ONE", Fault("lag", 3600.0))
    harness.fleet.fail_over_cluster(CLUSTER, "db-TWO")
    harness.fleet.clear_faults("db-ONE")
    harness.until(lambda: whole(harness))
    harness.fleet.fail_over_cluster(CLUSTER, "db-ONE")
    harness.until(lambda: whole(harness))
    with harness.connect(cluster.endpoint) as writer:
        writer.execute("create table seen (id int)")
    for resource_id in ("db-TWO", "db-THREE"):
        with harness.connect(harness.fleet.describe(resource_id).endpoint) as reader:
            harness.until(lambda: exists(reader))


def exists(connection: psycopg.Connection) -> bool:
    return connection.execute("select to_regclass('seen')").fetchone() != (None,)


def test_a_writer_that_is_deleted_hands_over(harness: Harness, cluster: ClusterFacts) -> None:
    with harness.connect(cluster.endpoint) as connection:
        connection.execute("create table kept (id int)")
    harness.fleet.delete("db-ONE")
    assert status(harness, cluster) == {"two": "reader", "three": "writer"}
    with harness.connect(cluster.endpoint) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    with pytest.raises(LocalError, match="2 instances: delete them first"):
        harness.fleet.delete_cluster(CLUSTER)
    harness.fleet.delete("db-TWO")
    harness.fleet.delete("db-THREE")
    harness.fleet.delete_cluster(CLUSTER)
    with pytest.raises(LocalError, match="no cluster"):
        harness.fleet.describe_cluster(CLUSTER)


@pytest.mark.parametrize("order", [("db-ONE", "db-TWO", "db-THREE"), ("db-THREE", "db-TWO", "db-ONE")])
def test_instances_that_are_deleted_at_once_all_go(
    harness: Harness, cluster: ClusterFacts, order: tuple[str, ...]
) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(harness.fleet.delete, order)) == [None] * 3
    harness.fleet.delete_cluster(cluster.resource_id)
    again = harness.fleet.create_cluster(CLUSTER, "aurora-postgresql", 5432)
    add(harness, "one")
    assert status(harness, again) == {"one": "writer"}


def test_a_cluster_survives_its_daemon(harness: Harness, cluster: ClusterFacts, root: Path) -> None:
    harness.fleet.fail_over_cluster(CLUSTER)
    harness.fleet.close()
    again = Fleet(root, notify=harness.events.append)
    again.start()
    harness.fleet = again
    try:
        assert again.describe_cluster(CLUSTER).writer_id == "db-THREE"
        assert poll(lambda: whole(harness), timeout=60, interval=0.05)
        assert status(harness, cluster) == {"one": "reader", "two": "reader", "three": "writer"}
    finally:
        again.close()


def test_the_heir_is_in_sync_and_has_the_lowest_tier() -> None:
    readers = [
        Candidate("a", 0, in_sync=False, healthy=True),
        Candidate("b", 1, in_sync=True, healthy=False),
        Candidate("d", 2, in_sync=True, healthy=True),
        Candidate("c", 2, in_sync=True, healthy=True),
    ]
    assert heir(readers) == "c"
    assert heir(readers, "d") == "d"
    assert heir(readers, "a") is None
    assert heir([]) is None
