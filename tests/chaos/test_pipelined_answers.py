"""Every answer carries the key of its caller, whatever happens to the connection that many callers share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.chaos.cutting_relay import CuttingRelay
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.lanes import lanes_of, pipelined
from tests.plugins.rounds import gate_and_soak
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

READ = "select cast(:key as bigint) as key, id, name from items where id = cast(:key as bigint) % 1000"
BACKENDS = "select pid from pg_stat_activity where application_name = 'rdskit' and pid <> pg_backend_pid()"
TASKS = 120
KILLS = 2  # of a whole server, by SIGKILL to one of its processes
EVERY = 0.1  # seconds between two backends that are ended
#: What a call may end with while connections are ended and servers crash: never with the answer of another.
ALLOWED = (rdskit.ConnectError, rdskit.FailoverError, rdskit.QueryTimeout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayPostgres]:
    """Start a server whose processes may be killed."""
    with throwaway_postgres(tmp_path_factory.mktemp("pipelined")) as running:
        keep_confidential(running.password)
        yield running


class Storm:
    """Tasks that read by key, and what disturbs them.

    Attributes:
        outcomes: how calls ended.
        wrong: answers that carried another key.
    """

    def __init__(self, db: rdskit.Database, answers: int, chance: random.Random) -> None:
        self._db = db
        self._answers = answers
        self._chance = chance
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[tuple[int, object]] = []

    @property
    def is_over(self) -> bool:
        return self.outcomes["answered"] >= self._answers

    async def rage(self) -> None:
        await asyncio.gather(*(self._reads(task) for task in range(TASKS)))

    async def _reads(self, task: int) -> None:
        key = task * 10**9
        while not self.is_over:
            key += 1
            whim = self._chance.random()
            if whim < 0.01:
                await self._cancelled(key)
            else:
                await self._read(key, 0.005 if whim < 0.02 else 30.0)

    async def _cancelled(self, key: int) -> None:
        reading = asyncio.ensure_future(self._read(key, 30.0))
        for _ in range(self._chance.randint(1, 4)):
            await asyncio.sleep(0)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
            return
        self.outcomes["cancelled"] += 1

    async def _read(self, key: int, timeout: float) -> None:
        try:
            row = await self._db.fetch_one(READ, key=key, timeout=timeout)
        except ALLOWED as error:
            self.outcomes[type(error).__name__] += 1
            await asyncio.sleep(0.01)  # as an application does, not to ask a crashed server in a tight loop
            return
        if row is None or (row.key, row.id, row.name) != (key, key % 1000, f"item {key % 1000}"):
            self.wrong.append((key, row))
        self.outcomes["answered"] += 1


async def _ends_backends(watcher: rdskit.Database, storm: Storm, chance: random.Random) -> None:
    """End one backend after the other; now and then kill one, over which the server ends all and recovers."""
    kills_at = [storm._answers * (number + 1) // (KILLS + 1) for number in range(KILLS)]
    while not storm.is_over:
        with contextlib.suppress(rdskit.RdskitError):
            pids = [row.pid for row in await watcher.fetch_all(BACKENDS)]
            if pids and kills_at and storm.outcomes["answered"] >= kills_at[0]:
                kills_at.pop(0)
                os.kill(chance.choice(pids), signal.SIGKILL)
            elif pids:
                await watcher.fetch_value("select pg_terminate_backend(cast(:pid as int))", pid=chance.choice(pids))
        await asyncio.sleep(EVERY)


def _url(server: ThrowawayPostgres, port: int | None = None) -> str:
    address = f"127.0.0.1:{port}" if port else f"{server.host}:{server.port}"
    return f"postgresql://{server.superuser}:{server.password}@{address}/postgres"


async def _filled(url: str) -> None:
    async with rdskit.connect(url, tls="off", pipeline="auto") as db:
        await db.execute("create table if not exists items (id bigint primary key, name text)")
        fill = "insert into items select n, 'item ' || n from generate_series(0, 999) n on conflict do nothing"
        await db.execute(fill)


@pytest.mark.parametrize("answers", gate_and_soak(200_000, 10_000_000))
async def test_every_answer_carries_its_callers_key(server: ThrowawayPostgres, answers: int) -> None:
    chance = random.Random(22)
    await _filled(_url(server))
    async with (
        rdskit.connect(_url(server), tls="off", pipeline="auto", application_name="watcher") as watcher,
        rdskit.connect(_url(server), tls="off", pipeline="auto", max_waiting=TASKS) as db,
    ):
        await pipelined(db, READ, key=1)
        storm = Storm(db, answers, chance)
        ends = asyncio.create_task(_ends_backends(watcher, storm, chance))
        await storm.rage()
        await ends
        assert storm.wrong == []
        lanes = lanes_of(db)
        assert lanes.stats().answered > 0, (storm.outcomes, lanes.stats())
        assert lanes.stats().closed > 0
        assert storm.outcomes["cancelled"] > 0

        async def at_rest() -> bool:
            return lanes.stats().in_flight == 0 and db.stats().writer.in_use == 0

        await eventually(at_rest)


@pytest.mark.parametrize("answers", gate_and_soak(20_000, 1_000_000))
async def test_bytes_that_are_cut_are_no_answer(server: ThrowawayPostgres, answers: int) -> None:
    chance = random.Random(23)
    await _filled(_url(server))
    relay = CuttingRelay(server.host, server.port, chance, 5_000, 60_000)
    relay.cutting = False
    async with (
        relay.listening(),
        rdskit.connect(_url(server, relay.port), tls="off", pipeline="auto", max_waiting=TASKS) as db,
    ):
        await pipelined(db, READ, key=1)
        relay.cutting = True
        lanes_of(db).retire()
        # Pooled connections of before are not cut: where these took all reads of a storm, there is another one.
        for _ in range(10):
            lanes_of(db).hot = True
            storm = Storm(db, answers, chance)
            await storm.rage()
            assert storm.wrong == []
            if relay.cuts:
                break
        assert relay.cuts > 0
        relay.cutting = False
