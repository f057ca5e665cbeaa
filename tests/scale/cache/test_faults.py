"""Redis is killed, restarted, hung, full or refuses writes: no error reaches a caller, and no old row is seen later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from rdskit.local.engines.valkey.server import ValkeyServer, throwaway_valkey
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually
from tests.scale.cache.opened import make_users, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import rdskit
    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.scale import Cache

NAME = "select name from users where id = 1"
SHORT = {"timeout": 0.05}  # seconds: what is asserted does not depend on an answer within it


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """Provide a Valkey that a test may break; it saves its data when it ends by itself."""
    with throwaway_valkey(tmp_path, {"save": "3600 1"}) as server:
        keep_confidential(server.password)
        yield server


async def rename(db: rdskit.Database, name: str) -> None:
    await db.execute("update users set name = :name", name=name)


async def is_used_again(cache: Cache) -> None:
    """Wait until entries are served."""

    async def hit() -> bool:
        before = cache.stats.hits
        await cache.fetch_value(NAME)
        return cache.stats.hits > before

    await eventually(hit)


async def test_without_redis_the_database_answers(database: FreshDatabase, own_valkey: ValkeyServer) -> None:
    own_valkey.kill()
    async with opened(database, own_valkey, "down", **SHORT) as (db, cache):
        await make_users(db)
        assert await cache.fetch_value(NAME) == "Ada"
        await rename(db, "Grace")
        assert await cache.fetch_value(NAME) == "Grace"
        own_valkey.start()
        await is_used_again(cache)
        await rename(db, "Edsger")
        assert await cache.fetch_value(NAME) == "Edsger"


async def test_a_restart_that_restores_old_entries_serves_none_of_them(
    database: FreshDatabase, own_valkey: ValkeyServer
) -> None:
    async with (
        opened(database, own_valkey, "restart", **SHORT) as (db, _),
        opened(database, own_valkey, "restart", **SHORT) as (__, other),
    ):
        await make_users(db)
        assert await other.fetch_value(NAME) == "Ada"
        await asyncio.to_thread(own_valkey.stop)  # it saves
        await rename(db, "Grace")
        await asyncio.to_thread(own_valkey.start)
        for _ in range(20):
            assert await other.fetch_value(NAME) == "Grace"
        await is_used_again(other)
        assert await other.fetch_value(NAME) == "Grace"


async def test_what_was_written_while_redis_hung_is_seen_when_it_goes_on(
    database: FreshDatabase, own_valkey: ValkeyServer
) -> None:
    async with (
        opened(database, own_valkey, "hang", **SHORT) as (db, cache),
        opened(database, own_valkey, "hang", **SHORT) as (_, other),
    ):
        await make_users(db)
        for name in ("Grace", "Edsger"):
            await is_used_again(other)
            own_valkey.pause()
            try:
                await rename(db, name)
                assert await cache.fetch_value(NAME) == name
            finally:
                own_valkey.resume()
            for _ in range(50):
                assert await other.fetch_value(NAME) == name
        assert cache.stats.outages >= 1


async def test_a_full_redis_caches_nothing_and_still_invalidates(
    database: FreshDatabase, own_valkey: ValkeyServer
) -> None:
    async with opened(database, own_valkey, "full") as (db, cache):
        await make_users(db)
        await is_used_again(cache)
        await cache._service._redis.request(("config", "set", "maxmemory", "1"))
        assert await cache.fetch_value(NAME) == "Ada", "an entry that is there is read"
        await rename(db, "Grace")
        for _ in range(3):
            assert await cache.fetch_value(NAME) == "Grace"
        await cache._service._redis.request(("config", "set", "maxmemory", "0"))
        await is_used_again(cache)
        assert cache.stats.outages == 0


async def test_a_redis_that_refuses_writes_is_not_read_either(
    database: FreshDatabase, own_valkey: ValkeyServer
) -> None:
    async with (
        opened(database, own_valkey, "readonly", **SHORT) as (db, cache),
        opened(database, own_valkey, "readonly", **SHORT) as (_, other),
    ):
        await make_users(db)
        await is_used_again(other)
        redis = cache._service._redis
        await redis.request(("config", "set", "min-replicas-to-write", "1"))
        await rename(db, "Grace")
        assert await other.fetch_value(NAME) == "Grace"
        await redis.request(("config", "set", "min-replicas-to-write", "0"))
        for _ in range(50):
            assert await other.fetch_value(NAME) == "Grace"
        await is_used_again(other)


async def test_no_more_loads_run_than_are_allowed(database: FreshDatabase, own_valkey: ValkeyServer) -> None:
    own_valkey.kill()
    async with opened(database, own_valkey, "cap", loads=2, **SHORT) as (db, cache):
        await make_users(db)
        running = most = 0

        async def load(_: object) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return most

        await asyncio.gather(*(cache.get_or_load(f"value:{number % 20}", load) for number in range(60)))
        assert most == 2
        assert 20 <= cache.stats.loads < 60, "callers of one key share a load that waits for its turn"


async def test_a_cancelled_caller_ends_neither_load_nor_invalidation(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        begun, go = asyncio.Event(), asyncio.Event()

        async def load(_: object) -> str:
            begun.set()
            await go.wait()
            return "loaded"

        first = asyncio.create_task(cache.get_or_load("value", load))
        await begun.wait()
        second = asyncio.create_task(cache.get_or_load("value", load))
        first.cancel()
        await asyncio.wait([first])
        go.set()
        assert await second == "loaded"
        assert cache.stats.loads == 1


async def test_an_error_of_the_database_reaches_every_caller_and_is_not_kept(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)

        async def fail(_: object) -> None:
            raise ZeroDivisionError

        told = await asyncio.gather(*(cache.get_or_load("value", fail) for _ in range(5)), return_exceptions=True)
        assert {type(error) for error in told} == {ZeroDivisionError}

        async def load(_: object) -> int:
            return 1

        assert await cache.get_or_load("value", load) == 1
