"""Consumers that are killed and connections that are cut: the copy equals the source, or the stream stops loudly."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.errors import MustRefetch
from rdskit.stream import changes
from rdskit.stream.capture import status
from tests.chaos.cutting_relay import CuttingRelay
from tests.plugins.rounds import gate_and_soak
from tests.plugins.waiting import eventually
from tests.stream import follow
from tests.stream.sources import ENGINES, Captured, begun, captured, dropped, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROWS = 3000
pytestmark = pytest.mark.chaos


@pytest.fixture(params=ENGINES)
def source(request: pytest.FixtureRequest) -> Captured:
    return captured(request, request.param)


@pytest.fixture
async def db(source: Captured) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(source.url, tls="off") as opened:
        await opened.execute("create table items (id int primary key, n int)")
        await opened.execute("create table copied (id int primary key, n int)")
        await opened.execute("create table followed (number varchar(80))")
        await opened.insert_many("items", [{"id": number, "n": 0} for number in range(ROWS)])
        yield opened


async def _write(db: rdskit.Database, stop: asyncio.Event) -> None:
    chance = random.Random(7)
    number = ROWS
    while not stop.is_set():
        async with db.transaction() as tx:
            for _ in range(chance.randint(1, 3)):
                number += 1
                await tx.execute("insert into items values (:id, 1)", id=number)
                await tx.execute("update items set n = n + 1 where id = :id", id=chance.randrange(number))
                await tx.execute("delete from items where id = :id", id=chance.randrange(number))
    await db.execute("insert into items values (-1, 0)")


class _Answers(random.Random):
    """Chance by which a `CuttingRelay` cuts answers only: a replication connection asks little and never commits."""

    def random(self) -> float:
        return 0.75

    def getrandbits(self, k: int, /) -> int:
        return super().getrandbits(k)


@contextlib.asynccontextmanager
async def _process(url: str) -> AsyncIterator[None]:
    """Run a consumer, and kill it at the end of the block."""
    script = str(Path(follow.__file__))
    process = await asyncio.create_subprocess_exec(sys.executable, script, url)
    try:
        yield
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


async def _count(db: rdskit.Database) -> int:
    return int(await db.fetch_value("select count(*) from followed"))


async def _is_followed(db: rdskit.Database) -> bool:
    """Return whether the last row has arrived, and the snapshot is complete."""
    if not await db.fetch_value("select count(*) from copied where id = -1"):
        return False
    return not any(each.snapshot_runs for each in await status(db))


async def _assert_equal(db: rdskit.Database) -> None:
    source = await db.fetch_all("select id, n from items order by id")
    assert [tuple(row) for row in await db.fetch_all("select id, n from copied order by id")] == [
        tuple(row) for row in source
    ]


@pytest.mark.parametrize("kills", gate_and_soak(1, 5))
async def test_a_consumer_that_is_killed_goes_on(db: rdskit.Database, source: Captured, kills: int) -> None:
    stop = asyncio.Event()
    writer = asyncio.create_task(_write(db, stop))
    chance = random.Random(kills)
    for _ in range(kills):
        before = await _count(db) + chance.randint(5, 100)

        async def has_gone_on(least: int = before) -> bool:
            return await _count(db) >= least

        async with _process(source.url):
            await eventually(has_gone_on)
    stop.set()
    await writer
    async with _process(source.url):
        await eventually(lambda: _is_followed(db))
    await _assert_equal(db)
    repeated = await db.fetch_value("select count(*) - count(distinct number) from followed")
    assert repeated <= kills
    await dropped(db, "copy")


async def test_a_connection_that_is_cut_anywhere_is_continued(db: rdskit.Database, source: Captured) -> None:
    stop = asyncio.Event()
    relay = CuttingRelay(source.host, source.port, _Answers(3), 3000, 60_000)
    url = source.url.replace(f"{source.host}:{source.port}", "127.0.0.1:{}")
    async with relay.listening(), rdskit.connect(url.format(relay.port), tls="off") as cut:
        follower = asyncio.create_task(follow.follow(db, cut))
        writer = asyncio.create_task(_write(db, stop))

        async def has_cut() -> bool:
            assert not follower.done(), follower.exception()
            return relay.cuts >= 8

        await eventually(has_cut)
        stop.set()
        await writer
        relay.cutting = False
        await eventually(lambda: _is_followed(db))
        follower.cancel()
        await asyncio.wait([follower])
    await _assert_equal(db)
    assert await db.fetch_value("select count(*) - count(distinct number) from followed") == 0
    await dropped(db, "copy")


async def _followed_once(db: rdskit.Database) -> None:
    stream = changes(db, name="lost", tables=["items"])
    waiting = asyncio.create_task(take(stream, 1))
    await begun(db, "lost")
    await db.execute("insert into items values (-1, 0)")
    await waiting
    await stream.aclose()


@pytest.mark.parametrize("source", ["postgres"], indirect=True)
@pytest.mark.parametrize("recreated", [False, True])
async def test_a_slot_that_is_gone_or_recreated_is_a_loud_stop(db: rdskit.Database, *, recreated: bool) -> None:
    await _followed_once(db)

    async def drops() -> bool:
        with contextlib.suppress(rdskit.QueryError):  # the server has not noticed yet that the reader is gone
            await db.execute("select pg_drop_replication_slot('rdskit_lost')")
            return True
        return False

    await eventually(drops)
    await db.execute("insert into items values (-2, 0)")
    if recreated:
        await db.execute("select pg_create_logical_replication_slot('rdskit_lost', 'pgoutput')")
    with pytest.raises(MustRefetch, match="recreated" if recreated else "dropped"):
        await take(changes(db, name="lost", tables=["items"]), 1)
    await dropped(db, "lost")
    assert await db.fetch_all("select 1 from pg_replication_slots where slot_name like 'rdskit%'") == []
    assert await db.fetch_all("select 1 from pg_publication") == []


@pytest.mark.parametrize("source", ["mysql", "mariadb"], indirect=True)
async def test_a_purged_binary_log_is_a_loud_stop(db: rdskit.Database) -> None:
    await _followed_once(db)
    await db.execute("insert into items values (-2, 0)")
    await db.execute("flush binary logs")
    await db.execute("insert into items values (-3, 0)")
    last = (await db.fetch_all("show binary logs"))[-1][0]

    async def purged() -> bool:
        await db.execute(f"purge binary logs to '{last}'")  # kept while another reader is in it
        return len(await db.fetch_all("show binary logs")) == 1

    await eventually(purged)
    with pytest.raises(MustRefetch, match="lost"):
        await take(changes(db, name="lost", tables=["items"]), 1)
    await dropped(db, "lost")


async def test_a_checkpoint_beyond_the_server_is_a_loud_stop(db: rdskit.Database, source: Captured) -> None:
    await _followed_once(db)
    beyond = {
        "postgres": "wal:1@FFFF/0",
        "mysql": "gtids:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
        "mariadb": "gtid:7-7-7",
    }
    await db.execute("update rdskit_changes set position = :at, confirmed = :at", at=beyond[source.engine])
    with pytest.raises(MustRefetch, match=r"ends at|beyond"):
        await take(changes(db, name="lost", tables=["items"]), 1)
    await dropped(db, "lost")
