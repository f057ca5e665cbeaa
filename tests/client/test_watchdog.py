"""Deadlines in virtual time: one timer ends what is overdue, and nothing else."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from rdskit.client.pool.lease import Lease
from rdskit.client.pool.watchdog import Watchdog
from rdskit.client.statements.batches import Batches, Pace
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

pytestmark = pytest.mark.looptime


class Idle:
    endpoint = "db:5432"


class Lender:
    """The pool of the connection; only its watchdog is used."""

    def __init__(self, watchdog: Watchdog | None) -> None:
        self.watchdog = watchdog


def _lease(watchdog_leases: set[Lease], watchdog: Watchdog | None = None) -> Lease:
    lender: Any = Lender(watchdog)
    lease = Lease(Idle(), lender, now=0.0, expires_at=math.inf, epoch=0, generation=0)  # type: ignore[arg-type]  # not asked
    watchdog_leases.add(lease)
    return lease


async def test_an_overdue_call_ends_on_time(looptime: Any) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    with pytest.raises(DriverError) as caught:
        await dog.guard(_lease(leases), asyncio.sleep(60), 0.2)
    assert caught.value.failure is Failure.TIMEOUT
    assert looptime == 0.2
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    dog.close()


async def test_calls_with_different_deadlines_each_end_at_their_own(looptime: Any) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    ended: dict[float, float] = {}

    async def one(due: float) -> None:
        with pytest.raises(DriverError):
            await dog.guard(_lease(leases), asyncio.sleep(60), due)
        ended[due] = asyncio.get_running_loop().time()

    await asyncio.gather(*(one(due) for due in (3.0, 0.5, 1.0, 7.0)))
    assert ended == {0.5: 0.5, 1.0: 1.0, 3.0: 3.0, 7.0: 7.0}
    assert looptime == 7
    dog.close()


async def test_a_cancelled_call_stays_cancelled(looptime: Any) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    call = asyncio.ensure_future(dog.guard(_lease(leases), asyncio.sleep(60), 5.0))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert looptime == 1
    dog.close()


async def test_a_cancellation_in_the_same_moment_wins(looptime: Any) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    call = asyncio.ensure_future(dog.guard(_lease(leases), asyncio.sleep(60), 1.0))
    asyncio.get_running_loop().call_at(1.0, call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert looptime == 1
    dog.close()


async def test_a_call_that_ends_in_time_leaves_no_mark(looptime: Any) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    lease = _lease(leases)
    assert await dog.guard(lease, asyncio.sleep(1, "done"), 2.0) == "done"
    await asyncio.sleep(5)
    assert (lease.due, lease.overdue, dog.armed_for) == (math.inf, False, math.inf)
    assert looptime == 6
    dog.close()


@pytest.mark.parametrize(("source", "due", "ends"), [(60.0, math.inf, 62.0), (0.5, math.inf, 2.5), (60.0, 61.0, 61.0)])
async def test_rows_that_are_sent_have_their_time_however_long_their_source_took(
    source: float, due: float, ends: float, looptime: Any
) -> None:
    leases: set[Lease] = set()
    dog = Watchdog(leases)
    lease = _lease(leases, dog)
    await dog.guard(
        lease, asyncio.sleep(0), 2.0
    )  # as BEGIN: it leaves a timer behind, which fires at the source's time

    async def rows() -> AsyncIterator[dict[str, int]]:
        await asyncio.sleep(source)
        yield {"id": 1}

    async def send() -> None:
        async for _ in Batches(rows(), Pace(lease, due, 2.0)):
            await asyncio.sleep(3600)

    with pytest.raises(DriverError) as caught:
        await asyncio.wait_for(dog.guard(lease, send(), due), 600)
    assert caught.value.failure is Failure.TIMEOUT
    assert looptime == ends
    dog.close()
