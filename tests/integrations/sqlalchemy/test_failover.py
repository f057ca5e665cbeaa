"""Engines on a real Multi-AZ instance: the writer moves under load, and the pool is clean afterwards."""

from __future__ import annotations

import asyncio
import threading
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
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

WORKERS = 6
ON_REPLICA = "select pg_is_in_recovery()"
IS_REPLICA = {"postgres": ON_REPLICA, "mysql": "select @@global.read_only"}
SLEEP = {"postgres": "select pg_sleep(0.005)", "mysql": "select sleep(0.005)"}
DIALECTS = {"asyncpg": "postgresql", "psycopg": "postgresql", "asyncmy": "mysql"}


@pytest.fixture(scope="module")
def shop(local_rds: LocalRds) -> Iterator[str]:
    """An instance with a standby and a read replica; gives its target."""
    local_rds.create("alchemy", MultiAZ=True, replicas=1, EnableIAMDatabaseAuthentication=True)
    yield "rds://alchemy"
    local_rds.delete("alchemy-r1", "alchemy")


@pytest.fixture(scope="module")
def mysql_shop(local_rds: LocalRds) -> Iterator[str]:
    """A MySQL instance with a standby; gives its target."""
    local_rds.create("alchemy-mysql", engine="mysql", MultiAZ=True)
    yield "rds://alchemy-mysql"
    local_rds.delete("alchemy-mysql")


def secret_of(local_rds: LocalRds, target: str) -> str:
    """The credentials of an instance's master."""
    return f"secretsmanager:{local_rds.secret(target.removeprefix('rds://'))}"


@pytest.fixture
def credentials(local_rds: LocalRds, shop: str) -> str:
    return secret_of(local_rds, shop)


class Load:
    """What the workers saw."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.lost: list[DBAPIError] = []
        self.others: list[BaseException] = []

    def note(self, key: int, error: Exception) -> None:
        """Sort an error by what an application would make of it."""
        if not isinstance(error, OperationalError) or not error.connection_invalidated:
            self.others.append(error)
        elif isinstance(error_of(error), rdskit.OutcomeUnknown):
            self.unknown.add(key)
        else:
            self.lost.append(error)


def prepare(engine: sqlalchemy.Engine, table: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"create table {table} (number int primary key)"))


def verify(load: Load, keys: set[int]) -> None:
    """Every error was one of a statement under way, and none of them lied about its outcome."""
    assert load.others == []
    assert len(load.lost) + len(load.unknown) <= WORKERS, "each connection under way is lost once, and no pooled one"
    assert load.lost or load.unknown, "the failover was not noticed by anybody"
    assert load.acknowledged <= keys <= load.acknowledged | load.unknown


@pytest.mark.chaos
@pytest.mark.parametrize(("kind", "fixture"), [("postgres", "shop"), ("mysql", "mysql_shop")])
def test_a_failover_under_load_costs_only_the_statements_under_way(
    local_rds: LocalRds, request: pytest.FixtureRequest, kind: str, fixture: str
) -> None:
    target: str = request.getfixturevalue(fixture)
    engine = create_engine(target, credentials=secret_of(local_rds, target), timeout=60, pool_size=WORKERS + 4)
    prepare(engine, "threads")
    load, over, turn = Load(), threading.Event(), threading.Lock()
    numbers = iter(range(10**9))

    def write() -> None:
        while not over.is_set():
            with turn:
                key = next(numbers)
            try:
                with engine.begin() as connection:
                    connection.execute(text("insert into threads values (:key)"), {"key": key})
                    connection.execute(text(SLEEP[kind]))
            except Exception as error:  # noqa: BLE001 - all of them are judged at the end
                load.note(key, error)
            else:
                load.acknowledged.add(key)

    threads = [threading.Thread(target=write) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    local_rds.fail_over(target.removeprefix("rds://"))
    before = len(load.acknowledged)
    end = threading.Event()
    while len(load.acknowledged) < before + 200 and not end.wait(0.05):
        assert all(thread.is_alive() for thread in threads)
    over.set()
    for thread in threads:
        thread.join()
    held = [engine.connect() for _ in range(WORKERS + 4)]  # every connection of the pool at once
    assert not any(connection.scalar(text(IS_REPLICA[kind])) for connection in held)
    keys = set(held[0].scalars(text("select number from threads")))
    for connection in held:
        connection.close()
    engine.dispose()
    verify(load, keys)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("kind", "fixture", "driver"),
    [("postgres", "shop", "asyncpg"), ("postgres", "shop", "psycopg"), ("mysql", "mysql_shop", "asyncmy")],
)
async def test_a_failover_under_tasks_costs_only_the_statements_under_way(
    local_rds: LocalRds, request: pytest.FixtureRequest, kind: str, fixture: str, driver: str
) -> None:
    target: str = request.getfixturevalue(fixture)
    query = f"plugin=rdskit&target={target}&credentials={secret_of(local_rds, target)}&timeout=60"
    url = f"{DIALECTS[driver]}+{driver}://?{query}"
    engine = asyncio_of_sqlalchemy.create_async_engine(url, pool_size=WORKERS)
    async with engine.begin() as connection:
        await connection.execute(text(f"create table tasks_{driver} (number int primary key)"))
    load, over = Load(), asyncio.Event()
    numbers = iter(range(10**9))

    async def write() -> None:
        while not over.is_set():
            key = next(numbers)
            try:
                async with engine.begin() as connection:
                    await connection.execute(text(f"insert into tasks_{driver} values (:key)"), {"key": key})
                    await connection.execute(text(SLEEP[kind]))
            except Exception as error:  # noqa: BLE001 - all of them are judged at the end
                load.note(key, error)
            else:
                load.acknowledged.add(key)

    workers = [asyncio.create_task(write()) for _ in range(WORKERS)]
    await asyncio.to_thread(local_rds.fail_over, target.removeprefix("rds://"))
    before = len(load.acknowledged)

    async def went_on() -> bool:
        return len(load.acknowledged) >= before + 200

    await eventually(went_on, 60)
    over.set()
    await asyncio.gather(*workers)
    held = [await engine.connect() for _ in range(WORKERS)]
    assert not any([await connection.scalar(text(IS_REPLICA[kind])) for connection in held])
    keys = set(await held[0].scalars(text(f"select number from tasks_{driver}")))
    for connection in held:
        await connection.close()
    await engine.dispose()
    verify(load, keys)


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
