"""Replication of real MySQL and MariaDB servers: nothing that was acknowledged is lost when the primary is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.mysql.sql import MySQLSession, ServerRefused
from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer, throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.session import Account, SessionLost
from rdskit.local.engines.waiting import poll
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.local.engines.mysql.throwaway import ThrowawayMySQL

Run = Callable[..., AbstractContextManager[ThrowawayFamilyServer]]
PRODUCTS: dict[str, Run] = {"mariadb": throwaway_mariadb, "mysql": throwaway_mysql}
READ_ONLY = 1290
AT_EACH_COMMIT, AT_LEISURE = ("1", "1"), ("0", "2")
APPLICATION = Account("app", "secret")
SCHEMA = (
    "create database shop",
    "create table shop.orders (id int primary key) engine = innodb",
    "create user app@'%' identified by 'secret'",
    "grant all on shop.* to app@'%'",
)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.fixture(params=sorted(PRODUCTS))
def primary(request: pytest.FixtureRequest, tmp_path: Path, templates: Path) -> Iterator[ThrowawayFamilyServer]:
    with PRODUCTS[request.param](tmp_path, templates=templates) as running:
        with running.connect() as session:
            for statement in SCHEMA:
                session.execute(statement)
        yield running


@pytest.fixture
def standby(primary: ThrowawayFamilyServer, tmp_path: Path) -> Iterator[ThrowawayFamilyServer]:
    server = primary.replica(tmp_path / "standby", acknowledge=True)
    yield server
    server.kill()


class Writer:
    """Thread that inserts one number after the other until its server dies; ``acknowledged`` are the answered ones."""

    def __init__(self, server: ThrowawayFamilyServer) -> None:
        self.acknowledged: list[int] = []
        self._session = MySQLSession.open(server.address, APPLICATION, "shop")
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with self._session as session:
            try:
                for number in range(1, 1_000_000):
                    session.execute("insert into orders values (%s)", number)
                    self.acknowledged.append(number)
            except SessionLost:
                return

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def orders(server: ThrowawayFamilyServer) -> set[int]:
    with server.connect("shop") as session:
        return {int(row[0] or 0) for row in session.execute("select id from orders")}


def flushes(server: ThrowawayFamilyServer) -> tuple[str | None, ...]:
    """Return when the binary log and InnoDB's log are synced."""
    with server.connect() as session:
        return session.execute("select @@global.sync_binlog, @@global.innodb_flush_log_at_trx_commit")[0]


def insert(server: ThrowawayFamilyServer, number: int) -> None:
    with MySQLSession.open(server.address, APPLICATION, "shop") as session:
        session.execute("insert into orders values (%s)", number)


def refuses_writes(server: ThrowawayFamilyServer) -> bool:
    with pytest.raises(ServerRefused) as caught:
        insert(server, 0)
    return caught.value.errno == READ_ONLY


def test_nothing_acknowledged_is_lost_and_the_old_primary_comes_back(
    primary: ThrowawayFamilyServer, standby: ThrowawayFamilyServer
) -> None:
    assert poll(lambda: standby.replication().receiving, timeout=60)
    assert refuses_writes(standby)
    assert [flushes(primary), flushes(standby)] == [AT_EACH_COMMIT, AT_LEISURE]
    primary.require_acknowledgement(on=True)
    writer = Writer(primary)
    assert poll(lambda: len(writer.acknowledged) > 200, timeout=60)
    primary.kill()
    standby.promote()
    assert flushes(standby) == AT_EACH_COMMIT
    insert(standby, -1)
    writer.join()
    assert set(writer.acknowledged) <= orders(standby)

    primary.rejoin(standby, acknowledge=True)
    assert flushes(primary) == AT_LEISURE
    assert primary.wait_for_position(standby.position(), timeout=60)
    assert orders(primary) == orders(standby)
    assert refuses_writes(primary)
    standby.require_acknowledgement(on=True)
    insert(standby, -2)
    assert primary.wait_for_position(standby.position(), timeout=60)
    assert orders(primary) == orders(standby)


