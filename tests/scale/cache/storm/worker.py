"""One process of a storm: many tasks read and write through a cache, and each read is compared with the board.

Usage: python -m tests.scale.cache.storm.worker '{"…": …}'        Prints its result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit
from tests.scale.cache.storm.board import Board
from tests.scale.cache.storm.subjects import subject

if TYPE_CHECKING:
    from tests.scale.cache.storm.subjects import Subject

TASKS = 16
WRITES, CANCELLATIONS = 0.008, 0.004  # shares of all steps


@dataclass
class Result:
    """What one process has seen."""

    steps: int = 0
    reads: int = 0
    writes: int = 0
    cancelled: int = 0
    stale: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class Worker:
    """The tasks of one process."""

    def __init__(self, job: dict[str, Any], board: Board, cache: Subject) -> None:
        self._board = board
        self._cache = cache
        self._rows: int = job["rows"]
        self._left: int = job["steps"]
        self._mine = [row for row in range(self._rows) if row // 4 % job["processes"] == job["process"]]
        self._locks = {row: asyncio.Lock() for row in self._mine}
        self._seed = f"{job['seed']}:{job['process']}"
        self.result = Result()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(TASKS):
                group.create_task(self._steps(random.Random(f"{self._seed}:{number}")))

    async def _steps(self, chance: random.Random) -> None:
        while self._left > 0:
            self._left -= 1
            self.result.steps += 1
            try:
                await self._step(chance)
            except rdskit.RdskitError as error:
                self.result.errors.append(f"{type(error).__name__}: {error}")

    async def _step(self, chance: random.Random) -> None:
        lot = chance.random()
        if lot < CANCELLATIONS:
            await self._cancelled(chance)
        elif lot < CANCELLATIONS + WRITES:
            await self._write(chance)
        else:
            await self._read(chance)

    async def _read(self, chance: random.Random) -> None:
        row = chance.randrange(self._rows)
        least = self._board.acknowledged(row)
        version = await self._cache.read(row, chance)
        self.result.reads += 1
        if not least <= version <= self._board.attempted(row):
            self.result.stale.append(f"row {row}: read {version} after {least} was acknowledged")

    async def _write(self, chance: random.Random) -> None:
        row = chance.choice(self._mine)
        async with self._locks[row]:
            version = self._board.begin(row)
            await self._cache.write(row, version, chance)
            self._board.acknowledge(row, version)
            self.result.writes += 1

    async def _cancelled(self, chance: random.Random) -> None:
        task = asyncio.create_task(self._write(chance) if chance.randrange(2) else self._read(chance))
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, rdskit.RdskitError):
                raise error
            self.result.errors.append(f"{type(error).__name__}: {error}")
        self.result.cancelled += task.cancelled()


async def work(job: dict[str, Any]) -> Result:
    options = {"readers": job["readers"]} if job["readers"] else {}
    with Board(Path(job["board"]), job["rows"]) as board:
        async with (
            rdskit.connect(job["url"], tls="off", **options) as db,
            subject(job["subject"], db, job["redis"], job["timeout"]) as cache,
        ):
            worker = Worker(job, board, cache)
            await worker.run()
            worker.result.counts = cache.counts()
            return worker.result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(work(json.loads(sys.argv[1]))))))
