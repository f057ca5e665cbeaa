"""Buckets move while writers write: nothing lost, nothing doubled, whatever is killed."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Self

import pytest

import rdskit
from rdskit.errors import PlanError
from rdskit.plans import FileJournal, apply, undo
from rdskit.scale import Shards
from rdskit.scale.sharding.model import Slice
from rdskit.scale.sharding.move import plan_for, range_to, rebalancing
from tests.killing import Zygote, spread
from tests.scale.sharding.conftest import ON_POSTGRES, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.scale.sharding.conftest import Place

pytestmark = pytest.mark.timeout(120)
KEYS = 40
LEASE = 0.1
PACE = 0.01  # seconds between two steps of the load: the child that is killed needs the processor too


class Load:
    """Writers and readers that go on during a move, and know what must be there."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = False
        self.written = dict.fromkeys(range(KEYS), 0)
        self.scattered = 0

    async def __aenter__(self) -> Self:
        await fill(self._shards, KEYS)
        self.written = {number: number % 7 for number in range(KEYS)}
        self._tasks = [asyncio.create_task(each) for each in (self._write(1), self._write(2), self._scatter())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)

    async def _write(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._ended:
            key = chance.randrange(KEYS)
            await self._shards.on(key).execute("update users set n = n + 1 where id = :id", id=key)
            self.written[key] += 1
            other = chance.randrange(KEYS)
            before = self.written[other]
            seen = await self._shards.on(other).fetch_value("select n from users where id = :id", id=other)
            assert seen >= before, "a read showed less than was acknowledged before it began"
            await asyncio.sleep(PACE)

    async def _scatter(self) -> None:
        while not self._ended:
            assert await self._shards.everywhere().fetch_value("select count(*) from users") == KEYS
            self.scattered += 1
            await asyncio.sleep(PACE)

    async def check(self, place: Place) -> None:
        """Look at each shard itself: every row once, where the map says, with all that was acknowledged."""
        known = await self._shards.map()
        assert not known.closed
        found: dict[int, int] = {}
        for name in self._shards.config.shards:
            async with rdskit.connect(place.targets[name], tls="off", readers="off", min_size=0, max_size=1) as db:
                for row in await db.fetch_all("select id, bucket, n from users"):
                    assert row["id"] not in found, "a row is on two shards"
                    assert known.owners[row["bucket"]] == name
                    found[row["id"]] = row["n"]
                owned = {row[0] for row in await db.fetch_all("select bucket from rdskit_bucket where owned")}
                assert owned == {bucket for bucket, owner in enumerate(known.owners) if owner == name}
        assert found == self.written


@pytest.fixture
async def two(place: Place) -> AsyncIterator[Shards]:
    """Two shards, and a third that joins."""
    config = place.config("s1", "s2", "s3", lease=LEASE)
    async with Shards.connect(config, tls="off", readers="off", min_size=0, max_size=4) as shards:
        await shards.setup(["s1", "s2"])
        yield shards


async def test_a_shard_joins_under_load_and_leaves_again(two: Shards, place: Place, tmp_path: Path) -> None:
    load = Load(two)
    async with load:
        before = await two.map()
        assert before.counts() == {"s1": 2048, "s2": 2048}
        slices = rebalancing(two, before, 700)
        assert len(slices) <= 4
        plan = plan_for(two, slices)
        journal = FileJournal(tmp_path)
        job = await apply(plan, journal)
        assert max((await two.map()).counts().values()) - min((await two.map()).counts().values()) <= 1
        assert sum(step.result.get("users", 0) for step in job.steps.values() if step.result) > 0
        await undo(plan, journal, job.id)
        assert (await two.map()).owners == before.owners
    assert load.scattered > 0
    await load.check(place)


@ON_POSTGRES
async def test_the_map_that_a_plan_was_made_from_must_still_hold(two: Shards, tmp_path: Path) -> None:
    slices = range_to(two, await two.map(), 0, 20, "s3", 16)
    assert [each.name for each in slices] == ["0-15", "16-20"]
    plan = plan_for(two, slices)
    await apply(plan_for(two, slices[:1]), FileJournal(tmp_path))
    with pytest.raises(PlanError, match="0-15"):
        await apply(plan, FileJournal(tmp_path))


@ON_POSTGRES
async def test_rows_that_do_not_fit_stop_the_move_and_can_be_undone(two: Shards, place: Place, tmp_path: Path) -> None:
    await fill(two, KEYS)
    bucket = two.on(1).bucket
    async with rdskit.connect(place.targets["s2"], tls="off", readers="off", max_size=1) as db:
        await db.execute("insert into users (id, bucket) values (7777, :b)", b=bucket)
    journal = FileJournal(tmp_path)
    plan = plan_for(two, [Slice(bucket, bucket, "s2", "s3")])
    assert (await two.map()).owners[bucket] == "s2"
    with pytest.raises(PlanError, match="its key belongs to"):
        await apply(plan, journal, job="wrong")
    await undo(plan, journal, "wrong")
    known = await two.map()
    assert known.owners[bucket] == "s2"
    assert not known.closed
    await two.on(1).execute("update users set n = 9 where id = 1")


@ON_POSTGRES
async def test_killed_twice_under_load(two: Shards, place: Place, tmp_path: Path) -> None:
    await _storm(two, place, tmp_path, 1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [10, pytest.param(None, id="every line")])
async def test_killed_anywhere_under_load(two: Shards, place: Place, tmp_path: Path, kills: int | None) -> None:
    await _storm(two, place, tmp_path, kills)


async def _storm(two: Shards, place: Place, tmp_path: Path, kills: int | None) -> None:
    """Kill moves and their undoing at lines of the source, and count rows after the last one."""
    zygote = Zygote("tests.scale.sharding.movers", "scale/sharding/move.py", "plans")
    fixed: dict[str, Any] = {
        "config": place.config("s1", "s2", "s3", lease=LEASE),
        "slices": [[0, 1023, "s1", "s3"], [2048, 3071, "s2", "s3"]],
        "directory": str(tmp_path),
    }

    async def run(verb: str, job: str, kill_at: int | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(zygote.run, "run", kill_at=kill_at, verb=verb, job=job, **fixed)

    load = Load(two)
    try:
        async with load:
            forward = await run("apply", "probe")
            assert forward["answer"] == "done"
            backward = await run("undo", "probe")
            assert backward["answer"] == "undone"
            for number, at in enumerate(spread(forward, kills)):
                job = f"forward-{number}"
                assert await run("apply", job, at) == {"killed": True}
                ended = await run("resume", job)
                if "no beginning" in ended.get("error", ""):
                    continue
                assert ended.get("answer") == "done" or "nothing to resume" in ended["error"], (at, ended)
                assert (await run("undo", job))["answer"] == "undone"
            for number, at in enumerate(spread(backward, kills)):
                job = f"backward-{number}"
                assert (await run("apply", job))["answer"] == "done"
                assert await run("undo", job, at) == {"killed": True}
                ended = await run("undo", job)
                assert ended.get("answer") == "undone" or "is undone already" in ended["error"], (at, ended)
    finally:
        await asyncio.to_thread(zygote.close)
    await load.check(place)
