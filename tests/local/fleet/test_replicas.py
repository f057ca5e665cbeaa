"""Read replicas: real streaming, read-only for everyone, following their source through its failovers."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.errors import LocalError
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import failover
from rdskit.local.fleet import replicas as replication
from tests.local.fleet.conftest import Harness, spec
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.fleet.engine import Upstream
    from tests.local.fleet.clients import Client


def make(harness: Harness, *, multi_az: bool = False) -> tuple[Endpoint, Endpoint]:
    """Create a source with a table, and its replica."""
    source = harness.fleet.create(spec(multi_az=multi_az))
    with harness.connect(source) as connection:
        connection.execute("create table written (id int)")
    replica = harness.fleet.create_replica(spec("db-REPLICA"), "db-ORDERS")
    return source, replica


def insert(harness: Harness, endpoint: Endpoint) -> None:
    with harness.connect(endpoint) as connection:
        connection.execute("insert into written values (1)")


def has(harness: Harness, endpoint: Endpoint, rows: int) -> bool:
    return harness.count(endpoint) == rows


def test_a_replica_has_what_its_source_has_and_refuses_writes(harness: Harness) -> None:
    source, replica = make(harness)
    insert(harness, source)
    assert poll(lambda: harness.count(replica) == 1, timeout=60)
    with harness.connect(replica) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("insert into written values (2)")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("set transaction_read_only = off")
    facts = harness.fleet.describe("db-REPLICA")
    assert facts.source_id == "db-ORDERS"
    harness.until(lambda: harness.fleet.describe("db-REPLICA").replica_lag == 0)


def test_a_replica_follows_the_new_primary(harness: Harness) -> None:
    source, replica = make(harness, multi_az=True)
    for expected in (1, 2):
        harness.await_sync()
        harness.fleet.reboot("db-ORDERS", force_failover=True)
        insert(harness, source)
        assert poll(partial(has, harness, replica, expected), timeout=60)


def test_a_promoted_replica_is_an_instance_of_its_own(harness: Harness) -> None:
    source, replica = make(harness)
    with pytest.raises(LocalError, match="has the read replica db-REPLICA"):
        harness.fleet.delete("db-ORDERS")
    with pytest.raises(LocalError, match="is a read replica itself"):
        harness.fleet.create_replica(spec("db-OTHER"), "db-REPLICA")
    harness.fleet.promote_replica("db-REPLICA")
    harness.fleet.promote_replica("db-REPLICA")
    insert(harness, replica)
    assert harness.count(replica) == 1
    assert harness.count(source) == 0
    harness.fleet.delete("db-ORDERS")
    harness.fleet.reboot("db-REPLICA")
    assert harness.count(replica) == 1


def test_a_killed_replica_comes_back(harness: Harness) -> None:
    source, replica = make(harness)
    os.kill(harness.pid("db-REPLICA"), signal.SIGKILL)
    harness.until(lambda: "restarted" in harness.kinds())
    insert(harness, source)
    assert poll(lambda: harness.count(replica) == 1, timeout=60)


@pytest.mark.chaos
def test_a_replica_ahead_of_the_new_primary_leaves_service_and_is_rebuilt(harness: Harness) -> None:
    source, replica = make(harness, multi_az=True)
    supervisor = harness.fleet._supervisor("db-ORDERS")
    instance, standby = supervisor.instance, supervisor.instance.standby
    assert standby is not None
    assert standby.server.pid is not None
    # More rows than socket buffers hold. The paused standby never gets the commit, so it is not acknowledged. The
    # replica gets it.
    rows = 700_000
    with contextlib.closing(harness.connect(source)) as connection, instance.lock:
        standby.server.pause()
        connection.pgconn.send_query(f"insert into written select generate_series(1, {rows})".encode())
        assert poll(lambda: harness.count(replica) == rows, timeout=60)
        os.kill(harness.pid("db-ORDERS"), signal.SIGKILL)
        standby.server.resume()
        supervisor.fail_over("primary-ended")
    harness.until(lambda: "failover-completed" in harness.kinds())
    harness.until(lambda: "replica-rebuilt" in harness.kinds())
    assert harness.count(source) == 0
    assert harness.count(replica) == 0
    insert(harness, source)
    assert poll(lambda: harness.count(replica) == 1, timeout=60)


def test_a_replica_that_agrees_stays_in_service(harness: Harness) -> None:
    source, replica = make(harness, multi_az=True)
    insert(harness, source)
    assert poll(lambda: harness.count(replica) == 1, timeout=60)
    harness.await_sync()
    with harness.connect(replica) as connection:
        harness.fleet.reboot("db-ORDERS", force_failover=True)
        assert connection.execute("select count(*) from written").fetchone() == (1,)
    harness.until(lambda: harness.fleet.describe("db-REPLICA").replica_lag == 0)
    assert "replica-rebuilt" not in harness.kinds()


def test_a_replica_that_reports_nothing_delays_no_failover(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    source, replica = make(harness, multi_az=True)
    harness.await_sync()
    over, ended = threading.Event(), threading.Event()

    def say_nothing(_: object) -> None:
        over.wait(60)
        ended.set()

    monkeypatch.setattr(failover, "_received_position", say_nothing)
    harness.fleet.reboot("db-ORDERS", force_failover=True)
    insert(harness, source)
    assert not ended.is_set()
    over.set()
    assert poll(lambda: "replica-rebuilt" in harness.kinds() and has(harness, replica, 1), timeout=60)


@pytest.mark.parametrize("engine", ["postgres", *soak("mysql")])
def test_a_replica_whose_copy_was_cut_short_is_copied_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    source = harness.fleet.create(spec(engine=engine))
    replica = harness.fleet.create_replica(spec("db-REPLICA", engine=engine), "db-ORDERS")
    instance = harness.fleet._supervisor("db-REPLICA").instance
    with instance.lock, monkeypatch.context() as patch:

        def break_off(_: object) -> None:
            raise LocalError("the source has gone")

        for way in ("rewind", "clone"):
            patch.setattr(instance.primary.server, way, break_off)
        with pytest.raises(LocalError, match="the source has gone"):
            replication.rejoin(instance)
    with harness.client(source) as connection:
        connection.execute("create table written (id int)")
    harness.until(lambda: "replica-rebuilt" in harness.kinds())
    with harness.client(replica) as connection:
        harness.until(lambda: exists(connection))


def test_a_replica_whose_source_goes_away_while_it_is_restarted_is_reported_as_running(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, replica = make(harness)
    server = harness.fleet._supervisor("db-REPLICA").instance.primary.server
    stream = server.stream

    def stream_at_last(upstream: Upstream) -> None:
        stream(upstream)
        raise LocalError("its source has gone")

    monkeypatch.setattr(server, "stream", stream_at_last)
    os.kill(harness.pid("db-REPLICA"), signal.SIGKILL)
    harness.until(lambda: harness.kinds().count("restarted") == harness.kinds().count("stopped-unexpectedly") == 1)
    assert harness.count(replica) == 0


@pytest.mark.parametrize("diverged", [False, True])
def test_a_replica_that_streams_only_after_it_was_given_up_is_back_in_service(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, *, diverged: bool
) -> None:
    source, replica = make(harness)
    instance = harness.fleet._supervisor("db-REPLICA").instance
    with instance.lock, monkeypatch.context() as patch:

        def give_up(_: object) -> None:
            raise LocalError("it does not stream")

        patch.setattr(replication, "_await_stream", give_up)
        instance.diverged = diverged
        with pytest.raises(LocalError, match="it does not stream"):
            replication.rejoin(instance)
        assert not instance.accepting
    harness.until(lambda: "replica-rebuilt" in harness.kinds())
    assert not instance.diverged
    insert(harness, source)
    assert poll(lambda: has(harness, replica, 1), timeout=60)


def exists(connection: Client) -> bool:
    return bool(
        connection.execute("select count(*) from information_schema.tables where table_name = 'written'").fetchone()[0]
    )
