"""Engines on a real Multi-AZ instance: the writer moves under load, and the pool is clean afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext import asyncio as asyncio_of_sqlalchemy

import rdskit
from rdskit.integrations.sqlalchemy import (
    AsyncSession,
    Session,
    create_async_engine,
    create_engine,
    error_of,
    readers_of,
)
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.local_rds import LocalRds

WORKERS = 6
PATIENCE = 60.0  # seconds
ON_REPLICA = "select pg_is_in_recovery()"
IS_REPLICA = {"postgres": ON_REPLICA, "mysql": "select @@global.read_only", "mariadb": "select @@global.read_only"}
SLEEP = {"postgres": "select pg_sleep(0.005)", "mysql": "select sleep(0.005)", "mariadb": "select sleep(0.005)"}
SHOPS = {"postgres": "shop", "mysql": "mysql_shop", "mariadb": "mariadb_shop"}
ASYNC = {
    "postgresql+asyncpg": "postgres",
    "postgresql+psycopg": "postgres",
    "mysql+asyncmy": "mysql",
    "mariadb+asyncmy": "mariadb",
}


@pytest.fixture(scope="module")
def shop(local_rds: LocalRds) -> Iterator[str]:
    """Create an instance with a standby and a read replica; return its target."""
    local_rds.create("alchemy", MultiAZ=True, replicas=1, EnableIAMDatabaseAuthentication=True)
    yield "rds://alchemy"
    local_rds.delete("alchemy-r1", "alchemy")


@pytest.fixture(scope="module")
def mysql_shop(local_rds: LocalRds) -> Iterator[str]:
    """Create a MySQL instance with a standby; return its target."""
    local_rds.create("alchemy-mysql", engine="mysql", MultiAZ=True)
    yield "rds://alchemy-mysql"
    local_rds.delete("alchemy-mysql")


@pytest.fixture(scope="module")
def mariadb_shop(local_rds: LocalRds) -> Iterator[str]:
    """Create a MariaDB instance with a standby; return its target."""
    local_rds.create("alchemy-mariadb", engine="mariadb", MultiAZ=True)
    yield "rds://alchemy-mariadb"
    local_rds.delete("alchemy-mariadb")


def secret_of(local_rds: LocalRds, target: str) -> str:
    """Return the credentials of an instance's master user."""
    return f"secretsmanager:{local_rds.secret(target.removeprefix('rds://'))}"


@pytest.fixture
def credentials(local_rds: LocalRds, shop: str) -> str:
    return secret_of(local_rds, shop)


class Load:
    """Workers that store numbers, one in a transaction, and what they saw."""

    def __init__(self, table: str, kind: str) -> None:
        self.insert = text(f"insert into {table} values (:key)")
        self.linger = text(SLEEP[kind])
        self.keys = itertools.count()
        self.over = threading.Event()
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.lost: list[DBAPIError] = []
        self.others: list[DBAPIError] = []
        self.discarded = 0  # connections; the pool notices some after their COMMIT, when nothing is under way

    def watch(self, engine: sqlalchemy.Engine) -> None:
        """Count the connections that the pool finds broken."""
        sqlalchemy.event.listen(engine, "invalidate", self._discard)

    def _discard(self, *_: object) -> None:
        self.discarded += 1

    def write(self, engine: sqlalchemy.Engine) -> None:
        """Run one worker in a thread."""
        while not self.over.is_set():
            key = next(self.keys)
            try:
                with engine.begin() as connection:
                    connection.execute(self.insert, {"key": key})
                    connection.execute(self.linger)
            except DBAPIError as error:
                self.note(key, error)
            else:
                self.acknowledged.add(key)

    async def write_in_task(self, engine: asyncio_of_sqlalchemy.AsyncEngine) -> None:
        """Run one worker in a task."""
        while not self.over.is_set():
            key = next(self.keys)
            try:
                async with engine.begin() as connection:
                    await connection.execute(self.insert, {"key": key})
                    await connection.execute(self.linger)
            except DBAPIError as error:
                self.note(key, error)
            else:
                self.acknowledged.add(key)

    def note(self, key: int, error: DBAPIError) -> None:
        """Sort an error by what an application would make of it."""
        if not isinstance(error, OperationalError) or not error.connection_invalidated:
            self.others.append(error)
        elif isinstance(error_of(error), rdskit.OutcomeUnknown):
            self.unknown.add(key)
        else:
            self.lost.append(error)

    def go_on(self, transactions: int) -> None:
        """Wait until so many more transactions were acknowledged."""
        wanted, end = len(self.acknowledged) + transactions, time.monotonic() + PATIENCE
        while len(self.acknowledged) < wanted and not self.others:
            assert time.monotonic() < end, f"{len(self.acknowledged)} of {wanted} acknowledged; lost: {self.lost}"
            threading.Event().wait(0.02)
        assert self.others == []

    def outlive_failover(self, local_rds: LocalRds, target: str) -> None:
        """Have the writer move while the workers work, and see that they go on."""
        self.go_on(20)
        local_rds.fail_over(target.removeprefix("rds://"))
        self.go_on(100)

    def verify(self, keys: set[int]) -> None:
        """Every error was one of a statement under way, and none of them lied about its outcome."""
        assert self.others == []
        assert len(self.lost) + len(self.unknown) <= WORKERS, "what is under way is lost once, and nothing in the pool"
        assert self.discarded, "no worker noticed the failover"
        assert self.acknowledged <= keys <= self.acknowledged | self.unknown


