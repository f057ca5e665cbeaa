"""MySQL and MariaDB instances: the same guarantees as PostgreSQL's, by semi-synchronous replication."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pymysql
import pytest

from rdskit.errors import LocalError
from rdskit.local.engines.session import SessionLost
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet
from rdskit.local.fleet.standby import Way
from tests.local.fleet.clients import PASSWORD, connect_mysql
from tests.local.fleet.conftest import Harness, assert_nothing_lost, more, spec, writers
from tests.local.fleet.test_replicas import exists
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint

#: Where both behave alike, one of them is enough in the gate.
ONE = ["mysql", *soak("mariadb")]
OTHER = ["mariadb", *soak("mysql")]
READ_ONLY = (1290, 1836)
DENIED = (1044, 1045, 1142, 1227)


@pytest.fixture(params=["mariadb", "mysql"])
def engine(request: pytest.FixtureRequest) -> str:
    engine: str = request.param
    return engine


def refusal(harness: Harness, endpoint: Endpoint, sql: str) -> int:
    """Return the number of the error that the server answers to the master user's statement."""
    with harness.client(endpoint) as client, pytest.raises(pymysql.err.MySQLError) as refused:
        client.execute(sql)
    number: int = refused.value.args[0]
    return number


def status(harness: Harness, engine: str, name: str) -> str | None:
    """Return a status variable of semi-synchronous replication on the primary."""
    role = "source" if engine == "mysql" else "master"
    with harness.fleet._supervisor("db-ORDERS").instance.primary.server.connect() as session:
        return session.execute(f"show global status like 'Rpl_semi_sync_{role}_{name}'")[0][1]


@pytest.mark.chaos
def test_every_kind_of_failover_loses_nothing(harness: Harness, engine: str) -> None:
    endpoint = harness.fleet.create(spec(engine=engine, multi_az=True))
    supervisor = harness.fleet._supervisor("db-ORDERS")
    causes = ("requested", "primary-ended", "primary-hung")
    with writers(harness, endpoint, 3) as active:
        for number, cause in enumerate(causes, start=1):
            assert more(active)
            harness.await_sync()
            before = harness.fleet.describe("db-ORDERS")
            if cause == "requested":
                harness.fleet.reboot("db-ORDERS", force_failover=True)
            elif cause == "primary-ended":
                os.kill(harness.pid("db-ORDERS"), signal.SIGKILL)
            else:
                supervisor.instance.primary.server.pause()
            harness.until(lambda: len(harness.fleet.failovers()) == number)  # noqa: B023 - waited for within the round
            after = harness.fleet.describe("db-ORDERS")
            assert (after.zone, after.secondary_zone) == (before.secondary_zone, before.zone)
            assert after.endpoint == endpoint
        assert more(active)
        harness.await_sync()
    assert_nothing_lost(harness, endpoint, active)
    assert tuple(failover.cause for failover in harness.fleet.failovers()) == causes
    assert all(0 < failover.promotion_ms < 10_000 for failover in harness.fleet.failovers())
    assert harness.kinds().count("failover-completed") == len(causes)


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ONE, indirect=True)
def test_in_sync_means_that_commits_wait_and_never_fall_back(harness: Harness, engine: str) -> None:
    endpoint = harness.fleet.create(spec(engine=engine, multi_az=True))
    instance = harness.fleet._supervisor("db-ORDERS").instance
    assert harness.fleet.describe("db-ORDERS").standby_in_sync
    assert status(harness, engine, "status") == "ON"
    assert instance.standby is not None
    with instance.lock, instance.primary.server.open_writer() as session:
        # For less than the three misses after which the fleet itself would release the writers.
        instance.standby.server.pause()
        with pytest.raises(SessionLost, match="deadline"):
            instance.primary.server.heartbeat(session, timeout=0.3)
        assert status(harness, engine, "status") == "ON"
        assert status(harness, engine, "no_tx") == "0"
        instance.standby.server.resume()
    with writers(harness, endpoint) as active:
        assert more(active)
        assert instance.standby.server.pid is not None
        os.kill(instance.standby.server.pid, signal.SIGKILL)
        harness.until(lambda: "standby-lost" in harness.kinds())
        assert more(active)
        harness.await_sync()
        assert more(active)
        assert status(harness, engine, "status") == "ON"
    assert_nothing_lost(harness, endpoint, active)
    assert harness.fleet.failovers() == []


