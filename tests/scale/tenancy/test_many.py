"""Many tenants on twenty connections: all are served, and none sees another's row."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.scale import Tenants

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

MOST = 20
SIZES = [
    pytest.param(100, 2_000, id="100 tenants"),
    pytest.param(10_000, 200_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)], id="10,000 tenants"),
]
pytestmark = pytest.mark.timeout(60)


async def _storm(db: rdskit.Database, prefix: str, count: int, tasks: int) -> None:
    names = [f"t{number}" for number in range(count)]
    async with db.connection() as held:
        for name in names:
            await held.execute(f"create schema {prefix}_{name}")
            await held.execute(f"create table {prefix}_{name}.mine (owner varchar(20), n int)")
            await held.execute(f"insert into {prefix}_{name}.mine values ('{name}', 0)")
    chance = random.Random(11)
    served: set[str] = set()
    wrong = 0

    async def worker(room: Tenants, share: list[str]) -> None:
        nonlocal wrong
        for name in share:
            async with room.use(name) as t:
                if chance.random() < 0.3:
                    async with t.transaction() as tx:
                        await tx.execute("update mine set n = n + 1")
                        found = await tx.fetch_value("select owner from mine")
                else:
                    found = await t.fetch_value("select owner from mine")
            wrong += found != name
            served.add(name)

    work = [*names, *(chance.choice(names) for _ in range(tasks - count))]
    async with Tenants(db, by="schema", schema=f"{prefix}_{{id}}", per_tenant=5) as room:
        await asyncio.gather(*(worker(room, work[start::100]) for start in range(100)))
    assert (wrong, served) == (0, set(names))
    assert db.stats().writer.size <= MOST


@pytest.mark.parametrize(("count", "tasks"), SIZES)
async def test_by_schema(database: TestDatabase, count: int, tasks: int) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=MOST, readers="off") as db:
        await _storm(db, database.name, count, tasks)


@pytest.mark.parametrize(("count", "tasks"), SIZES)
async def test_by_database_on_mysql(mysql_database: FamilyDatabase, count: int, tasks: int) -> None:
    async with rdskit.connect(mysql_database.url, tls="off", min_size=0, max_size=MOST, readers="off") as db:
        await _storm(db, mysql_database.name, count, tasks)
        async with db.connection() as held:
            for number in range(count):
                await held.execute(f"drop schema {mysql_database.name}_t{number}")
