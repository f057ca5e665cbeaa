"""A client on an Aurora cluster whose writer dies, hangs or vanishes: it finds the next one by asking the servers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.events import FailoverCompleted, FailoverStarted
from rdskit.local import faults
from tests.chaos.clusters import Cluster, aurora
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.local_rds import LocalRds

pytestmark = pytest.mark.chaos

WRITERS = 5
PATIENCE = 60.0
KEYS = itertools.count()
FAULTS = {"kill": faults.kill(), "hang": faults.hang(), "blackhole": faults.blackhole()}


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds) -> Iterator[Cluster]:
    with aurora(local_rds, "followed", readers=2) as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: Cluster) -> AsyncIterator[rdskit.Database]:
    await eventually(cluster.has_heir, PATIENCE)
    async with rdskit.connect(cluster.target, timeout=PATIENCE) as db:
        await db.execute("create table if not exists kept (key bigint)")
        yield db


class Writers:
    """Autocommit writes of unique keys, until they are stopped.

    Attributes:
        acknowledged: the keys for which there was an answer.
        unknown: errors that said that the outcome is unknown.
    """

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self.acknowledged: list[int] = []
        self.unknown = 0
        self.over = False

    async def run(self) -> None:
        while not self.over:
            key = next(KEYS)
            try:
                await self._db.execute("insert into kept values (:key)", key=key)
            except rdskit.OutcomeUnknown:
                self.unknown += 1
            else:
                self.acknowledged.append(key)
            await asyncio.sleep(0.01)

    async def wrote_more_than(self, count: int) -> bool:
        return len(self.acknowledged) > count


@pytest.mark.parametrize("kind", FAULTS)
async def test_the_next_writer_is_found_and_nothing_acknowledged_is_lost(
    cluster: Cluster, db: rdskit.Database, kind: str
) -> None:
    events: list[object] = []
    async with rdskit.connect(cluster.target, observers=[events.append], timeout=PATIENCE) as own:
        before = await asyncio.to_thread(lambda: cluster.writer)
        writers = Writers(own)
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(writers.run())
            try:
                await eventually(lambda: writers.wrote_more_than(20), PATIENCE)
                await cluster.inject(before, FAULTS[kind])
                await eventually(lambda: moved(own, before), PATIENCE)
                count = len(writers.acknowledged) + 5 * WRITERS
                await eventually(lambda: writers.wrote_more_than(count), PATIENCE)
            finally:
                writers.over = True
        assert writers.unknown <= WRITERS, "only what was under way"
    await cluster.clear(before)
    async with db.transaction(read_only=True) as tx:  # runs on the writer
        present = [row.key for row in await tx.fetch_all("select key from kept")]
    assert set(writers.acknowledged) <= set(present)
    assert len(present) == len(set(present))
    assert any(isinstance(event, FailoverStarted) for event in events)
    assert any(isinstance(event, FailoverCompleted) for event in events)


async def moved(db: rdskit.Database, before: str) -> bool:
    """Return whether the client has another writer, by the servers' own word."""
    writer = (await db.topology()).writer
    return writer is not None and writer.identifier != before


async def test_a_reader_that_is_lost_costs_reads_nothing(cluster: Cluster, db: rdskit.Database) -> None:
    reader = next(iter((await db.topology()).readers)).identifier
    answers, over = [], False

    async def read() -> None:
        while not over:
            answers.append(await db.fetch_value("select 1"))

    async def answered(count: int) -> bool:
        return len(answers) > count

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(read())
        try:
            await eventually(lambda: answered(20), PATIENCE)
            await cluster.inject(reader, faults.kill())
            count = len(answers)
            await eventually(lambda: answered(count + 200), PATIENCE)
        finally:
            over = True
    assert set(answers) == {1}
