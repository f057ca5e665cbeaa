"""``rdskit cache stats`` and ``rdskit cache invalidate``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from rdskit.cli.main import app
from tests.scale.cache.opened import READ, make_users, opened

if TYPE_CHECKING:
    from typer.testing import Result

    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["cache", *words])


async def test_figures_of_all_processes_and_invalidation(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    place = ("--redis", valkey.url, "--namespace", namespace)
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        for _ in range(4):
            await cache.fetch_all(READ)
    shown = await run("stats", *place, "--json")
    assert shown.exit_code == 0, shown.output
    figures: dict[str, Any] = json.loads(shown.stdout)
    assert (figures["hits"], figures["misses"], figures["hit_rate"]) == (3, 1, 0.75)
    assert figures["memory_bytes"] > 0
    assert "hit_rate" in (await run("stats", *place)).stdout

    async with opened(database, valkey, namespace) as (_, cache):
        await cache.fetch_all(READ)
        target = (database.url, "--tls", "off")
        unknown = await run("invalidate", *target, "uzers", *place)
        assert unknown.exit_code != 0
        assert "uzers" in unknown.output or "uzers" in str(unknown.exception)
        done = await run("invalidate", database.url, "users", "--tls", "off", *place)
        assert done.exit_code == 0, done.output
        before = cache.stats.hits
        await cache.fetch_all(READ)
        assert cache.stats.hits == before
        everything = await run("invalidate", *target, *place, "--json")
        assert json.loads(everything.stdout)["invalidated"] == "everything"


async def test_a_cache_that_is_not_there_is_an_error(database: FreshDatabase) -> None:
    place = ("--redis", "redis://:secret-of-redis@127.0.0.1:1", "--namespace", "none")
    for words in (("stats",), ("invalidate", database.url, "--tls", "off")):
        failed = await run(*words, *place)
        assert failed.exit_code == 1
        assert "secret-of-redis" not in failed.output + str(failed.exception)