@contextlib.contextmanager
def threads(load: Load, engine: sqlalchemy.Engine) -> Iterator[None]:
    """Workers for the length of the block; however it ends, so do they."""
    started = [threading.Thread(target=load.write, args=(engine,)) for _ in range(WORKERS)]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        load.over.set()
        for thread in started:
            thread.join()


@contextlib.asynccontextmanager
async def tasks(load: Load, engine: asyncio_of_sqlalchemy.AsyncEngine) -> AsyncIterator[None]:
    """Workers for the length of the block; however it ends, so do they."""
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(load.write_in_task(engine))
        try:
            yield
        finally:
            load.over.set()


@pytest.mark.chaos
@pytest.mark.timeout(300)  # the first test of an engine makes its instance and standby
@pytest.mark.parametrize("kind", ["postgres", "mariadb", *soak("mysql")])
def test_a_failover_under_load_costs_only_the_statements_under_way(
    local_rds: LocalRds, request: pytest.FixtureRequest, kind: str
) -> None:
    target: str = request.getfixturevalue(SHOPS[kind])
    engine = create_engine(target, credentials=secret_of(local_rds, target), timeout=PATIENCE, pool_size=WORKERS + 4)
    try:
        with engine.begin() as connection:
            connection.execute(text("create table threads (number int primary key)"))
        load = Load("threads", kind)
        load.watch(engine)
        with threads(load, engine):
            load.outlive_failover(local_rds, target)
        with contextlib.ExitStack() as held:  # every connection of the pool at once
            pooled = [held.enter_context(engine.connect()) for _ in range(WORKERS + 4)]
            assert not any(connection.scalar(text(IS_REPLICA[kind])) for connection in pooled)
            keys = set(pooled[0].scalars(text("select number from threads")))
    finally:
        engine.dispose()
    load.verify(keys)


@pytest.mark.chaos
@pytest.mark.timeout(300)  # the first test of an engine makes its instance and standby
@pytest.mark.parametrize(
    "drivername", ["postgresql+asyncpg", "postgresql+psycopg", "mariadb+asyncmy", *soak("mysql+asyncmy")]
)
async def test_a_failover_under_tasks_costs_only_the_statements_under_way(
    local_rds: LocalRds, request: pytest.FixtureRequest, drivername: str
) -> None:
    kind, table = ASYNC[drivername], f"tasks_{drivername.partition('+')[2]}"
    target: str = request.getfixturevalue(SHOPS[kind])
    query = f"plugin=rdskit&target={target}&credentials={secret_of(local_rds, target)}&timeout={PATIENCE}"
    engine = asyncio_of_sqlalchemy.create_async_engine(f"{drivername}://?{query}", pool_size=WORKERS)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"create table {table} (number int primary key)"))
        load = Load(table, kind)
        load.watch(engine.sync_engine)
        async with tasks(load, engine):
            await asyncio.to_thread(load.outlive_failover, local_rds, target)
        async with contextlib.AsyncExitStack() as held:
            pooled = [await held.enter_async_context(engine.connect()) for _ in range(WORKERS)]
            assert not any([await connection.scalar(text(IS_REPLICA[kind])) for connection in pooled])
            keys = set(await pooled[0].scalars(text(f"select number from {table}")))
    finally:
        await engine.dispose()
    load.verify(keys)


def test_reads_go_to_replicas_until_the_session_writes(shop: str, credentials: str) -> None:
    engine = create_engine(shop, credentials=credentials)
    with Session(engine, readers=True) as session:
        assert session.scalar(text(ON_REPLICA)) is True
        session.execute(text("create table note (id int)"))
        assert session.scalar(text(ON_REPLICA)) is False
        session.rollback()
    with Session(engine) as session:
        assert session.scalar(text(ON_REPLICA)) is False
        assert session.scalar(text(ON_REPLICA), execution_options={"readers": True}) is True
        assert session.scalar(text(f"{ON_REPLICA} for update"), execution_options={"readers": True}) is False
    engine.dispose()


async def test_reads_of_an_async_session_go_to_replicas(shop: str, credentials: str) -> None:
    engine = create_async_engine(shop, credentials=credentials)
    async with AsyncSession(engine, readers=True) as session:
        assert await session.scalar(text(ON_REPLICA)) is True
    async with AsyncSession(engine) as session:
        assert await session.scalar(text(ON_REPLICA)) is False
    await engine.dispose()


def test_a_write_that_reached_a_replica_is_told_and_its_connection_is_kept(shop: str, credentials: str) -> None:
    engine = create_engine(shop, credentials=credentials)
    with readers_of(engine).connect() as connection:
        with pytest.raises(DBAPIError) as raised:
            connection.execute(text("create table note (id int)"))
        assert isinstance(error_of(raised.value), rdskit.ReadOnlyError)
        assert not raised.value.connection_invalidated
    engine.dispose()


def test_a_token_is_minted_for_each_connection(shop: str, credentials: str) -> None:
    engine = create_engine(shop, credentials=credentials)
    with engine.begin() as connection:
        connection.execute(text("create user reporter"))
        connection.execute(text("grant rds_iam to reporter"))
    engine.dispose()
    engine = create_engine(shop.replace("rds://", "rds://reporter@"), credentials="iam")
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == "reporter"
    engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_that_nobody_trusted_vouches_for_is_refused_at_once(
    shop: str, credentials: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RDSKIT_CA")
    url = f"postgresql+{driver}://?plugin=rdskit&target={shop}&credentials={credentials}&timeout=60"
    engine = asyncio_of_sqlalchemy.create_async_engine(url)
    with pytest.raises(OperationalError) as raised:
        await engine.connect()
    told = error_of(raised.value)
    assert isinstance(told, rdskit.TLSError)
    assert "RDSKIT_CA" in str(told)
