"""Cancellation at every await leaks nothing: counted in pg_stat_activity, not in our own books."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.client.conftest import is_at_rest
from tests.plugins.rounds import gate_and_soak
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase

POOL = 5
# Each call is cancelled after 10**x seconds: before, during and after its query, on a fast machine and on a slow one.
SOONEST, LATEST = -5.0, -1.0


@pytest.mark.parametrize("count", gate_and_soak(2_000, 10_000))
async def test_thousands_of_cancelled_calls_leak_no_connection(database: TestDatabase, count: int) -> None:
    chance = random.Random(7)
    async with rdskit.connect(database.url, tls="off", max_size=POOL, max_waiting=count) as db:
        outcomes = {"done": 0, "cancelled": 0}
        gate = asyncio.Semaphore(20)

        async def one(number: int) -> None:
            async with gate:
                call = asyncio.ensure_future(db.fetch_value("select :n::int", n=number))
                asyncio.get_running_loop().call_later(10 ** chance.uniform(SOONEST, LATEST), call.cancel)
                try:
                    assert await call == number
                    outcomes["done"] += 1
                except asyncio.CancelledError:
                    outcomes["cancelled"] += 1

        await asyncio.gather(*(one(number) for number in range(count)))
        assert outcomes["cancelled"] > count // 20, outcomes
        assert outcomes["done"] > count // 20, outcomes

        answers = await asyncio.gather(*(db.fetch_value("select :n::int", n=n) for n in range(100)))
        assert answers == list(range(100))
        await eventually(lambda: is_at_rest(db))
        stats = db.stats().writer
        assert stats.waiting == 0
        assert stats.size <= POOL
        await eventually(lambda: _within_the_pool(db))  # a server process ends a moment after its socket

    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1) as observer:
        await eventually(lambda: _only_the_observer(observer))


async def _within_the_pool(db: rdskit.Database) -> bool:
    return await _backends(db) <= POOL


async def _only_the_observer(observer: rdskit.Database) -> bool:
    return await _backends(observer) == 1


async def _backends(db: rdskit.Database) -> int:
    count: int = await db.fetch_value(
        "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"
    )
    return count
