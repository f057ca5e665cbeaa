"""Pipelined reads of a database: whose answer goes where, what holds up others, and what ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

import rdskit
from rdskit.client.pool.lanes.lane import Lane
from rdskit.client.pool.lanes.policy import Standings
from rdskit.events import QueryFinished
from tests.plugins.lanes import lanes_of, pipelined
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.postgres import TestDatabase

READ = "select id, name from items where id = :id"
COUNT = "select count(*) from generate_series(1, cast(:n as bigint))"
MANY = "select n from generate_series(1, cast(:n as int)) n"


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", pipeline="auto", max_size=4, max_waiting=1000) as opened:
        await opened.execute(
            "create table items as select n as id, 'item ' || n as name from generate_series(1, 100) n"
        )
        await opened.execute("alter table items add primary key (id)")
        yield opened


async def _checked(db: rdskit.Database, number: int) -> None:
    row = await db.fetch_one(READ, id=number)
    assert row is not None
    assert tuple(row) == (number, f"item {number}")


async def _many(db: rdskit.Database, tasks: int, reads: int = 5) -> None:
    async def several(task: int) -> None:
        for number in range(reads):
            await _checked(db, (task * 7 + number) % 100 + 1)

    await asyncio.gather(*(several(task) for task in range(tasks)))


async def test_many_tasks_share_few_connections(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    await _many(db, 300)
    writer = db.stats().writer
    assert writer.lanes is not None
    assert writer.lanes.answered > 0  # how many depends on the machine: bench/pipelining.py counts
    assert 1 <= writer.lanes.connections <= 4
    assert writer.lanes.in_flight == 0
    assert writer.lanes.statements >= 1
    sessions = await db.fetch_value("select count(*) from pg_stat_activity where datname = current_database()")
    assert sessions <= 4 + 4, "the pool's and the pipelined ones"


async def test_a_lone_task_uses_the_pool(db: rdskit.Database) -> None:
    for number in range(1, 50):
        await _checked(db, number)
    lanes = db.stats().writer.lanes
    assert lanes is not None
    assert (lanes.connections, lanes.answered) == (0, 0)


async def test_off_is_the_default_and_means_that_there_are_none(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        assert db.stats().writer.lanes is None
    with pytest.raises(rdskit.ConfigError, match="pipeline='on' is not known; choose one of auto, off"):
        await rdskit.connect(database.url, tls="off", pipeline="on")  # type: ignore[arg-type]  # the point of it


async def test_a_proxy_gets_none(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", pipeline="auto", pinning="avoid") as db:
        assert db.stats().writer.lanes is None


async def test_what_changes_something_is_never_pipelined(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    lanes = lanes_of(db)
    before = lanes.stats().answered
    changing = "update items set name = name where id = :id returning id"
    locking = "select id from items where id = :id for update"
    for sql in (changing, locking, "select set_config('app.x', 'y', false) as v, cast(:id as int)"):
        for _ in range(8):
            lanes.hot = True
            await db.fetch_all(sql, id=1)
    async with db.transaction() as tx:
        for _ in range(8):
            await tx.fetch_all(READ, id=1)
    assert lanes.stats().answered == before


async def test_an_error_is_that_of_the_pool_and_disturbs_no_other_read(db: rdskit.Database) -> None:
    dividing = "select cast(:n as int) / cast(:by as int) as v"
    await pipelined(db, dividing, n=1, by=1)
    async with rdskit.connect(db_url(db), tls="off", pipeline="off") as pooled:
        for sql, params in (
            (dividing, {"n": 1, "by": 0}),
            (dividing, {"n": "x", "by": 1}),
            (dividing, {"n": 2.5, "by": 1}),
        ):
            lanes_of(db).hot = True
            with pytest.raises(rdskit.RdskitError) as mine:
                await asyncio.gather(db.fetch_all(sql, params), _many(db, 20, 1))
            with pytest.raises(rdskit.RdskitError) as theirs:
                await pooled.fetch_all(sql, params)
            assert (type(mine.value), str(mine.value)) == (type(theirs.value), str(theirs.value))


def db_url(db: rdskit.Database) -> str:
    access = db.context.shared.cluster.access
    endpoint = db.context.shared.cluster.writer.endpoint
    login = access.credentials._login  # type: ignore[attr-defined]  # the throw-away server's own
    return f"postgresql://{login.user}:{login.password}@{endpoint}/{access.database}"


@pytest.mark.soak  # how long the slow read takes depends on the machine
async def test_a_slow_read_holds_up_no_other(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    await pipelined(db, COUNT, n=1)
    lanes = lanes_of(db)
    lanes.hot = True
    await _many(db, 50)  # so that the spare connection is there
    lanes.hot = True
    slow = asyncio.create_task(db.fetch_value(COUNT, n=60_000_000))
    await asyncio.sleep(0)
    for _ in range(20):
        await _many(db, 50)
    assert not slow.done(), "all others were answered while it runs"
    assert lanes.stats().late >= 1
    assert not lanes.standings.of(text_of(db, COUNT)).earned
    slow.cancel()
    await asyncio.wait([slow])


def text_of(db: rdskit.Database, sql: str) -> str:
    return db.context.shared.statements[sql].text


async def test_a_large_result_goes_to_the_pool(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    await pipelined(db, MANY, n=1)
    lanes = lanes_of(db)
    lanes.hot = True
    rows, _ = await asyncio.gather(db.fetch_all(MANY, n=100_000), _many(db, 50))
    assert [row.n for row in rows] == list(range(1, 100_001))
    assert not lanes.standings.of(text_of(db, MANY)).earned


async def test_a_deadline_ends_its_own_call_only(db: rdskit.Database) -> None:
    await pipelined(db, COUNT, n=1)
    await pipelined(db, READ, id=1)
    lanes_of(db).hot = True
    slow = asyncio.create_task(db.fetch_value(COUNT, n=10**11, timeout=0.3))
    await asyncio.sleep(0)
    await _many(db, 100)
    with pytest.raises(rdskit.QueryTimeout, match="did not answer before the deadline"):
        await slow
    await _many(db, 100)

    async def nothing_runs() -> bool:
        running = "select count(*) from pg_stat_activity where state = 'active' and query like '%bigint%' and pid <> "
        return bool(await db.fetch_value(f"{running} pg_backend_pid()") == 0)

    await eventually(nothing_runs)


async def test_cancelled_reads_disturb_no_other(db: rdskit.Database) -> None:
    await pipelined(db, READ, id=1)
    lanes_of(db).hot = True
    tasks = [asyncio.create_task(_checked(db, number % 100 + 1)) for number in range(500)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in ended[1::2])

    async def at_rest() -> bool:
        return lanes_of(db).stats().in_flight == 0

    await eventually(at_rest)


async def test_a_lost_connection_costs_no_read(db: rdskit.Database) -> None:
    pid = "select pg_backend_pid() as pid, application_name from pg_stat_activity where pid = pg_backend_pid()"
    await pipelined(db, READ, id=1)
    (row,) = await pipelined(db, pid)
    await asyncio.gather(
        _many(db, 200, 20), db.fetch_value("select pg_terminate_backend(cast(:pid as int))", pid=row.pid)
    )
    await _many(db, 100)


async def test_a_changed_table_is_read_as_it_is(db: rdskit.Database) -> None:
    everything = "select * from items where id = :id"
    (row,) = await pipelined(db, everything, id=7)
    assert tuple(row) == (7, "item 7")
    await db.execute("alter table items add price int default 5")
    for _ in range(10):
        lanes_of(db).hot = True
        assert [tuple(row) for row in await db.fetch_all(everything, id=7)] == [(7, "item 7", 5)]


async def test_an_observer_hears_of_each_read(database: TestDatabase) -> None:
    heard: list[object] = []
    async with rdskit.connect(database.url, tls="off", pipeline="auto", observers=[heard.append]) as db:
        await pipelined(db, "select cast(:n as int) as n", n=1)
        heard.clear()
        lanes_of(db).hot = True
        assert await db.fetch_value("select cast(:n as int) as n", n=5) == 5
        finished = [event for event in heard if isinstance(event, QueryFinished)]
        assert [event.error for event in finished] == [None]


async def test_closing_leaves_no_connection(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as watcher:
        async with rdskit.connect(database.url, tls="off", pipeline="auto", application_name="lanes") as db:
            await pipelined(db, "select cast(:n as int) as n", n=1)
        sessions = "select count(*) from pg_stat_activity where application_name = 'lanes'"

        async def gone() -> bool:
            return bool(await watcher.fetch_value(sessions) == 0)

        await eventually(gone)


# -- which statements are pipelined ----------------------------------------------------------------------------------


def test_a_statement_earns_it_by_a_few_quick_runs() -> None:
    standings = Standings()
    for _ in range(2):
        standings.ran("quick", 0.001, 1)
        assert standings.earned() == []
    standings.ran("quick", 0.001, 1)
    assert standings.earned() == ["quick"]


@pytest.mark.parametrize(("seconds", "rows"), [(0.1, 1), (0.001, 5000)])
def test_a_slow_or_large_statement_does_not(seconds: float, rows: int) -> None:
    standings = Standings()
    standings.ran("quick", 0.001, 1)
    for _ in range(50):
        standings.ran("heavy", seconds, rows)
    assert standings.earned() == []


def test_a_demoted_statement_must_do_more_each_time() -> None:
    standings = Standings()
    runs = []
    for _ in range(7):
        count = 0
        while not standings.of("read").earned:
            standings.ran("read", 0.001, 1)
            count += 1
        runs.append(count)
        standings.of("read").demote()
    assert runs == [3, 12, 48, 192, 768, 1024, 1024]


def test_a_barred_statement_stays_with_the_pool() -> None:
    standings = Standings()
    standings.of("read").bar()
    for _ in range(20):
        standings.ran("read", 0.001, 1)
    assert standings.earned() == []


def test_an_idle_connection_becomes_no_younger_by_being_looked_at() -> None:
    lane = Lane(cast("Any", SimpleNamespace(answered=0, in_flight=0, round_trip=0.001)), 0.0, 1800.0)
    lane.note(10.0, loop_lagged=False)
    assert lane.is_unused(30.0, 30.0)
    lane.pipeline.answered = 1
    lane.note(31.0, loop_lagged=False)
    assert not lane.is_unused(60.0, 30.0)
    assert lane.is_unused(61.0, 30.0)


def test_the_oldest_read_is_late_only_while_nothing_is_answered_and_the_loop_had_time() -> None:
    pipeline = SimpleNamespace(answered=0, in_flight=2, round_trip=0.001)
    lane = Lane(cast("Any", pipeline), 0.0, 1800.0)
    lane.note(1.0, loop_lagged=False)
    lane.note(2.0, loop_lagged=True)
    assert lane.waited(2.010) == pytest.approx(0.006), "four round trips are the network's"
    pipeline.answered = 1
    lane.note(3.0, loop_lagged=False)
    assert lane.waited(3.0) < 0
