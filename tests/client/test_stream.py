"""Streams from a cursor on the server, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from tests.client.conftest import is_at_rest
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.plugins.postgres import TestDatabase

READ = "select id, name from items where id < :top order by id"
WIDTH = 2000
WIDE = f"select a.id, repeat('x', {WIDTH}) as filler from items a cross join items b where a.id < 250 and b.id < 200"
WIDE_ROWS = 250 * 200


@pytest.fixture
async def filled(items: rdskit.Database) -> AsyncIterator[rdskit.Database]:
    await items.insert_many("items", ({"id": number, "name": f"n{number}"} for number in range(5000)))
    yield items
    await eventually(lambda: is_at_rest(items))


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Tell how many bytes of new objects there were at most.

    The process's size would not do: it hardly grows where an earlier test has left free memory to it.
    """
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


async def test_a_result_is_never_in_memory_as_a_whole(filled: rdskit.Database, traced: Callable[[], int]) -> None:
    count = 0
    async for row in filled.stream(WIDE, batch=1000):
        assert len(row.filler) == WIDTH
        count += 1
    assert count == WIDE_ROWS
    assert traced() < WIDE_ROWS * WIDTH / 10, "a batch is a fiftieth of it"


@pytest.mark.parametrize("batch", [1, 7, 100, 101, 1000])
async def test_all_rows_come_once_and_in_order(filled: rdskit.Database, batch: int) -> None:
    seen = [(row.id, row["name"]) async for row in filled.stream(READ, batch=batch, top=100)]
    assert seen == [(number, f"n{number}") for number in range(100)]
    assert [row async for row in filled.stream(READ, {"top": 0}, batch=batch)] == []


async def test_leaving_early_gives_the_connection_back(filled: rdskit.Database) -> None:
    for _ in range(5):  # more often than there are connections
        async with contextlib.aclosing(filled.stream(READ, batch=10, top=5000)) as rows:
            async for row in rows:
                if row.id == 25:
                    break
        await eventually(lambda: is_at_rest(filled))
    with pytest.raises(LookupError):
        async with contextlib.aclosing(filled.stream(READ, batch=10, top=5000)) as rows:
            async for _ in rows:
                raise LookupError
    await eventually(lambda: is_at_rest(filled))
    async for _ in filled.stream(READ, batch=10, top=5000):
        break
    await eventually(lambda: is_at_rest(filled))
    assert filled.stats().writer.closed == 0


async def test_a_cancelled_stream_gives_the_connection_back(filled: rdskit.Database) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with contextlib.aclosing(filled.stream(READ, batch=10, top=5000)) as rows:
            async for _ in rows:
                begun.set()
                await asyncio.sleep(0)

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: is_at_rest(filled))
    assert await filled.fetch_value("select count(*) from items") == 5000


async def test_what_is_streamed_is_one_moment(filled: rdskit.Database) -> None:
    seen = 0
    async for _ in filled.stream(READ, batch=10, top=5000):
        if seen == 20:
            await filled.execute("delete from items")
        seen += 1
    assert seen == 5000


async def test_only_reads_are_streamed_outside_a_transaction(filled: rdskit.Database) -> None:
    for text, told in (
        ("select id from items where id = 1 for update", "does more than read"),
        ("delete from items", "returns no rows to stream"),
    ):
        with pytest.raises(rdskit.ConfigError, match=told):
            filled.stream(text)
    with pytest.raises(rdskit.ConfigError, match="batch=0 is too small"):
        filled.stream(READ, batch=0, top=1)
    with pytest.raises(rdskit.ConfigError, match="parameter :batch has the name of an option"):
        filled.stream("select id from items where id = :batch", batch=1)
    async with filled.transaction() as tx:
        assert [row.id async for row in tx.stream("select id from items where id < 3 order by id for update")] == [
            0,
            1,
            2,
        ]
        streamed = tx.stream(READ, top=50, batch=10)
        assert (await anext(streamed)).id == 0
        assert await tx.fetch_value("select 7") == 7  # between two batches
        assert len([row async for row in streamed]) == 49


async def test_a_statement_that_fails_says_so_and_the_connection_is_kept(filled: rdskit.Database) -> None:
    with pytest.raises(rdskit.StatementError):
        [row async for row in filled.stream("select nope from items")]
    await eventually(lambda: is_at_rest(filled))
    assert filled.stats().failures == 0


async def test_the_deadline_is_for_each_batch_or_for_the_whole(filled: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryTimeout):
        async for _ in filled.stream(READ, batch=10, top=5000, timeout=0.3):
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            await _pause(0.05)
    await eventually(lambda: is_at_rest(filled))


async def _pause(seconds: float) -> None:
    """Work of the caller's, between two rows."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def test_a_stream_that_is_cut_says_so_and_one_that_had_not_begun_is_repeated(database: TestDatabase) -> None:
    end_others = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'streamer'"
    async with (
        rdskit.connect(database.url, tls="off", min_size=1, max_size=1, application_name="streamer") as db,
        rdskit.connect(database.url, tls="off", min_size=1) as killer,
    ):
        rows = db.stream("select n from generate_series(1, 100000) n", batch=10)
        assert (await anext(rows))[0] == 1
        await killer.fetch_value(end_others)
        with pytest.raises(rdskit.FailoverError, match="the stream ended after a part of its rows"):
            [row async for row in rows]
        seen: list[Any] = [row[0] async for row in db.stream("select n from generate_series(1, 100) n")]
        assert seen == list(range(1, 101))
