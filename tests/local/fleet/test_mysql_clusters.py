"""Clusters of MySQL servers: what Aurora's clients query, and failovers that lose nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pymysql
import pytest

from rdskit.errors import LocalError
from rdskit.local.fault_model import Fault
from tests.local.fleet.clients import connect_mysql
from tests.local.fleet.conftest import Harness, assert_nothing_lost, more, running, spec, writers
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.kernel.endpoints import Endpoint

CLUSTER = "cluster-ORDERS"
TOPOLOGY = "select server_id, session_id = 'MASTER_SESSION_ID' from information_schema.replica_host_status"
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Run a cluster with a writer and two readers for all tests of this module; any of the three may be the writer."""
    root = tmp_path_factory.mktemp("clusters") / "data"
    share_templates(root)
    with running(root) as found:
        found.fleet.create_cluster(CLUSTER, "aurora-mysql", 3306)
        for name in NAMES:
            base = spec(f"db-{name.upper()}", engine="aurora-mysql")
            found.fleet.create(replace(base, cluster_id=CLUSTER, identifier=name))
        yield found


@pytest.fixture
def endpoint(harness: Harness) -> Endpoint:
    """Return the writer's endpoint, once both readers are in sync."""
    harness.until(lambda: whole(harness))
    return harness.fleet.describe_cluster(CLUSTER).endpoint


def whole(harness: Harness) -> bool:
    return len(harness.fleet.describe_cluster(CLUSTER).in_sync) == 2


def writer(harness: Harness) -> str:
    return str(harness.fleet.describe_cluster(CLUSTER).writer_id).removeprefix("db-").lower()


def own(harness: Harness, name: str) -> Endpoint:
    return harness.fleet.describe(f"db-{name.upper()}").endpoint


def topology(harness: Harness, endpoint: Endpoint) -> dict[str, bool]:
    with harness.client(endpoint) as connection:
        return {name: bool(writes) for name, writes in connection.execute(TOPOLOGY).fetchall()}


def expected(harness: Harness) -> dict[str, bool]:
    return {name: name == writer(harness) for name in NAMES}


def test_every_instance_tells_who_it_is_who_writes_and_who_reads(harness: Harness, endpoint: Endpoint) -> None:
    assert topology(harness, endpoint) == expected(harness)
    for name in NAMES:
        assert topology(harness, own(harness, name)) == expected(harness)
        with connect_mysql(own(harness, name), harness.fleet.authority) as connection:
            found = connection.execute("select @@aurora_server_id, @@innodb_read_only")
            assert [column[0] for column in found.description] == ["@@aurora_server_id", "@@innodb_read_only"]
            assert found.fetchone() == (name, int(name != writer(harness)))
            assert connection.execute("show variables like 'aurora_version'").fetchone()[0] == "aurora_version"


def test_readers_take_the_reader_endpoint_in_turn_and_refuse_writes(harness: Harness, endpoint: Endpoint) -> None:
    assert endpoint.port == 3306
    reader = harness.fleet.describe_cluster(CLUSTER).reader_endpoint
    found = set()
    for _ in range(4):
        with harness.client(reader) as connection:
            found.add(connection.execute("select @@aurora_server_id").fetchone()[0])
            with pytest.raises(pymysql.err.OperationalError) as refused:
                connection.execute("create table refused (id int)")
            assert refused.value.args[0] == 1290
    assert found == set(NAMES) - {writer(harness)}


def test_a_user_without_any_right_sees_the_topology(harness: Harness, endpoint: Endpoint) -> None:
    with harness.client(endpoint) as connection:
        connection.execute("create user guest identified by 'has-no-rights'")
    options = {"user": "guest", "database": None}
    with connect_mysql(endpoint, harness.fleet.authority, password="has-no-rights", **options) as connection:
        assert dict(connection.execute(TOPOLOGY).fetchall()) == expected(harness)
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            connection.execute("delete from rds_cluster.topology")


def test_a_requested_failover_changes_roles_and_every_view(harness: Harness, endpoint: Endpoint) -> None:
    before = writer(harness)
    target = next(name for name in NAMES if name != before)
    harness.fleet.fail_over_cluster(CLUSTER, f"db-{target.upper()}")
    assert writer(harness) == target
    assert topology(harness, endpoint) == expected(harness)
    harness.until(lambda: whole(harness))
    harness.until(lambda: all(topology(harness, own(harness, name)) == expected(harness) for name in NAMES))


@pytest.mark.chaos
def test_a_killed_writer_is_replaced_and_every_acknowledged_row_is_there(harness: Harness, endpoint: Endpoint) -> None:
    before, failovers = writer(harness), len(harness.fleet.failovers())
    with writers(harness, endpoint) as active:
        assert more(active)
        harness.fleet.inject(f"db-{before.upper()}", Fault("kill"))
        harness.until(lambda: len(harness.fleet.failovers()) > failovers)
        assert more(active)
        harness.until(lambda: whole(harness))
        assert more(active)
    assert writer(harness) != before
    assert_nothing_lost(harness, endpoint, active)
    with harness.client(endpoint) as connection:
        connection.execute("drop table written")


@pytest.mark.chaos
def test_a_server_that_cannot_get_the_members_of_its_cluster_leaves_no_endpoint_closed(
    harness: Harness, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = writer(harness)
    supervisor = harness.fleet._supervisor(f"db-{name.upper()}")
    server, times = supervisor.instance.primary.server, itertools.count()
    publish = server.publish_members  # type: ignore[attr-defined]  # of a cluster's server

    def at_last(*arguments: object) -> None:
        if next(times) < 3:
            raise LocalError("its commit waits for a reader that hangs")
        publish(*arguments)

    monkeypatch.setattr(server, "publish_members", at_last)
    with supervisor.instance.lock:
        supervisor.instance.refuse()
        supervisor.instance.accept()
    for each in (endpoint, own(harness, name)):
        with harness.client(each) as client:
            assert client.execute("select 1").fetchone() == (1,)
    harness.until(lambda: next(times) > 3)  # the supervisor publishes until that succeeds
    assert topology(harness, endpoint)[name]


def test_a_reader_that_hangs_stops_no_writer_for_long_and_comes_back(harness: Harness, endpoint: Endpoint) -> None:
    reader = next(name for name in NAMES if name != writer(harness))
    failovers = len(harness.fleet.failovers())
    with writers(harness, endpoint) as active:
        assert more(active)
        harness.fleet.inject(f"db-{reader.upper()}", Fault("hang"))
        harness.until(lambda: not whole(harness))
        assert more(active)
        harness.fleet.clear_faults(f"db-{reader.upper()}")
        harness.until(lambda: whole(harness))
    assert len(harness.fleet.failovers()) == failovers
    harness.until(lambda: harness.count(own(harness, reader)) == harness.count(endpoint))
    assert_nothing_lost(harness, endpoint, active)