def test_a_commit_waits_for_its_acknowledgement(primary: ThrowawayFamilyServer, standby: ThrowawayFamilyServer) -> None:
    assert poll(lambda: standby.replication().receiving, timeout=60)
    primary.require_acknowledgement(on=True)
    insert(primary, 1)
    standby.pause()
    with MySQLSession.open(primary.address, APPLICATION, "shop") as session:
        session.send("insert into orders values (2)")
        assert not poll(session.answered, timeout=0.5)
        standby.resume()
        assert poll(session.answered, timeout=60)
        assert session.receive() == []


@pytest.mark.parametrize("primary", ["mariadb", *soak("mysql")], indirect=True)
def test_a_history_of_its_own_is_given_up_by_a_new_copy(
    primary: ThrowawayFamilyServer, standby: ThrowawayFamilyServer
) -> None:
    insert(primary, 1)
    assert standby.wait_for_position(primary.position(), timeout=60)
    with standby.connect() as session:
        session.execute("stop replica")
    insert(primary, 666)
    primary.stop()
    standby.promote()
    insert(standby, 2)
    assert primary.rejoin(standby) == "cloned"
    assert primary.wait_for_position(standby.position(), timeout=60)
    assert orders(primary) == orders(standby) == {1, 2}


@pytest.mark.parametrize("primary", ["mysql", *soak("mariadb")], indirect=True)
def test_replicas_follow_the_new_primary_and_survive_restarts(
    primary: ThrowawayFamilyServer, standby: ThrowawayFamilyServer, tmp_path: Path
) -> None:
    reader = standby.replica(tmp_path / "reader")
    try:
        reader.follow(primary)
        insert(primary, 1)
        for server in (standby, reader):
            assert server.wait_for_position(primary.position(), timeout=60)
        primary.kill()
        standby.promote()
        reader.follow(standby)
        insert(standby, 2)
        assert reader.wait_for_position(standby.position(), timeout=60)
        reader.kill()
        insert(standby, 3)
        reader.start()
        assert refuses_writes(reader)
        assert reader.wait_for_position(standby.position(), timeout=60)
        assert orders(reader) == {1, 2, 3}
        assert poll(lambda: reader.replication().lag == 0, timeout=60)
    finally:
        reader.kill()


@pytest.mark.parametrize("primary", ["mysql", *soak("mariadb")], indirect=True)
def test_a_primary_that_was_stopped_cleanly_follows_from_where_it_is(
    primary: ThrowawayFamilyServer, standby: ThrowawayFamilyServer
) -> None:
    insert(primary, 1)
    assert standby.wait_for_position(primary.position(), timeout=60)
    with standby.connect() as session:
        # MySQL 9.7.4 may crash with SIGSEGV when its receiver reconnects to a source that is shutting down.
        session.execute("stop replica io_thread")
    primary.stop()
    standby.promote()
    insert(standby, 2)
    assert primary.rejoin(standby) == "followed"
    assert primary.wait_for_position(standby.position(), timeout=60)
    assert orders(primary) == {1, 2}


@pytest.mark.parametrize("primary", ["mysql"], indirect=True)
def test_a_stop_of_mysql_is_not_delayed_by_replicas(primary: ThrowawayMySQL, standby: ThrowawayMySQL) -> None:
    assert poll(lambda: standby.replication().receiving, timeout=60)
    primary._end_sessions()
    assert poll(lambda: "require_secure_transport" in (standby.replication().error or ""), timeout=60)
    primary.stop()
    assert not primary.alive


@pytest.mark.parametrize("primary", ["mysql", *soak("mariadb")], indirect=True)
def test_a_primary_gives_several_replicas_at_once(primary: ThrowawayFamilyServer, tmp_path: Path) -> None:
    insert(primary, 7)
    with ThreadPoolExecutor(max_workers=3) as pool:
        replicas = list(pool.map(lambda number: primary.replica(tmp_path / f"replica-{number}"), range(3)))
    try:
        assert [orders(replica) for replica in replicas] == [{7}] * 3
    finally:
        for replica in replicas:
            replica.kill()
