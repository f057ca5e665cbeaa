"""Which blocks hold a connection, across tasks and contexts."""

from __future__ import annotations

import asyncio
import contextvars

from rdskit.client.pool import holding
from rdskit.client.pool.deadlock_guard import holds


async def test_tasks_that_a_block_starts_count_as_inside_and_others_do_not() -> None:
    pool, other = object(), object()

    async def inside() -> bool:
        return holds(pool)

    with holding(pool), holding(other):
        assert await asyncio.create_task(inside())
        assert holds(other)
    assert not holds(pool)
    assert not await asyncio.create_task(inside())


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    pool = object()
    block = holding(pool)
    contextvars.copy_context().run(block.__enter__)
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert not holds(pool)


async def test_a_task_that_outlives_its_block_holds_nothing() -> None:
    pool, over = object(), asyncio.Event()

    async def later() -> bool:
        await over.wait()
        return holds(pool)

    with holding(pool):
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    over.set()
    assert not await task
