"""What routing by a shard key costs beside the shard's own database, what eight shards cost beside one, and a move.

Usage: python bench/sharding.py [--rounds N] [--calls N] [--json FILE]

The shards are databases of one PostgreSQL server on this machine, so that a scatter of eight takes eight times the
server's work: on servers of their own it is that of the slowest one. The pause of a move is the longest call of a
writer whose key is in the slice that moves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.plans import FileJournal, apply
from rdskit.scale import Shards
from rdskit.scale.sharding.move import plan_for, range_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SHARDS = 8
ROWS = 4000


async def seconds(calls: int, call: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds of one call, over many in turn."""
    begun = time.perf_counter()
    for _ in range(calls):
        await call()
    return (time.perf_counter() - begun) / calls


async def paused(shards: Shards, directory: Path) -> dict[str, float]:
    """Move the slice of one key while a writer writes it; return its longest call, and the usual one."""
    on, times, ended = shards.on(1), [], False

    async def write() -> None:
        while not ended:
            begun = time.perf_counter()
            await on.execute("update users set n = n + 1 where id = 1")
            times.append(time.perf_counter() - begun)

    writing = asyncio.create_task(write())
    known = await shards.map()
    target = next(name for name in shards.config.shards if name != known.owners[on.bucket])
    low = max(0, on.bucket - 8)
    await apply(plan_for(shards, range_to(shards, known, low, low + 15, target)), FileJournal(directory))
    ended = True
    await writing
    return {"move_pause_s": max(times), "write_s": statistics.median(times)}


async def measure(config: dict[str, Any], directory: Path, rounds: int, calls: int) -> dict[str, float]:
    """Return the medians."""
    single, routed, written, fenced, one, eight = [], [], [], [], [], []
    async with Shards.connect(config, tls="off", readers="off", min_size=2, max_size=4) as shards:
        for name in config["shards"]:
            async with rdskit.connect(config["shards"][name], tls="off", readers="off", max_size=1) as db:
                await db.execute("create table users (id bigint primary key, bucket int not null, n int not null)")
        await shards.setup()
        for number in range(ROWS):
            await shards.on(number).execute(
                "insert into users (id, bucket, n) values (:id, :bucket, 0)", {"id": number}
            )
        raw = shards.database((await shards.map()).owners[shards.on(1).bucket])
        read, write = "select n from users where id = :id", "update users set n = n + 1 where id = :id"
        wide = "select id, n from users order by n desc, id limit 50"
        for _ in range(rounds):
            single.append(await seconds(calls, lambda: raw.fetch_one(read, id=1)))
            routed.append(await seconds(calls, lambda: shards.on(1).fetch_one(read, id=1)))
            written.append(await seconds(calls, lambda: raw.execute(write, id=1)))
            fenced.append(await seconds(calls, lambda: shards.on(1).execute(write, id=1)))
            one.append(await seconds(calls // 10, lambda: raw.fetch_all(wide)))
            eight.append(await seconds(calls // 10, lambda: shards.everywhere().fetch_all(wide)))
        moved = await paused(shards, directory)
    medians = {
        "read_s": single,
        "routed_read_s": routed,
        "write_s": written,
        "fenced_write_s": fenced,
        "one_shard_s": one,
        "eight_shards_s": eight,
    }
    return {name: statistics.median(each) for name, each in medians.items()} | {"move_pause_s": moved["move_pause_s"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, throwaway_postgres(Path(folder)) as server:
        url = server.dsn.partition("?")[0]
        targets = {f"s{number}": f"{url.rpartition('/')[0]}/s{number}" for number in range(SHARDS)}

        async def run() -> dict[str, float]:
            async with rdskit.connect(url, tls="off", readers="off", max_size=1) as db, db.connection() as held:
                for name in targets:
                    await held.execute(f"create database {name}")
            config = {"shards": targets, "tables": {"users": {"key": "id"}}}
            return await measure(config, Path(folder) / "jobs", options.rounds, options.calls)

        found = asyncio.run(run())
    routed = found["routed_read_s"] * 1e6
    extra = (found["routed_read_s"] - found["read_s"]) * 1e6
    print(f"read by key     {found['read_s'] * 1e6:8.0f} µs, routed {routed:8.0f} µs: +{extra:.0f} µs")
    print(f"write by key    {found['write_s'] * 1e6:8.0f} µs, fenced {found['fenced_write_s'] * 1e6:8.0f} µs")
    print(f"query of 50     {found['one_shard_s'] * 1e6:8.0f} µs, 8 shards {found['eight_shards_s'] * 1e6:6.0f} µs")
    print(f"pause of a key  {found['move_pause_s']:8.2f} s while its slice of 16 buckets moved")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