@pytest.mark.chaos
def test_a_former_primary_with_a_history_of_its_own_is_copied_again(harness: Harness, engine: str) -> None:
    endpoint = harness.fleet.create(spec(engine=engine, multi_az=True))
    supervisor = harness.fleet._supervisor("db-ORDERS")
    instance = supervisor.instance
    with harness.client(endpoint) as client:
        client.execute("create table written (id int primary key)")
    with instance.lock:
        # A commit that no standby has acknowledged is on the old primary only.
        assert instance.standby is not None
        with instance.standby.server.connect() as session:
            session.execute("stop replica io_thread")
        instance.primary.server.require_acknowledgement(on=False)
        with harness.client(endpoint) as client:
            client.execute("insert into written values (666)")
        with instance.primary.server.connect() as session:
            # Otherwise the transaction may only be prepared on MariaDB, which then rolls it back at its restart.
            session.execute("flush engine logs")
        os.kill(harness.pid("db-ORDERS"), signal.SIGKILL)
        supervisor.fail_over("primary-ended")
    with harness.client(endpoint) as client:
        client.execute("insert into written values (1)")
    harness.await_sync()
    harness.until(lambda: "standby-rebuilt" in harness.kinds()[harness.kinds().index("failover-completed") :])
    assert "copied again" in harness.events[-1].message
    harness.fleet.reboot("db-ORDERS", force_failover=True)
    assert harness.count(endpoint) == 1


@pytest.mark.chaos
@pytest.mark.parametrize("engine", OTHER, indirect=True)
def test_a_standby_that_is_copied_after_a_restart_begins_where_the_copy_ends(harness: Harness, engine: str) -> None:
    endpoint = harness.fleet.create(spec(engine=engine, multi_az=True))
    supervisor = harness.fleet._supervisor("db-ORDERS")
    with harness.client(endpoint) as client:
        client.execute("create table written (id int primary key)")
    harness.fleet.reboot("db-ORDERS", force_failover=True)
    with harness.client(endpoint) as client:
        client.execute("insert into written values (1)")
    harness.await_sync()
    # The primary was a follower, then wrote, and has written nothing since its restart.
    harness.fleet.reboot("db-ORDERS")
    supervisor.restore_standby(Way.CLONE)
    harness.await_sync()
    harness.fleet.reboot("db-ORDERS", force_failover=True)
    assert harness.count(endpoint) == 1


@pytest.mark.chaos
def test_what_a_killed_replica_was_about_to_delete_does_not_keep_it_from_applying(harness: Harness) -> None:
    source = harness.fleet.create(spec(engine="mysql"))
    replica = harness.fleet.create_replica(spec("db-REPLICA", engine="mysql"), "db-ORDERS")
    with harness.fleet._supervisor("db-REPLICA").instance.primary.server.connect() as session:
        ((directory, uuid),) = session.execute("select @@replica_load_tmpdir, @@server_uuid")
    assert directory is not None
    left = Path(directory) / f"SQL_LOAD-{uuid}"
    left.touch()  # as a start of replication does, for a moment
    os.kill(harness.pid("db-REPLICA"), signal.SIGKILL)
    harness.until(lambda: "restarted" in harness.kinds())
    left.unlink(missing_ok=True)
    with harness.client(source) as client:
        client.execute("create table written (id int primary key)")
    with harness.client(replica) as client:
        harness.until(lambda: exists(client), timeout=8)  # sooner than a replica without a stream is rebuilt
    assert "replica-rebuilt" not in harness.kinds()


@pytest.mark.parametrize("engine", ONE, indirect=True)
def test_read_replicas_follow_refuse_writes_and_are_promoted(harness: Harness, engine: str) -> None:
    source = harness.fleet.create(spec(engine=engine, multi_az=True))
    with harness.client(source) as client:
        client.execute("create table written (id int primary key)")
    replica = harness.fleet.create_replica(spec("db-REPLICA", engine=engine), "db-ORDERS")
    with pytest.raises(LocalError, match="cannot run postgres"):
        harness.fleet.create_replica(spec("db-OTHER"), "db-ORDERS")
    for row in (1, 2):
        with harness.client(source) as client:
            client.execute("insert into written values (%s)", (row,))
        assert poll(lambda: harness.count(replica) == row, timeout=60)  # noqa: B023 - waited for within the round
        assert refusal(harness, replica, "insert into written values (99)") in READ_ONLY
        harness.until(lambda: harness.fleet.describe("db-REPLICA").replica_lag == 0)
        harness.fleet.reboot("db-ORDERS", force_failover=True)
        harness.await_sync()
    os.kill(harness.pid("db-REPLICA"), signal.SIGKILL)
    harness.until(lambda: "restarted" in harness.kinds())
    with harness.client(source) as client:
        client.execute("insert into written values (3)")
    assert poll(lambda: harness.count(replica) == 3, timeout=60)
    assert "replica-rebuilt" not in harness.kinds()
    with pytest.raises(LocalError, match="has the read replica db-REPLICA"):
        harness.fleet.delete("db-ORDERS")
    harness.fleet.promote_replica("db-REPLICA")
    with harness.client(replica) as client:
        client.execute("insert into written values (4)")
    harness.fleet.delete("db-ORDERS")
    harness.fleet.reboot("db-REPLICA")
    assert harness.count(replica) == 4


