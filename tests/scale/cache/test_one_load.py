"""One load for all who miss, over tasks and processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import rdskit
from tests.scale.cache.opened import READ, make_users, opened
from tests.scale.cache.storm.callers import loads_of

if TYPE_CHECKING:
    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer


async def test_one_load_for_100_cold_callers_in_each_of_4_processes(
    database: FreshDatabase, valkey: ValkeyServer
) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table people (id int)")
        await db.execute("insert into people values (1)")
        await db.execute("create table arrivals (id int generated always as identity)")
    assert await loads_of(database.url, valkey.url, processes=4, callers=100) == 1


async def test_no_lease_is_left_behind(database: FreshDatabase, valkey: ValkeyServer, namespace: str) -> None:
    async with (
        opened(database, valkey, namespace) as (db, one),
        opened(database, valkey, namespace) as (_, other),
    ):
        await make_users(db)
        for _ in range(20):
            await one.invalidate("users")
            await asyncio.gather(*(cache.fetch_all(READ) for cache in (one, other) * 5))
        left = await one._service._redis.request(("keys", f"*{namespace}*:l:*"))
        assert left == []
