"""A planned switchover under load: the application sees no error, and receives an event for the pause."""

from __future__ import annotations

import asyncio
import functools
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

import rdskit
from rdskit.events import Event, FailoverCompleted, FailoverStarted
from tests.chaos.clusters import aurora, multi_az_cluster
from tests.plugins.rounds import soak
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from rdskit.client.transactions import Transaction
    from tests.plugins.local_rds import LocalRds

WRITERS = 4
READERS = 2
PATIENCE = 60.0


class Estate(NamedTuple):
    """A database with a standby, and what its owner can do to it."""

    target: str
    credentials: str | None
    switches: tuple[Callable[[], None], ...]


INSTANCES = ("postgres", "mysql", "mariadb")
CLUSTERS = {
    "aurora-postgresql": lambda rds, name: aurora(rds, name, readers=1),
    "aurora-mysql": lambda rds, name: aurora(rds, name, readers=1, engine="aurora-mysql"),
    "cluster-postgres": lambda rds, name: multi_az_cluster(rds, name, "postgres"),
    "cluster-mysql": lambda rds, name: multi_az_cluster(rds, name, "mysql"),
}


#: In the gate each kind of deployment once, and each protocol.
GATE = ("postgres", "aurora-mysql", "cluster-postgres")


@pytest.fixture(scope="module", params=[*GATE, *soak(*sorted({*INSTANCES, *CLUSTERS} - {*GATE}))])
def estate(local_rds: LocalRds, request: pytest.FixtureRequest) -> Iterator[Estate]:
    name = f"planned-{request.param}"
    if request.param in CLUSTERS:
        with CLUSTERS[request.param](local_rds, name) as cluster:
            yield Estate(cluster.target, None, (cluster.fail_over,))
        return

    def fail_over() -> None:
        local_rds.fail_over(name)

    def reboot() -> None:
        local_rds.rds.reboot_db_instance(DBInstanceIdentifier=name)
        local_rds.await_available(name)

    def scale() -> None:
        local_rds.rds.modify_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.r6g.large", ApplyImmediately=True
        )
        local_rds.await_available(name)

    local_rds.create(name, engine=request.param, MultiAZ=True)
    credentials = f"secretsmanager:{local_rds.secret(name)}"
    yield Estate(f"rds://{name}", credentials, (fail_over, reboot, scale))
    local_rds.delete(name)


class Application:
    """Writes through ``run``, reads outside of it, and notes whatever is raised."""

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self._keys = itertools.count(1)
        self._over = asyncio.Event()
        self.placed: list[int] = []
        self.reads = 0
        self.raised: list[BaseException] = []
        self.missed: list[int] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        work = [*(self._write() for _ in range(WRITERS)), *(self._read() for _ in range(READERS))]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            yield
        finally:
            self._over.set()
            self.raised += [each for each in await asyncio.gather(*tasks, return_exceptions=True) if each is not None]

    async def has_done_more(self, than: tuple[int, int] = (0, 0)) -> bool:
        """Return whether more was written and read since, or something was raised."""
        return bool(self.raised) or (len(self.placed) > than[0] + 50 and self.reads > than[1] + 50)

    async def more(self) -> None:
        """Wait until the application has done some more."""
        seen = len(self.placed), self.reads
        await eventually(lambda: self.has_done_more(seen), PATIENCE)

    async def _write(self) -> None:
        while not self._over.is_set():
            self.placed.append(await self._db.run(place, args=(next(self._keys),)))

    async def _read(self) -> None:
        while not self._over.is_set():
            if self.placed:
                key = self.placed[-1]
                if await self._db.fetch_value("select count(*) from placed where number = :key", key=key) != 1:
                    self.missed.append(key)
            self.reads += 1
            await asyncio.sleep(0)


async def place(tx: Transaction, key: int) -> int:
    await tx.execute("insert into placed values (:key)", key=key)
    return key


class Switch:
    """The events of a switchover, and a write outside of ``run`` that begins in the middle of it."""

    def __init__(self) -> None:
        self.db: rdskit.Database | None = None
        self.started: list[FailoverStarted] = []
        self.completed: list[FailoverCompleted] = []
        self.held: list[asyncio.Task[rdskit.Result]] = []

    def hear(self, event: Event) -> None:
        if isinstance(event, FailoverStarted) and self.db is not None:
            self.started.append(event)
            write = self.db.execute("insert into held values (:number)", number=len(self.started))
            self.held.append(asyncio.ensure_future(write))
        elif isinstance(event, FailoverCompleted):
            self.completed.append(event)

    async def is_over(self, before: int) -> bool:
        return len(self.completed) > before and len(self.completed) == len(self.started)


@asynccontextmanager
async def connected(estate: Estate, switch: Switch) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(
        estate.target, credentials=estate.credentials, observers=[switch.hear], timeout=PATIENCE
    ) as db:
        await db.setup()
        for table in ("placed", "held"):
            await db.execute(f"drop table if exists {table}")
            await db.execute(f"create table {table} (number bigint primary key)")
        switch.db = db
        yield db


async def numbers(db: rdskit.Database, table: str) -> list[int]:
    async with db.transaction(read_only=True) as tx:
        return [row.number for row in await tx.fetch_all(f"select number from {table} order by number")]


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_a_planned_switch_under_load_raises_nothing_and_is_reported(estate: Estate) -> None:
    switch = Switch()
    async with connected(estate, switch) as db:
        application = Application(db)
        async with application.running():
            await application.more()
            for begin in estate.switches:
                before = len(switch.completed)
                await asyncio.to_thread(begin)
                await eventually(functools.partial(switch.is_over, before), PATIENCE)
                await application.more()
        assert application.raised == []
        assert application.missed == []
        assert await numbers(db, "placed") == sorted(application.placed), "each was acknowledged, and placed once"

        held = await asyncio.gather(*switch.held)
        assert held == [1] * len(switch.started), "a write that was begun during the switch waited for it"
        assert await numbers(db, "held") == list(range(1, len(held) + 1))
        assert len(switch.completed) >= len(estate.switches)
        assert all(event.seconds > 0 and event.writer for event in switch.completed)
        print("pauses:", [f"{event.seconds * 1000:.0f} ms" for event in switch.completed])  # noqa: T201 - the figures
