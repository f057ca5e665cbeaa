"""The life of a DB cluster: instances that leave it, a daemon that ends, and the choice of the next writer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet
from rdskit.local.fleet.clusters.policy import Candidate, promotion_target
from tests.local.fleet.clusters import CLUSTER, add, add_three, status, whole
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.fleet.model import ClusterFacts
    from tests.local.fleet.conftest import Harness


@pytest.fixture
def engine() -> str:
    return "aurora-postgresql"


@pytest.fixture
def cluster(harness: Harness) -> ClusterFacts:
    return add_three(harness)


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


@pytest.mark.parametrize("order", [("db-ONE", "db-TWO", "db-THREE"), *soak(("db-THREE", "db-TWO", "db-ONE"))])
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
    assert promotion_target(readers) == "c"
    assert promotion_target(readers, "d") == "d"
    assert promotion_target(readers, "a") is None
    assert promotion_target([]) is None
