"""Advisory locks: one holder at a time, released whatever happens, and a lost one is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


async def test_one_holder_at_a_time(db: rdskit.Database) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with db.lock("report"):
            inside += 1
            most = max(most, inside)
            await db.fetch_one("select 1")
            inside -= 1

    await asyncio.gather(*(work() for _ in range(4)))
    assert most == 1


async def test_other_names_do_not_wait_and_the_same_name_times_out(db: rdskit.Database) -> None:
    async with db.lock("a" * 300), db.lock("other", timeout=1):
        with pytest.raises(rdskit.QueryTimeout, match="held by another session"):
            async with db.lock("a" * 300, timeout=0.5):
                pass
    async with db.lock("a" * 300, timeout=1):
        pass


async def test_it_is_released_when_the_block_raises_or_is_cancelled(db: rdskit.Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.lock("job"):
            _ = 1 / 0
    held = asyncio.Event()

    async def hold() -> None:
        async with db.lock("job", timeout=5):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    await asyncio.wait([task])
    async with db.lock("job", timeout=5):
        pass


async def test_a_lock_of_a_transaction_ends_with_it_and_excludes_blocks(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        await tx.lock("job")
        with pytest.raises(rdskit.QueryTimeout):
            async with db.lock("job", timeout=0.5):
                pass
    async with db.lock("job", timeout=5):
        with pytest.raises(rdskit.QueryTimeout):
            async with db.transaction() as tx:
                await tx.lock("job", timeout=0.5)


async def test_a_lost_connection_ends_the_block(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> None:
    held = asyncio.Event()

    async def hold() -> None:
        async with db.lock("job", timeout=5):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    await _kill_other_sessions(db, target)
    with pytest.raises(rdskit.FailoverError, match="the lock with it"):
        async with asyncio.timeout(10):
            await task
    await eventually(lambda: _can_be_had(db))


async def _can_be_had(db: rdskit.Database) -> bool:
    async with db.lock("job", timeout=5):
        return True


async def _kill_other_sessions(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> None:
    async with db.transaction() as tx:
        if target.url.startswith("postgres"):
            await tx.fetch_all(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            return
        sessions = await tx.fetch_all(
            "select id from information_schema.processlist where db = database() and id <> connection_id()"
        )
        for session in sessions:
            await tx.execute(f"kill {session.id}")
