"""What every engine's change stream does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.errors import ConfigError
from rdskit.reports import Severity
from rdskit.stream import UNCHANGED, changes
from rdskit.stream.capture import Kind, check, drop, status
from tests.plugins.waiting import eventually
from tests.stream.sources import ENGINES, Captured, apply, begun, captured, dropped, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.stream import Change


@pytest.fixture(params=ENGINES)
def source(request: pytest.FixtureRequest) -> Captured:
    return captured(request, request.param)


@pytest.fixture
async def db(source: Captured) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(source.url, tls="off") as opened:
        yield opened
        for each in await status(opened):
            await dropped(opened, each.name)


async def test_inserts_updates_and_deletes_arrive_with_their_rows(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key, name varchar(50), n int)")
    await db.execute("create table others (id int primary key)")
    stream = changes(db, name="basic", tables=["items"])
    waiting = asyncio.create_task(take(stream, 5))
    await begun(db, "basic")
    before = datetime.now(UTC) - timedelta(seconds=2)
    async with db.transaction() as tx:
        await tx.execute("insert into others values (1)")
        await tx.execute("insert into items values (1, 'one', 10), (2, 'two', null)")
    await db.execute("update items set name = 'uno' where id = 1")
    await db.execute("update items set id = 3 where id = 2")
    await db.execute("delete from items where id = 3")
    got = await waiting
    await stream.aclose()
    assert [change.kind for change in got] == [Kind.INSERT, Kind.INSERT, Kind.UPDATE, Kind.UPDATE, Kind.DELETE]
    assert {change.table for change in got} == {"items"}
    assert [change.is_last for change in got] == [False, True, True, True, True]
    assert got[0].transaction == got[1].transaction != got[2].transaction
    assert (got[0].new.name, got[0].new["n"], got[1].new.n, got[0].old) == ("one", 10, None, None)
    assert dict(got[2].new.items()) == {"id": 1, "name": "uno", "n": 10}
    assert got[3].old.id == 2
    assert got[3].new.id == 3
    assert got[4].old.id == 3
    assert got[4].new is None
    assert all(change.committed_at is not None and change.committed_at >= before for change in got)
    assert got[4].position.covers(got[0].position)


async def test_a_snapshot_comes_first_and_the_rest_follows(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key, n int)")
    await db.insert_many("items", [{"id": n, "n": n} for n in range(5000)])
    copy: dict[int, tuple[int, ...]] = {}

    async def write() -> None:
        for n in range(5000, 5150):
            await db.execute("insert into items values (:id, 1)", id=n)
            await db.execute("update items set n = n + 1000000 where id = :id", id=(n * 37) % 5000)
            await db.execute("delete from items where id = :id", id=(n * 41) % 5000)
        await db.execute("insert into items values (-1, 0)")

    reads = 0

    async def follow() -> None:
        nonlocal reads
        async with changes(db, name="copy", tables=["items"], start="snapshot", heartbeat=0.2) as stream:
            async for change in stream:
                apply(copy, change)
                reads += change.kind is Kind.READ
                if change.is_last:
                    await change.done()

    async def is_complete() -> bool:
        assert not following.done(), following.exception()
        return -1 in copy and not any(each.snapshot_runs for each in await status(db))

    following = asyncio.create_task(follow())
    await begun(db, "copy")
    await write()
    await eventually(is_complete)
    following.cancel()
    await asyncio.wait([following])
    assert reads > 4000
    assert copy == {row[0]: tuple(row) for row in await db.fetch_all("select * from items")}


async def test_a_stream_goes_on_behind_the_last_checkpoint(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key)")
    stream = changes(db, name="again", tables=["items"])
    waiting = asyncio.create_task(take(stream, 2, done=False))
    await begun(db, "again")
    async with db.transaction() as tx:
        await tx.execute("insert into items values (1)")
        await tx.execute("insert into items values (2)")
    await db.execute("insert into items values (3)")
    first = await waiting
    await first[0].done()  # in the middle of a transaction: it comes again as a whole
    await stream.aclose()
    stream = changes(db, name="again", tables=["items"])
    second = await take(stream, 3)
    await stream.aclose()
    assert [change.new.id for change in second] == [1, 2, 3]
    await db.execute("insert into items values (4)")
    stream = changes(db, name="again", tables=["items"])
    third = await take(stream, 1)
    await stream.aclose()
    assert [change.new.id for change in third] == [4]


async def _streamed(db: rdskit.Database, count: int, *statements: str, table: str = "items") -> list[Change]:
    """Run statements under a new stream, and return the changes."""
    stream = changes(db, name="streamed", tables=[table])
    waiting = asyncio.create_task(take(stream, count))
    await begun(db, "streamed")
    for statement in statements:
        await db.execute(statement)
    found = await waiting
    await stream.aclose()
    return found


async def test_rows_are_read_as_the_table_was_when_they_were_written(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key, n int)")
    got = await _streamed(
        db,
        4,
        "insert into items values (1, 2)",
        "alter table items add column name varchar(20) default 'x'",
        "insert into items values (2, 3, 'two')",
        "alter table items drop column n",
        "insert into items values (3, 'three')",
        "alter table items add column n varchar(20)",
        "insert into items values (4, 'four', 'text')",
    )
    rows = [dict(change.new.items()) for change in got if change.new is not None]
    assert rows == [
        {"id": 1, "n": 2},
        {"id": 2, "n": 3, "name": "two"},
        {"id": 3, "name": "three"},
        {"id": 4, "name": "four", "n": "text"},
    ]


async def test_a_truncated_table_is_one_change(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key)")
    got = await _streamed(db, 3, "insert into items values (1)", "truncate table items", "insert into items values (1)")
    assert [change.kind for change in got] == [Kind.INSERT, Kind.TRUNCATE, Kind.INSERT]
    assert (got[1].old, got[1].new) == (None, None)


@pytest.mark.parametrize("source", ["postgres"], indirect=True)
@pytest.mark.parametrize("full", [False, True])
async def test_a_large_value_that_was_not_changed_is_marked(db: rdskit.Database, *, full: bool) -> None:
    await db.execute("create table items (id int primary key, n int, large text)")
    await db.execute("alter table items alter column large set storage external")
    if full:
        await db.execute("alter table items replica identity full")
    got = await _streamed(
        db, 2, "insert into items values (1, 1, repeat('x', 100000))", "update items set n = 2 where id = 1"
    )
    assert got[1].new is not None
    assert got[1].new.n == 2
    if full:
        assert got[1].new.large == "x" * 100_000
        assert got[1].old is not None
        assert got[1].old.n == 1
    else:
        assert got[1].new.large is UNCHANGED


async def test_what_a_user_may_not_do_is_said_with_its_fix(db: rdskit.Database, source: Captured) -> None:
    await db.execute("create table items (id int primary key)")
    user = f"plain_{source.name}"
    name = user if source.is_postgres else f"{user}@'%'"
    way = "login password" if source.is_postgres else "identified by"
    await db.execute(f"create {'role' if source.is_postgres else 'user'} {name} {way} 'secret'")
    try:
        on = "items" if source.is_postgres else f"{source.name}.*"
        await db.execute(f"grant select on {on} to {name}")
        async with rdskit.connect(source.with_login(user, "secret"), tls="off", cleartext_password=True) as plain:
            findings = await check(plain, ["items"])
            assert "replication-role" in {each.rule for each in findings}
            with pytest.raises(ConfigError, match=r"(?i)grant .*, or|run: grant|cannot be created"):
                await take(changes(plain, name="plain", tables=["items"]), 1)
    finally:
        if source.is_postgres:
            await db.execute(f"drop owned by {name}")
        await db.execute(f"drop {'role' if source.is_postgres else 'user'} {name}")
    assert [each.rule for each in await check(db, ["items"]) if each.severity is Severity.ERROR] == []


async def test_a_wrong_argument_is_refused(db: rdskit.Database) -> None:
    good: dict[str, Any] = {"tables": ["items"], "name": "x"}
    wrong: dict[str, Any]
    for wrong in ({"tables": "items"}, {"tables": []}, {"name": "Bad Name"}, {"start": "later"}, {"heartbeat": 0}):
        with pytest.raises(ConfigError):
            changes(db, **(good | wrong))
    with pytest.raises(ConfigError, match="needs name="):
        changes(db, tables=["items"], start="snapshot")
    with pytest.raises(ConfigError, match="there is no table 'nothing'"):
        await take(changes(db, name="x", tables=["nothing"]), 1)
    await db.execute("create table bare (id int)")
    with pytest.raises(ConfigError, match="primary key"):
        await take(changes(db, name="x", tables=["bare"], start="snapshot"), 1)
    await db.execute("create table items (id int primary key)")
    await _streamed(db, 1, "insert into items values (1)")
    await db.execute("create table more (id int primary key)")
    with pytest.raises(ConfigError, match="keep them"):
        await take(changes(db, name="streamed", tables=["items", "more"]), 1)
    with pytest.raises(ConfigError, match="no consumer 'nothing'"):
        await drop(db, "nothing")


async def test_a_stream_without_a_name_leaves_nothing_behind(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key)")
    stream = changes(db, tables=["items"])
    waiting = asyncio.create_task(take(stream, 1))
    number = 0
    async with asyncio.timeout(30):
        while not waiting.done():  # nothing says when it has begun
            number += 1
            await db.execute("insert into items values (:id)", id=number)
            await asyncio.sleep(0.01)
    assert (await waiting)[0].kind is Kind.INSERT
    await stream.aclose()
    assert await status(db) == []
