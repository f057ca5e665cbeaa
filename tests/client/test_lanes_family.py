"""Pipelined reads of a database on MySQL and MariaDB."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.plugins.lanes import lanes_of, pipelined
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase

READ = "select id, name from items where id = :id"
COUNT = "select count(*) as n from items a join items b join items c join items d join items e where a.id < :n"


@pytest.fixture(params=["mariadb", "mysql"])
async def db(request: pytest.FixtureRequest) -> AsyncIterator[rdskit.Database]:
    database: FamilyDatabase = request.getfixturevalue(f"{request.param}_database")
    async with rdskit.connect(database.url, tls="off", pipeline="auto", max_size=4, max_waiting=1000) as opened:
        await opened.execute("create table items (id int primary key, name varchar(20))")
        await opened.insert_many("items", [{"id": number, "name": f"item {number}"} for number in range(1, 101)])
        yield opened


async def _checked(db: rdskit.Database, number: int) -> None:
    row = await db.fetch_one(READ, id=number)
    assert row is not None
    assert tuple(row) == (number, f"item {number}")


async def _many(db: rdskit.Database, tasks: int, reads: int = 5) -> None:
    async def several(task: int) -> None:
        for number in range(reads):
            await _checked(db, (task * 7 + number) % 100 + 1)

    await asyncio.gather(*(several(task) for task in range(tasks)))


async def test_many_tasks_share_few_connections(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    await _many(db, 300)
    stats = lanes_of(db).stats()
    assert stats.answered > 0  # how many depends on the machine: bench/pipelining.py counts
    assert 1 <= stats.connections <= 4
    assert stats.in_flight == 0


async def test_an_error_disturbs_no_other_read(db: rdskit.Database) -> None:
    below = "select cast(:n as unsigned) - 1 as v"
    await pipelined(db, READ, id=1)
    await pipelined(db, below, n=1)
    for _ in range(3):
        lanes_of(db).hot = True
        with pytest.raises(rdskit.QueryError, match=r"out of range.*\[1690\]"):
            await asyncio.gather(db.fetch_all(below, n=0), _many(db, 50, 1))


async def test_cancelled_reads_disturb_no_other(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    lanes_of(db).hot = True
    tasks = [asyncio.create_task(_checked(db, number % 100 + 1)) for number in range(500)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in ended[1::2])


@pytest.mark.soak  # how long the slow read takes depends on the machine
async def test_a_slow_read_holds_up_no_other_and_its_deadline_ends_it(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    await pipelined(db, COUNT, n=1)
    lanes = lanes_of(db)
    lanes.hot = True
    await _many(db, 50)  # so that the spare connection is there
    lanes.hot = True
    slow = asyncio.create_task(db.fetch_value(COUNT, n=1000, timeout=2.0))
    await asyncio.sleep(0)
    for _ in range(5):
        await _many(db, 50)
    assert not slow.done(), "all others were answered while it runs"
    with pytest.raises(rdskit.QueryTimeout, match="did not answer before the deadline"):
        await slow
    await _many(db, 50)

    async def nothing_runs() -> bool:
        running = "select count(*) from information_schema.processlist where info like '%join items%' and id <> "
        return bool(await db.fetch_value(f"{running} connection_id()") == 0)

    await eventually(nothing_runs)


async def test_a_lost_connection_costs_no_read(db: rdskit.Database) -> None:
    ids = "select id from information_schema.processlist where db = database() and id <> connection_id()"
    await pipelined(db, READ, id=1)
    reading = asyncio.create_task(_many(db, 100, 50))
    async with db.connection() as held:
        for row in await held.fetch_all(ids):
            with contextlib.suppress(rdskit.QueryError):  # 1094: that session has ended by itself
                await held.execute(f"kill {row.id}")
    await reading
    await _many(db, 100)
