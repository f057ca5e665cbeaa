"""Positions of real replicas: what a reader says of itself, and sessions that read their own writes there."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.client.credentials import StaticCredentials
from rdskit.client.database.opening import open_database
from rdskit.client.failover.access import Access
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import Connection, ConnectOptions, Login, ReaderProgress
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.runtime.tasks import TaskOwner
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import rdskit
    from rdskit.kernel.positions import Position
    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer

pytestmark = pytest.mark.timeout(180)

PRODUCTS: dict[str, Any] = {"mariadb": throwaway_mariadb, "mysql": throwaway_mysql}
# An application's own user; `watcher` may ask for the state of replication, as RDS's master user may.
APPLICATION, WATCHER = Login("app", "secret"), Login("watcher", "secret")


@pytest.fixture(scope="module", params=sorted(PRODUCTS))
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayFamilyServer]:
    folder = tmp_path_factory.mktemp(request.param)
    with PRODUCTS[request.param](folder, templates=folder / "templates") as server:
        right = "slave monitor, reload" if request.param == "mariadb" else "replication client, reload"
        with server.connect() as session:
            session.execute("create database shop")
            session.execute("create table shop.orders (id int auto_increment primary key, n int)")
            for login in (APPLICATION, WATCHER):
                session.execute(f"create user {login.user}@'%' identified by '{login.password}'")
                session.execute(f"grant all on shop.* to {login.user}@'%'")
            session.execute(f"grant {right} on *.* to {WATCHER.user}@'%'")
        yield server


@pytest.fixture(scope="module")
def reader(writer: ThrowawayFamilyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayFamilyServer]:
    server = writer.replica(tmp_path_factory.mktemp("reader") / "reader")
    yield server
    server.kill()


def endpoint(server: ThrowawayFamilyServer) -> Endpoint:
    return Endpoint(server.host, server.port)


async def connected(server: ThrowawayFamilyServer, login: Login) -> Connection:
    options = ConnectOptions(endpoint(server), "shop", None, 5.0, "test")
    return await AsyncmyDriver().connect(options, login)


def slave(server: ThrowawayFamilyServer, verb: str, thread: str = "") -> None:
    word = "replica" if server.installation.product == "MySQL" else "slave"
    with server.connect() as session:
        session.execute(f"{verb} {word} {thread}")


@pytest.mark.parametrize("login", [APPLICATION, WATCHER], ids=["application", "watcher"])
async def test_a_reader_reaches_the_writers_position(
    writer: ThrowawayFamilyServer, reader: ThrowawayFamilyServer, login: Login
) -> None:
    source, replica = await connected(writer, login), await connected(reader, login)
    try:
        assert (source.role, replica.role) == (Role.WRITER, Role.READER)
        for _ in range(3):
            await source.execute("insert into orders (n) values (1)", (), 5.0)
            written = await source.written_position(5.0)
            assert written is not None
            progress = await _reaches(replica, written)
            assert isinstance(progress, ReaderProgress)
            assert progress.replays
            assert progress.received.covers(progress.position)
            assert 0 <= progress.lag < 60
    finally:
        await source.close(2.0)
        await replica.close(2.0)


async def test_a_reader_whose_replay_stands_still_has_received_more_and_lags_for_ever(
    writer: ThrowawayFamilyServer, reader: ThrowawayFamilyServer
) -> None:
    source, replica = await connected(writer, WATCHER), await connected(reader, WATCHER)
    slave(reader, "stop", "sql_thread")
    try:
        await source.execute("insert into orders (n) values (2)", (), 5.0)
        written = await source.written_position(5.0)
        assert written is not None
        progress = await eventually(lambda: _received(replica, written))
        assert isinstance(progress, ReaderProgress)
        assert not progress.position.covers(written)
        assert progress.lag == math.inf
    finally:
        slave(reader, "start", "sql_thread")
        await source.close(2.0)
        await replica.close(2.0)


@pytest.mark.parametrize("writer", ["mysql"], indirect=True)
async def test_a_mysql_without_gtids_has_no_positions(writer: ThrowawayFamilyServer) -> None:
    modes = ("ON_PERMISSIVE", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
    source = await connected(writer, APPLICATION)
    try:
        with writer.connect() as session:
            for mode in modes[:2]:
                session.execute(f"set global gtid_mode = {mode}")
        assert await source.written_position(5.0) is None
    finally:
        with writer.connect() as session:
            for mode in modes[2:]:
                session.execute(f"set global gtid_mode = {mode}")
        await source.close(2.0)


# -- sessions ----------------------------------------------------------------------------------------------------------


class TwoHosts:
    """A writer and its reader."""

    cluster = "two hosts"
    changes = False
    refresh_interval = 1.0

    def __init__(self, writer: Endpoint, reader: Endpoint) -> None:
        self._topology = Topology((Host("one", writer, Role.WRITER), Host("two", reader, Role.READER)))

    async def topology(self) -> Topology:
        return self._topology


@pytest.fixture
async def db(writer: ThrowawayFamilyServer, reader: ThrowawayFamilyServer) -> AsyncIterator[rdskit.Database]:
    access = Access(
        AsyncmyDriver(),
        StaticCredentials(WATCHER.user, WATCHER.password),
        database="shop",
        tls=None,
        connect_timeout=5.0,
        application_name="test",
    )
    hosts = TwoHosts(endpoint(writer), endpoint(reader))
    resolved = Resolved(Target(), Engine.MYSQL, Dialect.MYSQL, hosts, access)
    opened = await open_database(resolved, Options(tls="off"), TaskOwner("test"))
    await eventually(lambda: _served(opened))
    yield opened
    await opened.close()


async def test_a_session_reads_its_own_writes_from_a_reader(db: rdskit.Database) -> None:
    before = db.stats()
    for number in range(150):
        written = await db.execute("insert into orders (n) values (:n)", n=number)
        assert await db.fetch_value("select n from orders where id = :id", id=written.last_id) == number
        await db.fetch_value("select count(*) from orders")
    after = db.stats()
    assert after.reads_by_reader["two"] - before.reads_by_reader["two"] > 50


async def test_a_token_carries_what_this_engine_calls_a_position(
    db: rdskit.Database, reader: ThrowawayFamilyServer
) -> None:
    slave(reader, "stop", "sql_thread")
    try:
        written = await db.execute("insert into orders (n) values (77)")
        async with db.session(after=await db.token()) as session:
            assert await session.fetch_value("select n from orders where id = :id", id=written.last_id) == 77
    finally:
        slave(reader, "start", "sql_thread")
    await eventually(lambda: _served(db))


async def test_reads_leave_a_reader_that_stands_still_and_are_never_stale(
    db: rdskit.Database, reader: ThrowawayFamilyServer
) -> None:
    slave(reader, "stop", "sql_thread")
    try:
        for number in range(10):
            written = await db.execute("insert into orders (n) values (:n)", n=number)
            assert await db.fetch_value("select n from orders where id = :id", id=written.last_id) == number
    finally:
        slave(reader, "start", "sql_thread")
    await eventually(lambda: _served(db))


async def test_after_a_failure_of_the_writer_a_reader_that_follows_it_serves_again(db: rdskit.Database) -> None:
    db._cluster._writer_failed()
    await eventually(lambda: _written_and_served(db))


@pytest.mark.parametrize("writer", ["mysql"], indirect=True)
async def test_a_mysql_reader_with_a_transaction_of_its_own_does_not_serve_after_a_failure(
    db: rdskit.Database, reader: ThrowawayFamilyServer
) -> None:
    with reader.connect("shop") as session:
        session.execute("set global super_read_only = 0")
        session.execute("insert into orders (id, n) values (999999, 666)")
        session.execute("set global super_read_only = 1")
    db._cluster._writer_failed()
    before = db.stats().reads_by_reader["two"]
    for number in range(60):
        await db.execute("insert into orders (n) values (:n)", n=number)
        assert await db.fetch_value("select count(*) from orders where n = 666") == 0
        await asyncio.sleep(0.02)  # time for the watch, which looks every 0.05 s
    assert db.stats().reads_by_reader["two"] == before


async def _reaches(replica: Connection, position: Position) -> object:
    return await eventually(lambda: _reached(replica, position))


async def _reached(replica: Connection, position: Position) -> ReaderProgress | None:
    progress = await replica.reader_progress(5.0)
    return progress if progress.position.covers(position) else None


async def _received(replica: Connection, position: Position) -> ReaderProgress | None:
    progress = await replica.reader_progress(5.0)
    return progress if progress.received.covers(position) and progress.lag == math.inf else None


async def _served(db: rdskit.Database) -> bool:
    before = db.stats().reads_by_reader.get("two", 0)
    await db.fetch_value("select count(*) from orders")
    return db.stats().reads_by_reader.get("two", 0) > before


async def _written_and_served(db: rdskit.Database) -> bool:
    await db.execute("insert into orders (n) values (3)")
    return await _served(db)
