"""Reads of sessions on a local Aurora PostgreSQL cluster: what is stale, and what its readers answer.

Some reads look, at once, for what their session has written; the others are of sessions that have written nothing.
First with readers that keep up, then with late ones.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
import rdskit
from failover_cluster import CLUSTER, DATABASE, INSTANCES, USER, LocalCluster
from rdskit.local import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIRS = 2000
TASKS = 8
LAG = 0.5  # seconds by which the readers are late
READ = "select count(*) from pair where key = :key"
SERVED_GATE = 0.8


@dataclass(frozen=True, slots=True)
class Reads:
    """What became of some reads.

    Attributes:
        stale: those that did not find what their session had written.
        by_readers: those that a reader answered.
    """

    name: str
    reads: int
    stale: int
    by_readers: int
    seconds: float

    @property
    def on_readers(self) -> float:
        """The share that readers answered."""
        return self.by_readers / self.reads


def _on_readers(db: rdskit.Database) -> int:
    return sum(db.stats().reads_by_reader.values())


async def read_in_session(db: rdskit.Database, key: int, *, writes: bool) -> bool:
    """Whether a session finds a key, which it has written itself if ``writes``."""
    async with db.session() as session:
        if writes:
            await session.execute("insert into pair values (:key)", key=key)
        return bool(await session.fetch_value(READ, key=key))


async def measure(db: rdskit.Database, name: str, keys: range, *, writes: bool) -> Reads:
    """Read once for each key, as fast as the tasks can."""
    left: Iterator[int] = iter(keys)
    missed, before, started = 0, _on_readers(db), time.perf_counter()

    async def work() -> None:
        nonlocal missed
        for key in left:
            missed += not await read_in_session(db, key, writes=writes)

    await asyncio.gather(*(work() for _ in range(TASKS)))
    served = _on_readers(db) - before
    return Reads(name, len(keys), missed if writes else 0, served, time.perf_counter() - started)


async def readers_answer(db: rdskit.Database) -> None:
    """Wait until every reader has answered a read."""
    async with asyncio.timeout(60):
        while not all(db.stats().reads_by_reader.values()):
            await asyncio.gather(*(read_in_session(db, 0, writes=False) for _ in range(TASKS)))


async def readers_are_late(db: rdskit.Database) -> None:
    """Wait until a reader misses what was just written."""
    key = -1
    async with asyncio.timeout(60):
        while True:
            await read_in_session(db, key, writes=True)
            before = _on_readers(db)
            if not await read_in_session(db, key, writes=False) and _on_readers(db) > before:
                return
            key -= 1


async def measure_all(cluster: LocalCluster, data: Path, pairs: int) -> list[Reads]:
    """Both kinds of reads, with readers that keep up and with late ones."""
    async with rdskit.connect(f"rds://{USER}:{cluster.password}@{CLUSTER}/{DATABASE}", timeout=60) as db:
        await db.execute("create table pair (key bigint primary key)")
        await readers_answer(db)
        near = [
            await measure(db, "after a write, readers keep up", range(1, pairs + 1), writes=True),
            await measure(db, "unrelated, readers keep up", range(1, pairs + 1), writes=False),
        ]
        writer = (await db.topology()).writer
        for name in INSTANCES:
            if writer is None or name != writer.identifier:
                await asyncio.to_thread(functools.partial(faults.inject, name, faults.lag(LAG), data=data))
        await readers_are_late(db)
        late = f"readers {LAG:g} s late"
        return [
            *near,
            await measure(db, f"after a write, {late}", range(pairs + 1, 2 * pairs + 1), writes=True),
            await measure(db, f"unrelated, {late}", range(pairs + 1, 2 * pairs + 1), writes=False),
        ]


def missed_gates(reads: list[Reads]) -> list[str]:
    """Return the claims that did not hold."""
    near, unrelated, _, unrelated_late = reads
    claims = {
        "no stale read": not any(each.stale for each in reads),
        f"{SERVED_GATE:.0%} on readers that keep up": near.on_readers >= SERVED_GATE,
        f"{SERVED_GATE:.0%} of unrelated reads on readers": min(unrelated.on_readers, unrelated_late.on_readers)
        >= SERVED_GATE,
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> int:
    """Measure, print, and say whether the gates hold."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="reads of each kind (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LocalCluster.running(Path(folder)) as cluster:
        reads = asyncio.run(measure_all(cluster, Path(folder), options.pairs))
    lines = [
        (each.name, f"{each.reads:,}", f"{each.stale}", f"{each.on_readers:.1%}", f"{each.reads / each.seconds:,.0f}")
        for each in reads
    ]
    harness.print_table(("reads", "reads", "stale", "on readers", "reads/s"), lines)
    missed = missed_gates(reads)
    print(f"gates missed: {', '.join(missed) or 'none'}")
    harness.write_json(options.json, {"missed": missed}, reads)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
