"""What the AWS wrapper gets wrong in a failover, each a test of ours; numbered as in docs/failover.md."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
import rdskit.sync
from rdskit.events import FailoverCompleted, FailoverStarted
from rdskit.local import faults
from tests.chaos.clusters import Cluster, aurora
from tests.chaos.wrapper_faults.child import WRITES, Child
from tests.chaos.wrapper_faults.crash import CONNECTIONS, PATIENCE, Seen, crash
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds) -> Iterator[Cluster]:
    with aurora(local_rds, "faulty", readers=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def seen(local_rds: LocalRds, cluster: Cluster) -> Iterator[Seen]:
    """Crash once, for all tests that are about one crash."""
    with (
        aurora(local_rds, "neighbour", readers=0) as neighbour,
        # Otherwise the child's question may go to the reader that was promoted, before the child knows of that.
        rdskit.sync.connect(cluster.target, consistency="strong") as warm,
    ):
        assert warm.fetch_value(WRITES)
        asyncio.run(eventually(cluster.has_heir, PATIENCE))
        child = Child(warm)
        try:
            yield asyncio.run(crash(cluster, neighbour, child))
        finally:
            child.close()


def test_fault_01_a_failover_does_not_wait_for_the_next_look_at_the_topology(seen: Seen) -> None:
    assert seen.after != seen.before, "the look that is due by the clock is an hour away"
    assert len(seen.answers) >= 2 * CONNECTIONS
    assert all(seen.answers), "all by a host that writes"


def test_fault_02_one_monitor_for_all_connections_and_none_left_after_closing(seen: Seen) -> None:
    assert seen.backends <= CONNECTIONS + 4, "beside the callers' own: those kept to the reader"
    assert seen.backends_left == 0
    assert seen.tasks_left == []


def test_fault_03_twenty_connections_that_fail_over_are_no_herd(seen: Seen) -> None:
    away = sum(event.seconds for event in seen.events if isinstance(event, FailoverCompleted))
    print(f"{seen.attempts} connects in {away:.2f} s")  # noqa: T201 - the figure; the wrapper: 358 (asyncio), 43 (others)
    allowed = CONNECTIONS + 5 + 15 * max(1.0, away)
    assert seen.attempts <= allowed, (
        "one for each, and a fixed number a second for all together while there is no writer"
    )


def test_fault_05_a_database_that_only_connected_to_an_instance_follows_the_writer(seen: Seen) -> None:
    assert seen.cold == seen.after


def test_fault_06_a_child_of_a_warm_parent_fails_over_by_itself(seen: Seen) -> None:
    assert seen.child == seen.after


def test_fault_10_a_failover_is_an_event_and_no_exception(seen: Seen) -> None:
    assert seen.raised == []
    told = [event for event in seen.events if isinstance(event, FailoverStarted | FailoverCompleted)]
    assert isinstance(told[-1], FailoverCompleted)
    assert told[-1].seconds > 0


def test_fault_12_two_clusters_of_one_process_never_mix(seen: Seen) -> None:
    assert seen.neighbour_hosts == ["neighbour-0"]
    assert seen.neighbour_failures == 0
    assert not [event for event in seen.neighbour_events if isinstance(event, FailoverStarted)]


async def test_fault_04_calls_on_a_hung_server_are_answered_by_the_next_writer(cluster: Cluster, seen: Seen) -> None:
    await eventually(cluster.has_heir, PATIENCE)
    before = await asyncio.to_thread(lambda: cluster.writer)
    assert before == seen.after
    async with rdskit.connect(cluster.target, consistency="strong", timeout=PATIENCE) as db:
        assert await db.fetch_value(WRITES)
        await cluster.inject(before, faults.hang())
        try:
            answers = await asyncio.gather(*(db.fetch_value(WRITES) for _ in range(CONNECTIONS)))
        finally:
            await cluster.clear(before)
        assert all(answers)
        writer = (await db.topology()).writer
        assert writer is not None
        assert writer.identifier != before
