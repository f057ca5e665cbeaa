"""Many callers in several processes ask for the same value at the same moment, and the cache is cold.

Usage: python -m tests.scale.cache.storm.callers '{"…": …}'        One process; prints its count of loads.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from pathlib import Path
from typing import Any

import rdskit
from rdskit.scale import Cache
from tests.plugins.waiting import eventually

ROOT = Path(__file__).resolve().parents[4]
SLOW = "select count(*) from people, (select pg_sleep(0.3)) as pause"


async def loads_of(url: str, redis: str, *, processes: int, callers: int) -> int:
    """Return how many queries reach the database.

    Args:
        url: of the database, which has a table ``people``.
        redis: of the cache's server.
        processes: how many.
        callers: in each of them.
    """
    job = json.dumps({"url": url, "redis": redis, "processes": processes, "callers": callers})
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, job, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(processes)
    ]
    told = await asyncio.gather(*(process.communicate() for process in running))
    assert [process.returncode for process in running] == [0] * processes
    return sum(int(out) for out, _ in told)


async def call(job: dict[str, Any]) -> int:
    async with (
        rdskit.connect(job["url"], tls="off") as db,
        Cache(db, job["redis"], namespace="callers", timeout=5) as cache,
    ):
        # The processes begin at the same moment: each counts itself in a table, and waits for the others.
        await db.execute("insert into arrivals default values")
        await eventually(functools.partial(all_are_here, db, job["processes"]))
        before = cache.stats.loads
        values = await asyncio.gather(*(cache.fetch_value(SLOW, tables=["people"]) for _ in range(job["callers"])))
        assert set(values) == {1}
        return cache.stats.loads - before


async def all_are_here(db: rdskit.Database, processes: int) -> bool:
    arrived: int = await db.fetch_value("select count(*) from arrivals")
    return arrived >= processes


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(call(json.loads(sys.argv[1])))))
