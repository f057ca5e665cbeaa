"""A storm: processes that read and write through caches, while Redis is killed, hung and made to evict."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit
from tests.scale.cache.storm.board import Board
from tests.scale.cache.storm.subjects import TABLES
from tests.scale.cache.storm.worker import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.local.engines.valkey.server import ValkeyServer

ROOT = Path(__file__).resolve().parents[4]
ROWS = 32
PAUSE = 1.0  # seconds between two strikes
HANG = 0.3


async def storm(
    url: str,
    valkey: ValkeyServer,
    folder: Path,
    *,
    steps: int,
    seed: str,
    readers: Sequence[str] = (),
    subject: str = "ours",
    strikes: int = 0,
    processes: int = 2,
    timeout: float = 0.1,
) -> list[Result]:
    """Run a storm to its end.

    Args:
        url: of the database, in which the tables are made.
        valkey: the cache's server.
        folder: for the board.
        steps: of all processes together.
        seed: of everything that is random in the processes.
        readers: replicas of the database.
        subject: which cache, of `subjects`.
        strikes: how often the server of the cache is struck, at most.
        processes: how many.
        timeout: of the cache.
    """
    await _make_tables(url)
    Board.make(folder / "board", ROWS)
    job = {
        "url": url,
        "readers": list(readers),
        "redis": valkey.url,
        "board": str(folder / "board"),
        "rows": ROWS,
        "steps": steps // processes,
        "seed": seed,
        "subject": subject,
        "timeout": timeout,
        "processes": processes,
    }
    striking = asyncio.create_task(_strike(valkey, strikes))
    try:
        return await asyncio.gather(*(_process({**job, "process": number}) for number in range(processes)))
    finally:
        striking.cancel()
        await asyncio.wait([striking])


async def _make_tables(url: str) -> None:
    async with rdskit.connect(url, tls="off") as db:
        for table in range(TABLES):
            await db.execute(f"create table t{table} (id int primary key, version bigint not null)")
            await db.execute(f"create view v{table} as select * from t{table}")
            await db.insert_many(f"t{table}", [{"id": row, "version": 0} for row in range(table, ROWS, TABLES)])


async def _process(job: dict[str, Any]) -> Result:
    command = [sys.executable, "-m", "tests.scale.cache.storm.worker", json.dumps(job)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, told = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, told.decode()[-3000:]
    return Result(**json.loads(out))


async def _strike(valkey: ValkeyServer, strikes: int) -> None:
    ways = (_evict, _restart, _evict, _hang, _restart_with_data)
    for number in range(strikes):
        await asyncio.sleep(PAUSE)
        # A strike that has begun ends: the server is never left dead or hung.
        await asyncio.shield(asyncio.create_task(asyncio.to_thread(ways[number % len(ways)], valkey)))


def _restart(valkey: ValkeyServer) -> None:
    valkey.kill()
    valkey.start()


def _restart_with_data(valkey: ValkeyServer) -> None:
    valkey.stop()  # saves what it has
    valkey.start()


def _hang(valkey: ValkeyServer) -> None:
    valkey.pause()
    time.sleep(HANG)
    valkey.resume()


def _evict(valkey: ValkeyServer) -> None:
    """Have it evict keys at random, for a moment."""
    valkey.command("config", "set", "maxmemory", "1")
    valkey.command("config", "set", "maxmemory", "0")
