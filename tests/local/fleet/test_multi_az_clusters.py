"""Multi-AZ DB clusters: one of two readable standbys acknowledges, and the most advanced one is promoted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rdskit.local.fault_model import Fault
from rdskit.local.fleet.clusters.policy import Candidate, Quorum, promotion_candidates
from tests.local.fleet.conftest import PORTS, Harness, assert_nothing_lost, more, running, spec, writers
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.kernel.endpoints import Endpoint

CLUSTER = "cluster-ORDERS"
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module", params=["postgres", "mysql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def harness(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Run a cluster with a writer and two readers for all tests of one engine; any of the three may be the writer."""
    root = tmp_path_factory.mktemp("multi-az") / "data"
    share_templates(root)
    with running(root) as found:
        found.fleet.create_cluster(CLUSTER, engine, PORTS[engine])
        for name in NAMES:
            found.fleet.create(replace(spec(f"db-{name.upper()}", engine=engine), cluster_id=CLUSTER, identifier=name))
        yield found


def whole(harness: Harness) -> bool:
    return len(harness.fleet.describe_cluster(CLUSTER).in_sync) == 2


def writer(harness: Harness) -> str:
    return str(harness.fleet.describe_cluster(CLUSTER).writer_id)


def topology_at(harness: Harness, engine: str, endpoint: Endpoint) -> tuple[set[str], str]:
    """Return the members and the writer of the cluster, queried as the AWS drivers do."""
    with harness.client(endpoint) as connection:
        if engine == "postgres":
            (source,) = connection.execute("select rds_tools.multi_az_db_cluster_source_dbi_resource_id()").fetchone()
            rows = connection.execute("select id, endpoint from rds_tools.show_topology('test')").fetchall()
        else:
            status = connection.execute("show replica status").fetchall()
            source = status[0][39] if status else connection.execute("select @@server_id").fetchone()[0]
            rows = connection.execute("select id, endpoint from mysql.rds_topology").fetchall()
    names = {number: f"db-{endpoint.partition('.')[0].upper()}" for number, endpoint in rows}
    return set(names.values()), names.get(source, "")


def all_agree(harness: Harness, engine: str) -> bool:
    members = {f"db-{name.upper()}" for name in NAMES}
    return all(
        topology_at(harness, engine, harness.fleet.describe(each).endpoint) == (members, writer(harness))
        for each in members
    )


def test_topology_follows_a_requested_failover(harness: Harness, engine: str) -> None:
    harness.until(lambda: whole(harness))
    harness.until(lambda: all_agree(harness, engine))
    target = next(f"db-{name.upper()}" for name in NAMES if f"db-{name.upper()}" != writer(harness))
    harness.fleet.fail_over_cluster(CLUSTER, target)
    assert writer(harness) == target
    harness.until(lambda: whole(harness))
    harness.until(lambda: all_agree(harness, engine))


@pytest.mark.chaos
def test_commits_go_on_with_one_standby_and_none_is_lost_with_the_writer(harness: Harness) -> None:
    harness.until(lambda: whole(harness))
    facts, failovers = harness.fleet.describe_cluster(CLUSTER), len(harness.fleet.failovers())
    lost = writer(harness)
    standby = next(iter(facts.in_sync))
    with writers(harness, facts.endpoint) as active:
        assert more(active)
        harness.fleet.inject(standby, Fault("hang"))
        assert more(active)
        harness.fleet.clear_faults(standby)
        harness.until(lambda: whole(harness))
        harness.fleet.inject(lost, Fault("kill"))
        harness.until(lambda: len(harness.fleet.failovers()) > failovers)
        assert more(active)
    assert writer(harness) != lost
    assert_nothing_lost(harness, facts.endpoint, active)


def test_with_one_acknowledgement_all_must_be_there_to_be_asked() -> None:
    a = Candidate("a", 0, in_sync=True, healthy=True, waited_for=True)
    b = Candidate("b", 0, in_sync=True, healthy=True, waited_for=True)
    gone = Candidate("c", 0, in_sync=False, healthy=False)
    assert promotion_candidates([a, b, gone], Quorum.ONE) == ("a", "b")
    assert promotion_candidates([a, replace(b, healthy=False)], Quorum.ONE) == ()
    assert promotion_candidates([a, replace(b, in_sync=False)], Quorum.ONE) == ()
    assert promotion_candidates([gone], Quorum.ONE) == ()
    assert promotion_candidates([replace(b, healthy=False), a], Quorum.ALL) == ("a",)
    assert [Quorum.ONE.needed(2), Quorum.ONE.needed(0), Quorum.ALL.needed(2)] == [1, 0, 2]
