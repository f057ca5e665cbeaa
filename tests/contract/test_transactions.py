"""What a transaction promises on every engine, whatever its tasks, streams and statements do."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rdskit.client.transactions import Transaction
    from tests.contract.conftest import Engine


@pytest.fixture
async def notes(db: rdskit.Database) -> None:
    """Create a table with three numbers."""
    await db.execute("create table notes (n int primary key)")
    await db.insert_many("notes", [{"n": number} for number in (1, 2, 3)])


async def numbers(db: rdskit.Database) -> list[int]:
    async with db.transaction(read_only=True) as tx:
        return [row.n for row in await tx.fetch_all("select n from notes order by n")]


@pytest.mark.usefixtures("notes")
async def test_a_nested_block_that_is_cancelled_takes_the_whole_transaction_along(db: rdskit.Database) -> None:
    heard: list[str] = []
    with pytest.raises(rdskit.QueryError, match="cancelled in the middle"):
        async with db.transaction() as tx:
            await tx.execute("insert into notes values (10)")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5), tx.transaction():
                    await tx.execute("insert into notes values (11)")
                    tx.on_commit(lambda: heard.append("nested"))
                    await asyncio.get_running_loop().create_future()
            tx.on_commit(lambda: heard.append("outer"))
    assert await numbers(db) == [1, 2, 3]
    assert heard == []


@pytest.mark.usefixtures("notes")
async def test_rows_whose_source_is_cancelled_in_the_middle_are_not_kept_by_halves(db: rdskit.Database) -> None:
    async def endless() -> AsyncIterator[dict[str, int]]:
        for number in range(100, 5_000):
            yield {"n": number}
        await asyncio.get_running_loop().create_future()

    with pytest.raises(rdskit.QueryError, match="cancelled in the middle"):
        async with db.transaction() as tx:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await tx.insert_many("notes", endless())
    assert await numbers(db) == [1, 2, 3]


@pytest.mark.usefixtures("notes")
async def test_two_tasks_on_one_transaction_never_get_each_others_answer(engine: Engine, db: rdskit.Database) -> None:
    slow = f"select n from notes where n = :n and {engine.pick('pg_sleep(0.05) is not null', 'sleep(0.05) = 0')}"
    async with db.transaction(timeout=20) as tx:
        both = (tx.fetch_value(slow, n=1), tx.fetch_value("select n from notes where n = :n", n=2))
        answers: list[object] = list(await asyncio.gather(*both, return_exceptions=True))
        first, second = answers
        assert first == 1
        assert isinstance(second, rdskit.ConfigError)
        assert "one at a time" in str(second)
        assert await tx.fetch_value("select n from notes where n = :n", n=3) == 3


@pytest.mark.usefixtures("notes")
async def test_a_stream_that_is_left_in_the_middle_disturbs_nobody(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        async for row in tx.stream("select n from notes order by n", batch=1):
            assert row.n == 1
            break
        # The loop closes the generator in a task of its own, now or in the next moment.
        assert await tx.fetch_value("select max(n) from notes") == 3
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert await tx.execute("insert into notes values (4)") == 1
    assert await numbers(db) == [1, 2, 3, 4]


@pytest.mark.usefixtures("notes")
async def test_a_stream_does_not_outlive_its_transaction(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        rows = tx.stream("select n from notes order by n", batch=1)
        assert (await anext(rows)).n == 1
    with pytest.raises(rdskit.ConfigError, match="has ended"):
        await anext(rows)
    async with db.transaction() as tx:
        again = tx.stream("select n from notes order by n", batch=1)
        assert (await anext(again)).n == 1
    await again.aclose()
    assert await numbers(db) == [1, 2, 3]


@pytest.mark.usefixtures("notes")
async def test_a_procedure_that_commits_and_then_meets_a_conflict_is_not_run_again(
    engine: Engine, db: rdskit.Database
) -> None:
    if engine.is_postgres:
        await db.execute(
            "create procedure half() language plpgsql as "
            "$$ begin insert into notes values (50); commit; raise sqlstate '40001'; end $$"
        )
    else:
        await db.execute(
            "create procedure half() begin insert into notes values (50); commit; "
            "signal sqlstate '40001' set mysql_errno = 1213, message_text = 'deadlock'; end"
        )
    calls = 0

    async def work(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.execute("call half()")

    # PostgreSQL lets no procedure commit inside a transaction block: there nothing has happened.
    with pytest.raises(rdskit.QueryError if engine.is_postgres else rdskit.OutcomeUnknown) as told:
        await db.run(work)
    assert calls == 1
    assert await numbers(db) == ([1, 2, 3] if engine.is_postgres else [1, 2, 3, 50])
    assert engine.is_postgres or "may have committed a part" in str(told.value)


@pytest.mark.usefixtures("notes")
async def test_a_statement_that_commits_by_itself_is_told(engine: Engine, db: rdskit.Database) -> None:
    calls = 0

    async def work(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.execute("insert into notes values (:n)", n=10 + calls)
        await tx.execute("create table more (n int)")
        await tx.execute("insert into notes values (:n)", n=20 + calls)

    if engine.is_postgres:
        await db.run(work)
        assert await numbers(db) == [1, 2, 3, 11, 21]
        return
    with pytest.raises(rdskit.QueryError, match=r"'create table more \(n int\)' ended the transaction"):
        await db.run(work)
    assert calls == 1
    assert await numbers(db) == [1, 2, 3, 11], "what was committed is there, and nothing after it"


async def no_more_than(engine: Engine, db: rdskit.Database, most: int) -> bool:
    """Return whether the server has at most so many other sessions for this database."""
    return len(await db.fetch_all(engine.sessions)) <= most


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("ending", ["well", "with an error", "cancelled"])
async def test_a_block_that_ends_under_another_tasks_statement_ends_that_statement(
    engine: Engine, db: rdskit.Database, running: Callable[[str], Any], ending: str
) -> None:
    """On a pool of one connection, so that the caller after it gets the same one."""
    errors: dict[str, BaseException] = {}
    sleep = f"select {engine.sleep.format(20)} /* left behind */"

    async def other(tx: Transaction) -> None:
        try:
            await tx.fetch_all(sleep)
        except BaseException as error:
            errors["other"] = error
            raise

    async def block(one: rdskit.Database) -> None:
        async with one.transaction() as tx:
            await tx.execute("insert into notes values (10)")
            tasks.append(asyncio.create_task(other(tx)))
            await eventually(lambda: running("left behind"))
            if ending == "with an error":
                raise LookupError
            if ending == "cancelled":
                raise asyncio.CancelledError

    tasks: list[asyncio.Task[None]] = []
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1) as one, asyncio.timeout(10):
        ended = await asyncio.gather(asyncio.create_task(block(one)), return_exceptions=True)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await one.fetch_value("select count(*) from notes") == 3
        assert await numbers(one) == [1, 2, 3]
        assert one.stats().writer.size == 1
        own = db.stats().writer.size + 1  # of `db` and of the watcher
        await eventually(lambda: no_more_than(engine, one, own))
    wanted = {"well": rdskit.ConfigError, "with an error": LookupError, "cancelled": asyncio.CancelledError}[ending]
    assert isinstance(ended[0], wanted)
    if ending == "well":
        assert "another task" in str(ended[0])
    assert isinstance(errors["other"], rdskit.ConfigError)
    assert "the transaction's block ended" in str(errors["other"])
    assert await running("left behind") == 0


@pytest.mark.usefixtures("notes")
async def test_a_nested_block_that_outlives_its_transaction_touches_nobody_elses(engine: Engine) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def nested(tx: Transaction, *, fails: bool) -> None:
        async with tx.transaction():
            inside.set()
            await go_on.wait()
            if fails:
                raise LookupError

    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1) as one:
        for fails, error in ((True, LookupError), (False, rdskit.ConfigError)):
            async with one.transaction() as tx:
                left = asyncio.create_task(nested(tx, fails=fails))
                await inside.wait()
            async with one.transaction() as other, other.transaction():
                await other.execute(f"insert into notes values ({20 + fails})")
                go_on.set()
                with pytest.raises(error):
                    await left
                with pytest.raises(rdskit.ConfigError, match="has ended"):
                    async with tx.transaction():
                        pass
            inside.clear()
            go_on.clear()
        assert await numbers(one) == [1, 2, 3, 20, 21]
