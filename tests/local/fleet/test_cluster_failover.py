"""A cluster through failovers: roles, endpoints and SQL functions follow, and every acknowledged row is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.errors import LocalError
from rdskit.local.fault_model import Fault
from tests.local.fleet.clusters import CLUSTER, add_three, status, whole
from tests.local.fleet.conftest import Harness, assert_nothing_lost, more, running, writers
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.fleet.model import ClusterFacts


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Run a cluster with a writer and two readers for all tests of this module."""
    root = tmp_path_factory.mktemp("clusters") / "data"
    share_templates(root)
    with running(root) as harness:
        add_three(harness)
        yield harness


@pytest.fixture
def harness(shared: Harness) -> Harness:
    """Restore the first instance as the writer, wait until the readers are in sync, and drop events and tables."""
    shared.until(lambda: whole(shared))
    shared.fleet.fail_over_cluster(CLUSTER, "db-ONE")
    shared.until(lambda: whole(shared))
    with shared.connect(shared.fleet.describe_cluster(CLUSTER).endpoint) as writer:
        writer.execute("drop table if exists written")
    shared.events.clear()
    return shared


@pytest.fixture
def cluster(harness: Harness) -> ClusterFacts:
    return harness.fleet.describe_cluster(CLUSTER)


def read_by(harness: Harness, facts: ClusterFacts) -> set[str]:
    """Return the instance that answers at the reader endpoint."""
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
    before = len(harness.fleet.failovers())
    harness.fleet.fail_over_cluster(CLUSTER, "db-TWO")
    assert harness.fleet.describe_cluster(CLUSTER).writer_id == "db-TWO"
    harness.until(lambda: whole(harness))
    assert status(harness, cluster) == {"one": "reader", "two": "writer", "three": "reader"}
    assert read_by(harness, cluster) == {"one", "three"}
    assert [each.cause for each in harness.fleet.failovers()[before:]] == ["requested"]


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
    failover = harness.fleet.failovers()[-1]
    assert failover.cause == ("primary-ended" if kind == "kill" else "primary-hung")


@pytest.mark.chaos
def test_connections_to_a_writer_behind_a_black_hole_are_reset_when_it_is_back_as_a_reader(
    harness: Harness, cluster: ClusterFacts
) -> None:
    own = harness.fleet.describe("db-ONE").endpoint
    with harness.connect(cluster.endpoint) as by_cluster, harness.connect(own) as by_name:
        harness.fleet.inject("db-ONE", Fault("blackhole"))
        # The failover ends the fault's effect on existing connections; the fault itself is not cleared.
        for each in (by_cluster, by_name):
            with pytest.raises(psycopg.OperationalError):
                each.execute("select 1")
    harness.until(lambda: whole(harness))
    assert harness.fleet.describe_cluster(CLUSTER).writer_id != "db-ONE"
    assert harness.fleet.clear_faults("db-ONE") == frozenset()


@pytest.mark.chaos
def test_a_lost_reader_stops_no_writer_for_long_and_comes_back(harness: Harness, cluster: ClusterFacts) -> None:
    before = harness.fleet.failovers()
    with writers(harness, cluster.endpoint) as active:
        assert more(active)
        harness.fleet.inject("db-TWO", Fault("kill"))
        assert more(active)
        harness.until(lambda: whole(harness))
    assert_nothing_lost(harness, cluster.endpoint, active)
    assert harness.fleet.failovers() == before


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
