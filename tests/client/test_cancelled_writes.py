"""A write past its deadline: once the server has said that it cancelled it, the outcome is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.postgres import TestDatabase


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", min_size=2, max_size=4) as opened:
        await opened.execute("create table items (id int primary key, v int)")
        await opened.execute("insert into items values (1, 0)")
        yield opened


@pytest.mark.parametrize(
    "write", ["alter table items add column more int", "update items set v = 1 returning v", "drop table items"]
)
async def test_a_write_behind_a_lock_is_cancelled_and_changed_nothing(db: rdskit.Database, write: str) -> None:
    async with db.transaction() as tx:
        await tx.execute("select * from items for update")
        for _ in range(2):
            with pytest.raises(rdskit.QueryTimeout, match="the server cancelled the statement and undid it"):
                await db.execute(write, timeout=0.3)
    assert [tuple(row) for row in await db.fetch_all("select * from items")] == [(1, 0)]


async def test_the_connection_serves_on_and_no_late_request_hits_the_next_statement(db: rdskit.Database) -> None:
    pids: set[int] = set()
    for _ in range(5):
        with pytest.raises(rdskit.QueryTimeout):
            await db.execute("update items set v = v + 1 where pg_sleep(5) is not null", timeout=0.5)
        pids.update(row.pid for row in await db.fetch_all("select pg_backend_pid() as pid, pg_sleep(0.01)"))
    assert len(pids) <= 4
    assert await db.fetch_value("select v from items") == 0


async def test_a_procedure_may_have_committed_a_part(db: rdskit.Database) -> None:
    await db.execute(
        "create procedure slow() language plpgsql as "
        "$$ begin update items set v = 1; commit; perform pg_sleep(5); end $$"
    )
    with pytest.raises(rdskit.OutcomeUnknown):
        await db.execute("call slow()", timeout=1.0)
    assert await db.fetch_value("select v from items") == 1


async def test_a_caller_who_is_cancelled_meanwhile_is_cancelled(db: rdskit.Database) -> None:
    task = asyncio.create_task(db.execute("update items set v = 1 where pg_sleep(5) is not null", timeout=0.1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.05)
    assert task.cancelled()
    assert await db.fetch_value("select v from items") == 0
