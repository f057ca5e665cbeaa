"""What happens when servers die or hang under writers: every acknowledged row is there afterwards."""

from __future__ import annotations

import os
import signal

import pytest

from rdskit.errors import LocalError
from tests.local.fleet.conftest import ZONES, Harness, assert_nothing_lost, more, spec, writers
from tests.plugins.rounds import gate_and_soak


@pytest.mark.chaos
@pytest.mark.parametrize("count", gate_and_soak(2, 20))
def test_failovers_under_writers_lose_nothing(harness: Harness, count: int) -> None:
    endpoint = harness.fleet.create(spec(multi_az=True))
    with writers(harness, endpoint) as active:
        for _ in range(count):
            assert more(active)
            harness.await_sync()
            before = harness.fleet.describe("db-ORDERS")
            harness.fleet.reboot("db-ORDERS", force_failover=True)
            after = harness.fleet.describe("db-ORDERS")
            assert (after.zone, after.secondary_zone) == (before.secondary_zone, before.zone)
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)
    failovers = harness.fleet.failovers()
    assert [failover.cause for failover in failovers] == ["requested"] * count
    assert all(failover.promotion_ms > 0 for failover in failovers)
    assert harness.kinds().count("failover-completed") == count


@pytest.mark.chaos
def test_a_killed_primary_is_failed_over_at_once(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec(multi_az=True))
    with writers(harness, endpoint) as active:
        assert more(active)
        os.kill(harness.pid("db-ORDERS"), signal.SIGKILL)
        harness.until(lambda: "failover-completed" in harness.kinds())
        assert more(active)
        harness.await_sync()
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers()[0].cause == "primary-ended"
    assert harness.fleet.describe("db-ORDERS").zone == ZONES[1]


@pytest.mark.chaos
def test_a_hung_primary_is_fenced_and_failed_over(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec(multi_az=True))
    hung = harness.pid("db-ORDERS")
    with writers(harness, endpoint) as active:
        assert more(active)
        harness.fleet._supervisor("db-ORDERS").instance.primary.server.pause()
        harness.until(lambda: "failover-completed" in harness.kinds())
        assert more(active)
        harness.await_sync()
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers()[0].cause == "primary-hung"
    assert harness.pid("db-ORDERS") != hung


@pytest.mark.chaos
@pytest.mark.parametrize("failure", [signal.SIGKILL, signal.SIGSTOP])
def test_writers_go_on_without_a_standby_that_fails(harness: Harness, failure: signal.Signals) -> None:
    endpoint = harness.fleet.create(spec(multi_az=True))
    with writers(harness, endpoint) as active:
        assert more(active)
        standby = harness.fleet._supervisor("db-ORDERS").instance.standby
        assert standby is not None
        assert standby.server.pid is not None
        os.kill(standby.server.pid, failure)
        harness.until(lambda: "standby-lost" in harness.kinds())
        assert more(active)
        harness.until(lambda: harness.kinds().count("standby-rebuilt") == 2)
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers() == []


@pytest.mark.chaos
def test_without_a_standby_in_sync_the_primary_restarts_in_place(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    with writers(harness, endpoint) as active:
        assert more(active)
        os.kill(harness.pid("db-ORDERS"), signal.SIGKILL)
        harness.until(lambda: "restarted" in harness.kinds())
        assert more(active)
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers() == []
    assert harness.fleet.describe("db-ORDERS").zone == ZONES[0]


def test_a_failover_needs_a_standby(harness: Harness) -> None:
    harness.fleet.create(spec())
    with pytest.raises(LocalError, match="not Multi-AZ"):
        harness.fleet.reboot("db-ORDERS", force_failover=True)


def test_a_standby_is_added_and_taken_away(harness: Harness) -> None:
    endpoint = harness.fleet.create(spec())
    assert harness.fleet.describe("db-ORDERS").secondary_zone is None
    harness.fleet.set_multi_az("db-ORDERS", enabled=True)
    facts = harness.fleet.describe("db-ORDERS")
    assert (facts.secondary_zone, facts.standby_in_sync) == (ZONES[1], True)
    with harness.connect(endpoint) as connection:
        connection.execute("create table written as select 1 as id")
    harness.fleet.set_multi_az("db-ORDERS", enabled=False)
    facts = harness.fleet.describe("db-ORDERS")
    assert (facts.secondary_zone, facts.standby_in_sync) == (None, None)
    with harness.connect(endpoint) as connection:
        connection.execute("insert into written values (2)")
    assert harness.count(endpoint) == 2


@pytest.mark.parametrize("limits", gate_and_soak(("250",), ("250", "120")))
def test_a_raised_limit_reaches_the_standby_and_survives_a_failover(harness: Harness, limits: tuple[str, ...]) -> None:
    endpoint = harness.fleet.create(spec(multi_az=True))
    for wanted in limits:
        harness.fleet.apply_parameters("db-ORDERS", {"max_connections": wanted})
        harness.fleet.reboot("db-ORDERS")
        harness.await_sync()
        harness.fleet.reboot("db-ORDERS", force_failover=True)
        with harness.connect(endpoint) as connection:
            assert connection.execute("show max_connections").fetchone() == (wanted,)
        harness.await_sync()
