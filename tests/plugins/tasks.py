"""After each asynchronous test no task of its event loop is left, else the test fails and names them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

GRACE = 1.0  # seconds in which a cancelled task may still be ending


@pytest_asyncio.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it. Set up before the test's other fixtures, so it looks after their end."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE)
    assert not left, (
        f"tasks were left running: {sorted(task.get_name() + ' ' + repr(task.get_coro()) for task in left)}"
    )


def pytest_configure() -> None:
    # Without this, asyncio makes a loop when pytest-asyncio asks which one was current before, and never closes it.
    asyncio.set_event_loop(None)


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest_asyncio.plugin.PytestAsyncioFunction):
        item.fixturenames.insert(0, "no_task_left")
