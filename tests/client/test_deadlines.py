"""Which of two moments comes first."""

from __future__ import annotations

import asyncio

import pytest

from rdskit.runtime.deadlines import Deadline


@pytest.mark.looptime
async def test_the_earlier_one_counts() -> None:
    now = asyncio.get_running_loop().time()
    deadline = Deadline.after(5)
    assert deadline.within(None) is deadline
    assert deadline.within(7) is deadline
    assert deadline.within(2) == Deadline(now + 2, 2)


@pytest.mark.looptime
async def test_no_limit_gives_way_to_any() -> None:
    never = Deadline.after(None)
    assert (never.at, never.remaining(), never.passed) == (None, None, False)
    assert never.within(None) is never
    assert never.within(3) == Deadline.after(3)
