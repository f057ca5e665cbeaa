"""A session reads what it has written, from replicas too, whatever happens to the servers."""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.local_rds import LocalRds

FAILOVERS = 3
WORKERS = 6


@pytest.fixture(scope="module")
def orders(local_rds: LocalRds) -> Iterator[str]:
    local_rds.create("orders", MultiAZ=True, replicas=2)
    yield "orders"
    local_rds.delete("orders-r1", "orders-r2", "orders")


@pytest.fixture
async def db(local_rds: LocalRds, orders: str) -> AsyncIterator[rdskit.Database]:
    secret = local_rds.secret(orders)
    async with rdskit.connect(f"rds://{orders}", credentials=f"secretsmanager:{secret}", max_size=8) as db:
        await db.execute("create table if not exists note (key bigint primary key, text text)")
        await eventually(lambda: _readers_serve(db, 2))
        yield db
        await db.execute("drop table note")


async def _readers_serve(db: rdskit.Database, count: int) -> bool:
    await db.fetch_value("select count(*) from note")
    return sum(served > 0 for served in db.stats().reads_by_reader.values()) >= count


@pytest.mark.chaos
async def test_nothing_lost_doubled_or_stale_through_failovers(
    local_rds: LocalRds, db: rdskit.Database, orders: str
) -> None:
    keys = itertools.count(1)
    acknowledged: set[int] = set()
    unknown: set[int] = set()
    stale: list[int] = []
    over = asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            key = next(keys)
            try:
                await db.execute("insert into note values (:key, 'x')", key=key)
            except rdskit.OutcomeUnknown:
                unknown.add(key)
                continue
            acknowledged.add(key)
            if not await db.fetch_value("select count(*) from note where key = :key", key=key):
                stale.append(key)

    workers = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
    for _ in range(FAILOVERS):
        before = len(acknowledged)
        await asyncio.to_thread(local_rds.fail_over, orders)
        await eventually(functools.partial(_more_than, acknowledged, before + 100))
    await eventually(lambda: _readers_serve(db, 2))
    over.set()
    await asyncio.gather(*workers)

    async with db.transaction(read_only=True) as tx:
        present = {row.key for row in await tx.fetch_all("select key from note")}
    assert not stale
    assert acknowledged <= present
    assert present <= acknowledged | unknown
    assert len(unknown) <= WORKERS * FAILOVERS
    assert db.stats().failures >= FAILOVERS


async def test_a_read_after_a_write_goes_to_the_writer_while_replicas_lag(
    local_rds: LocalRds, db: rdskit.Database
) -> None:
    receivers = [
        process for name in ("orders-r1", "orders-r2") for process in local_rds.server_processes(name, "walreceiver")
    ]
    assert len(receivers) == 2
    for receiver in receivers:
        receiver.suspend()
    try:
        spilled = db.stats().reads_sent_to_writer
        for key in range(1, 21):
            await db.execute("insert into note values (:key, 'y')", key=key)
            assert await db.fetch_value("select text from note where key = :key", key=key) == "y"
        assert db.stats().reads_sent_to_writer >= spilled + 20
    finally:
        for receiver in receivers:
            receiver.resume()
    served = sum(db.stats().reads_by_reader.values())
    await eventually(lambda: _more_reads(db, served))


async def _more_than(acknowledged: set[int], count: int) -> bool:
    return len(acknowledged) > count


async def _more_reads(db: rdskit.Database, served: int) -> bool:
    await db.fetch_value("select count(*) from note")
    return sum(db.stats().reads_by_reader.values()) > served


async def test_eventual_reads_take_what_is_there_and_strong_reads_the_writer(local_rds: LocalRds, orders: str) -> None:
    secret = f"secretsmanager:{local_rds.secret(orders)}"
    async with rdskit.connect(f"rds://{orders}", credentials=secret, consistency="strong") as db:
        assert await db.fetch_value("select pg_is_in_recovery()") is False
    async with rdskit.connect(f"rds://{orders}", credentials=secret, consistency="eventual") as db:
        await eventually(lambda: db.fetch_value("select pg_is_in_recovery()"))
    async with rdskit.connect(f"rds://{orders}", credentials=secret, readers="off") as db:
        assert await db.fetch_value("select pg_is_in_recovery()") is False
        assert db.stats().readers == {}


async def test_a_replica_is_a_target_for_reading(local_rds: LocalRds, orders: str) -> None:
    secret = f"secretsmanager:{local_rds.secret(orders)}"
    async with rdskit.connect("rds://orders-r1", credentials=secret, min_size=0) as db:
        assert await db.fetch_value("select pg_is_in_recovery()")
        with pytest.raises(rdskit.ReadOnlyError):
            await db.execute("create table refused (id int)")
    with pytest.raises(rdskit.ConfigError, match=r"'ordes' does not exist.*there are: .*orders"):
        await rdskit.connect("rds://ordes")


async def test_a_target_can_be_a_secret_as_a_whole(local_rds: LocalRds, orders: str) -> None:
    import json

    import boto3

    content = {
        "dbInstanceIdentifier": orders,
        "username": "app",
        "password": _password(local_rds, orders),
        "dbname": "app",
    }
    boto3.client("secretsmanager").create_secret(Name="prod/orders", SecretString=json.dumps(content))
    async with rdskit.connect("secretsmanager:prod/orders") as db:
        assert await db.fetch_value("select current_database()::text") == "app"
    async with rdskit.connect("secretsmanager:prod/orders/postgres") as db:
        assert await db.fetch_value("select current_database()::text") == "postgres"


def _password(local_rds: LocalRds, identifier: str) -> str:
    import json

    import boto3

    answer = boto3.client("secretsmanager").get_secret_value(SecretId=local_rds.secret(identifier))
    password: str = json.loads(answer["SecretString"])["password"]
    return password
