"""Write hooks: awaited after each commit, on all ways of writing, with the tables that were written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.client import api
from rdskit.errors import ConfigError, HookError, IntegrityError, OutcomeUnknown, QueryError
from rdskit.kernel.scope import NO_SCOPE
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import rdskit
    from rdskit.client.transactions import Transaction
    from rdskit.kernel.ports import Connection
    from rdskit.kernel.writes import Write
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)
INSERT = "insert into items (id) values (:id)"


@pytest.fixture
async def writes(db: rdskit.Database) -> list[Write]:
    """Return what a hook receives; there are two tables, ``items`` and ``others``."""
    await db.execute("create table items (id int primary key)")
    await db.execute("create table others (id int primary key)")
    received: list[Write] = []

    async def hook(write: Write) -> None:
        await asyncio.sleep(0)
        received.append(write)

    api.on_write(db, hook)
    return received


def _take(writes: list[Write]) -> list[set[str] | None]:
    taken = [None if write.tables is None else set(write.tables) for write in writes]
    assert all((write.certain, write.position, write.scope) == (True, None, NO_SCOPE) for write in writes)
    writes.clear()
    return taken


async def test_all_ways_of_writing_are_received_before_the_call_returns(
    db: rdskit.Database, writes: list[Write]
) -> None:
    await db.execute(INSERT, id=1)
    assert _take(writes) == [{"items"}]
    async with db.transaction() as tx:
        await tx.execute(INSERT, id=2)
        await tx.insert_many("others", [{"id": 1}, {"id": 2}])
        assert not writes, "not before COMMIT"
    assert _take(writes) == [{"items", "others"}]
    await db.insert_many("others", [{"id": 3}])
    assert _take(writes) == [{"others"}]
    await db.insert_many("others", iter([{"id": 4}]))
    await db.execute_many("delete from others where id = :id", [{"id": 3}, {"id": 4}])
    assert _take(writes) == [{"others"}, {"others"}]

    async def work(tx: Transaction) -> int:
        await tx.execute("update items set id = id + 10 where id in (select id from others)")
        return 7

    assert await db.run(work) == 7
    assert _take(writes) == [{"items"}]
    async with db.session() as session:
        await session.execute("delete from items where id = :id", id=11)
        async with session.transaction() as tx:
            await tx.execute("delete from others")
    assert _take(writes) == [{"items"}, {"others"}]
    async with db.connection() as held:
        await held.execute(INSERT, id=3)
        async with held.transaction() as tx:
            await tx.execute("delete from others")
    assert _take(writes) == [{"items"}, {"others"}]


async def test_run_once_is_received_with_its_own_table(db: rdskit.Database, writes: list[Write]) -> None:
    await db.setup()
    writes.clear()

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, id=1)

    await db.run_once("key", work)
    (tables,) = _take(writes)
    assert tables is not None
    assert "items" in tables


async def test_what_reads_or_is_undone_is_not_received(db: rdskit.Database, writes: list[Write]) -> None:
    await db.execute(INSERT, id=1)
    writes.clear()
    await db.fetch_all("select * from items")
    async with db.transaction() as tx:
        await tx.fetch_one("select * from items for update")
    async with db.transaction(read_only=True) as tx:
        await tx.fetch_one("select * from items")
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.execute(INSERT, id=2)
            raise ZeroDivisionError
    with pytest.raises(IntegrityError):
        await db.execute(INSERT, id=1)
    with pytest.raises(IntegrityError):
        await db.insert_many("items", [{"id": 5}, {"id": 1}])
    assert not writes


async def test_a_hook_that_raises_says_that_the_write_is_committed(db: rdskit.Database, writes: list[Write]) -> None:
    async def failing(_write: Write) -> None:
        raise ZeroDivisionError

    called: list[str] = []
    remove = api.on_write(db, failing)
    with pytest.raises(HookError, match="the write is committed, and a write hook raised ZeroDivisionError") as raised:
        await db.execute(INSERT, id=1)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)

    async def work(tx: Transaction) -> None:
        called.append("work")
        tx.on_commit(lambda: called.append("callback"))
        await tx.execute(INSERT, id=2)

    with pytest.raises(HookError):
        await db.run(work)
    assert called == ["work", "callback"], "run once, and what the transaction ordered has happened"
    assert _take(writes) == [{"items"}, {"items"}], "the other hook was called"
    remove()
    await db.execute(INSERT, id=3)
    assert await db.fetch_value("select count(*) from items") == 3


async def test_a_write_whose_outcome_is_unknown_is_received_as_uncertain(
    engine: Engine, db: rdskit.Database, writes: list[Write], watcher: Connection, running: Callable[[str], Any]
) -> None:
    sleep = engine.sleep.format("30")
    slow = f"insert into items /* slow */ select 1 from (select {sleep}) s"
    call = asyncio.ensure_future(db.execute(slow))
    await eventually(lambda: running("slow"))
    for row in await watcher.fetch_all(engine.sessions, (), 5.0):
        await watcher.execute(engine.kill.format(row[0]), (), 5.0)
    with pytest.raises(OutcomeUnknown):
        await call
    assert [(write.tables, write.certain) for write in writes] == [(frozenset({"items"}), False)]


async def test_a_cancelled_write_is_received_by_a_background_task(
    engine: Engine, db: rdskit.Database, writes: list[Write], running: Callable[[str], Any]
) -> None:
    slow = f"insert into items /* slow */ select 1 from (select {engine.sleep.format('30')}) s"
    call = asyncio.ensure_future(db.execute(slow))
    await eventually(lambda: running("slow"))
    call.cancel()

    async def received() -> bool:
        return bool(writes)

    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(received)
    assert [(write.tables, write.certain) for write in writes] == [(frozenset({"items"}), False)]


async def test_a_statement_that_may_do_anything_has_no_known_tables(
    engine: Engine, db: rdskit.Database, writes: list[Write]
) -> None:
    body = "as $$ begin insert into items values (1); end $$ language plpgsql"
    await db.execute(
        engine.pick(f"create procedure fill() {body}", "create procedure fill() insert into items values (1)")
    )
    await db.execute("call fill()")
    assert _take(writes) == [None, None]


async def test_a_commit_in_the_middle_of_a_transaction_is_received(
    engine: Engine, db: rdskit.Database, writes: list[Write]
) -> None:
    if engine.is_postgres:  # which commits at no statement but COMMIT
        async with db.transaction() as tx:
            await tx.execute(INSERT, id=1)
            await tx.execute("create table more (id int)")
            assert not writes
        assert [(write.tables, write.certain) for write in writes] == [(frozenset({"items", "more"}), True)]
        return
    with pytest.raises(QueryError, match="ended the transaction"):
        async with db.transaction() as tx:
            await tx.execute(INSERT, id=1)
            await tx.execute("create table more (id int)")
    assert [(write.tables, write.certain) for write in writes] == [(frozenset({"items", "more"}), False)]


async def test_the_commit_position_is_given_to_a_hook_that_asks(db: rdskit.Database, writes: list[Write]) -> None:
    positioned: list[Write] = []

    async def hook(write: Write) -> None:
        positioned.append(write)

    api.on_write(db, hook, position=True)
    await db.execute(INSERT, id=1)
    async with db.transaction() as tx:
        await tx.execute(INSERT, id=2)
    first, second = (write.position for write in positioned)
    assert first is not None
    assert second is not None
    assert second.covers(first)
    assert not first.covers(second)
    assert len(writes) == 2


async def test_an_empty_hook_list_is_left_after_the_last_is_removed(db: rdskit.Database) -> None:
    async def hook(_write: Write) -> None:
        raise AssertionError

    remove = api.on_write(db, hook)
    remove()
    remove()
    assert not db.context.shared.hooks.active
    with pytest.raises(ConfigError):
        await db.execute("begin")
