"""A task that is cancelled ends as cancelled, wherever in its transaction that met it; its engine serves the next."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import types
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
from rdskit.integrations.sqlalchemy import error_of
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

SLOW = {"postgresql": "select pg_sleep(60)", "mysql": "select sleep(60)", "mariadb": "select sleep(60)"}
UNDER_WAY = {
    "postgresql": "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'",
    "mysql": "select count(*) from information_schema.processlist where info = 'select sleep(60)'",
}


@types.coroutine
def cancelled_at(step: int, work: Coroutine[Any, Any, None]) -> Generator[Any, None, None]:
    """Do the work, and cancel the task when the work waits for the ``step``-th time."""
    resume = functools.partial(work.send, None)
    for number in itertools.count(1):
        try:
            waited_for = resume()
        except StopIteration:
            return
        if number == step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            yield waited_for
        except BaseException as error:  # noqa: BLE001 - it is the work's to handle
            resume = functools.partial(work.throw, error)
        else:
            resume = functools.partial(work.send, None)


async def store(engine: AsyncEngine, number: int, unknown: set[int]) -> None:
    try:
        async with engine.begin() as connection:
            await connection.execute(text("insert into kept values (:number)"), {"number": number})
            await connection.scalar(text("select count(*) from kept"))
    except asyncio.CancelledError as error:
        if isinstance(error_of(error), rdskit.OutcomeUnknown):
            unknown.add(number)
        raise


async def test_a_task_is_cancelled_wherever_it_waits_and_told_what_it_may_have_done(async_url: URL) -> None:
    unknown: set[int] = set()
    done: set[int] = set()
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0, pool_timeout=10)
    number, first, end = 0, 1, asyncio.get_running_loop().time() + 60
    try:
        async with engine.begin() as connection:
            await connection.execute(text("create table kept (number int primary key)"))
        while not unknown:  # an answer that is there already is not waited for: then COMMIT has another place
            assert asyncio.get_running_loop().time() < end, "one of the waits is that for COMMIT"
            await engine.dispose()
            first = number + 1
            for step in itertools.count(1):
                number += 1
                task = asyncio.ensure_future(cancelled_at(step, store(engine, number, unknown)))
                (ended,), _ = await asyncio.wait([task])
                if not ended.cancelled():
                    assert ended.exception() is None
                    done.add(number)
                    break
            assert step > 3, "connecting, beginning, the statements and COMMIT each wait"
        async with engine.connect() as connection:
            kept = set(await connection.scalars(text("select number from kept")))
        assert done <= kept
        early = range(first, min(unknown))
        assert kept.isdisjoint(early), "nothing remains of what was cancelled before COMMIT was sent"
    finally:
        await engine.dispose()
        # A cancelled login of psycopg keeps its socket until it is collected. Until then, or for 60 s, PostgreSQL can
        # drop no database: a backend that authenticates answers no barrier.
        gc.collect()


async def test_a_cancelled_statement_ends_at_once_and_its_connection_is_not_lent_again(async_url: URL) -> None:
    engine, outside = create_async_engine(async_url, pool_size=1, max_overflow=0), create_async_engine(async_url)
    backend = engine.dialect.name

    async def wait_long() -> None:
        async with engine.connect() as connection:
            await connection.execute(text(SLOW[backend]))

    async def is_under_way() -> bool:
        async with outside.connect() as connection:
            return bool(await connection.scalar(text(UNDER_WAY.get(backend, UNDER_WAY["mysql"]))))

    task = asyncio.create_task(wait_long())
    try:
        await eventually(is_under_way)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        async with engine.connect() as connection:
            assert await connection.scalar(text("select 42")) == 42
    finally:
        task.cancel()
        await engine.dispose()
        await outside.dispose()