def test_the_master_may_do_much_and_is_no_superuser(harness: Harness, engine: str, root: Path) -> None:
    endpoint = harness.fleet.create(spec(engine=engine))
    assert endpoint.port == 3306
    with harness.client(endpoint) as client:
        client.execute("create table t (id int)")
        client.execute("create database other")
        client.execute("create user app@'%%' identified by 'app-password'")
        client.execute("grant select, insert on shop.* to app@'%%'")
    connect_mysql(endpoint, harness.fleet.authority, user="app", password="app-password").close()
    assert refusal(harness, endpoint, "set global read_only = off") in DENIED
    assert refusal(harness, endpoint, "set global max_connections = 7") in DENIED
    if engine == "mysql":  # no privilege of MariaDB protects one account from DROP USER
        assert refusal(harness, endpoint, "drop user rdsadmin@'%'") in DENIED
    with pytest.raises(LocalError, match="rdsadmin is reserved"):
        harness.fleet.create(replace(spec("db-OTHER", engine=engine), master_user="rdsadmin"))

    harness.fleet.set_master_password("db-ORDERS", "the-next-password")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        connect_mysql(endpoint, harness.fleet.authority)
    connect_mysql(endpoint, harness.fleet.authority, password="the-next-password").close()
    admin = (root / "rdsadmin.secret").read_text()
    for file in (*root.rglob("*.log"), *root.rglob("binlog.*"), *root.rglob("instance.json")):
        content = file.read_bytes()
        assert not [secret for secret in ("the-next-password", PASSWORD, admin) if secret.encode() in content], file


@pytest.mark.parametrize("engine", OTHER, indirect=True)
def test_parameters_and_restarts(harness: Harness, engine: str, root: Path) -> None:
    endpoint = harness.fleet.create(spec(engine=engine, sort_buffer_size="524288"))

    def variable(name: str) -> str:
        with harness.client(endpoint) as client:
            return str(client.execute(f"select @@global.{name}").fetchone()[0])

    assert variable("sort_buffer_size") == "524288"
    waiting = harness.fleet.apply_parameters("db-ORDERS", {"max_allowed_packet": "8388608", "back_log": "77"})
    assert waiting == harness.fleet.describe("db-ORDERS").pending_restart == {"back_log"}
    assert variable("max_allowed_packet") == "8388608"
    assert variable("sort_buffer_size") != "524288"
    harness.fleet.reboot("db-ORDERS")
    assert variable("back_log") == "77"
    assert harness.fleet.describe("db-ORDERS").pending_restart == frozenset()
    with pytest.raises(LocalError, match="sort_buffer_size"):
        harness.fleet.apply_parameters("db-ORDERS", {"sort_buffer_size": "much"})
    with pytest.raises(LocalError, match="server_id cannot be modified"):
        harness.fleet.apply_parameters("db-ORDERS", {"server_id": "7"})
    record = json.loads((root / "instances" / "db-ORDERS" / "instance.json").read_text())
    assert record["parameters"] == {"max_allowed_packet": "8388608", "back_log": "77"}

    connect_mysql(endpoint, None).close()
    harness.fleet.apply_parameters("db-ORDERS", {"require_secure_transport": "1"})
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect_mysql(endpoint, None)
    assert refused.value.args[0] == 3159
    with harness.client(endpoint) as client:
        client.execute("create table kept as select 1 as id")
    harness.fleet.stop("db-ORDERS")
    assert not harness.fleet.describe("db-ORDERS").running
    harness.fleet.start_instance("db-ORDERS")
    assert harness.count(endpoint, "kept") == 1
    harness.fleet.close()

    again = Harness(Fleet(root, notify=harness.events.append), harness.events)
    again.fleet.start()
    try:
        assert again.count(endpoint, "kept") == 1
        pid = again.pid("db-ORDERS")
        again.fleet.delete("db-ORDERS")
        assert not psutil.pid_exists(pid)
        assert list((root / "instances").iterdir()) == []
    finally:
        again.fleet.close()
