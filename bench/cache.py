"""What a hit of the cache costs beside a raw GET with decoding and beside cashews, and how often a cold start loads.

Every contender gives one row of five columns. Raw is what an application writes by hand: GET by redis-py with hiredis,
then MessagePack. cashews is as its documentation shows it, on redis-py with hiredis too.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgpack

import harness
import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.local.engines.valkey.server import throwaway_valkey
from rdskit.scale import Cache

ROOT = Path(__file__).resolve().parent.parent
GATES = {"raw": 1.3, "cashews": 0.75}
QUERY = "select id, name, city, price, created from people where id = :id"
PROCESSES, CALLERS = 4, 100


async def fill(db: rdskit.Database) -> None:
    await db.execute(
        "create table people (id int primary key, name text, city text, price numeric, created timestamptz)"
    )
    await db.execute("insert into people values (1, 'Ada Lovelace', 'London', 12.50, now())")
    await db.execute("create table arrivals (id int generated always as identity)")


def measure(url: str, redis: str, effort: harness.Effort) -> list[harness.Comparison]:
    import cashews
    import redis.asyncio as redis_py

    async def opened() -> tuple[Any, ...]:
        db = await rdskit.connect(url, tls="off")
        await fill(db)
        ours = Cache(db, redis, namespace="bench", timeout=5)
        raw = redis_py.Redis.from_url(redis)
        await raw.set("raw", msgpack.packb(["1", "Ada Lovelace", "London", "12.50", "2026-11-30T00:00:00+00:00"]))
        theirs = cashews.Cache()
        theirs.setup(redis)

        async def load(id: int) -> dict[str, Any]:  # noqa: A002 - as the query's parameter
            row = await db.fetch_one(QUERY, id=id)
            assert row is not None
            return dict(row)

        return db, ours, raw, theirs, theirs(ttl=3600, key="person:{id}", tags=["people"])(load)

    with asyncio.Runner() as runner:
        db, ours, raw, theirs, load = runner.run(opened())

        async def get() -> Any:
            return msgpack.unpackb(await raw.get("raw"))

        async def hit() -> Any:
            return await ours.fetch_one(QUERY, ttl=3600, id=1)

        async def peers_hit() -> Any:
            return await load(id=1)

        raw_contender = harness.async_contender(runner, "raw", get)
        again = harness.async_contender(runner, "raw, again", get)
        hits = harness.async_contender(runner, "rdskit hit", hit)
        peer = harness.async_contender(runner, "cashews hit", peers_hit)
        rows = [
            harness.compare(raw_contender, again, effort),
            harness.compare(raw_contender, hits, effort),
            harness.compare(raw_contender, peer, effort),
            harness.compare(peer, hits, effort),
        ]

        async def closed() -> None:
            assert ours.stats.loads == 1, ours.stats
            await ours.close()
            await theirs.close()
            await raw.aclose()
            await db.close()

        runner.run(closed())
    return rows


def cold_loads(url: str, redis: str) -> int:
    code = (
        "import asyncio, sys; from tests.scale.cache.storm.callers import loads_of;"
        f"print(asyncio.run(loads_of(sys.argv[1], sys.argv[2], processes={PROCESSES}, callers={CALLERS})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url, redis], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def main() -> int:
    """Measure, print, and say whether the gates are kept."""
    parser = harness.arguments(__doc__ or "")
    options = parser.parse_args()
    effort = harness.Effort(options.calls, options.rounds)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        with throwaway_postgres(folder / "db") as postgres, throwaway_valkey(folder / "cache") as valkey:
            url = postgres.dsn.partition("?")[0]
            pinned = harness.pin(valkey.pid, one_cpu=options.one_cpu)
            rows = measure(url, valkey.url, effort)
            loads = cold_loads(url, valkey.url)
    again, ours, _, against_cashews = rows
    valid = pinned and harness.is_valid(again.ratio)
    kept = ours.ratio <= GATES["raw"] and against_cashews.ratio <= GATES["cashews"] and loads == 1
    lines = [
        (row.name, row.baseline, f"{row.microseconds:.1f}", f"{row.ratio:.3f}", f"{row.low:.2f}..{row.high:.2f}")
        for row in rows
    ]
    harness.print_table(("", "beside", "µs", "ratio", "quartiles"), lines)
    print(f"{CALLERS} cold callers in each of {PROCESSES} processes: {loads} load(s)")
    print(f"gates: {GATES['raw']} x raw, {GATES['cashews']} x cashews, 1 load" if valid else harness.NOT_VALID)
    harness.write_json(options.json, {"valid": valid, "kept": kept, "loads": loads, "gates": GATES}, rows)
    return 0 if valid and kept else 1


if __name__ == "__main__":
    sys.exit(main())
