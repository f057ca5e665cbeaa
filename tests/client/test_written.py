"""The session's position: captured once for many writes, and never at the price of a connection."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from rdskit.client.pool.lease import Lease
from rdskit.client.replicas.written import Written
from rdskit.errors import FailoverError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import Lsn, Position
from rdskit.runtime.tasks import TaskOwner


class Pool:
    """Counts what comes back."""

    def __init__(self) -> None:
        self.returned: list[Lease] = []

    def give_back(self, lease: Lease) -> None:
        self.returned.append(lease)

    def suspect(self) -> None:
        pass


class Writer:
    """A connection whose position is told when the test lets it."""

    broken = interrupted = False

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.fails = False

    async def written_position(self, timeout: float) -> Position:  # noqa: ARG002 - the port's signature
        self.asked += 1
        await self.answer.wait()
        if self.fails:
            raise DriverError(Failure.LOST, FailoverError("gone"))
        return Lsn(1000 + self.asked)


def _lease(writer: Any, pool: Any) -> Lease:
    return Lease(writer, pool, now=0.0, expires_at=math.inf, epoch=0, generation=0)


async def test_one_capture_serves_all_writes_acknowledged_before_it_began() -> None:
    owner, pool, writer = TaskOwner("test"), Pool(), Writer()
    written = Written(owner)
    leases = [_lease(writer, pool) for _ in range(10)]
    for lease in leases:
        written.wrote(lease)
    assert not written.is_known
    assert len(pool.returned) == 9
    writer.answer.set()
    assert await written.known(1)
    assert writer.asked <= 2
    await owner.join(1)
    assert len(pool.returned) == 10
    assert written.position == Lsn(1000 + writer.asked)
    await owner.close()


async def test_a_capture_that_is_cancelled_before_it_began_returns_its_connection() -> None:
    owner, pool = TaskOwner("test"), Pool()
    written = Written(owner)
    written.wrote(_lease(Writer(), pool))
    await owner.close()
    await asyncio.sleep(0)
    assert len(pool.returned) == 1


async def test_a_failed_capture_sends_reads_to_the_writer_until_one_succeeds() -> None:
    owner, pool, writer = TaskOwner("test"), Pool(), Writer()
    writer.fails = True
    writer.answer.set()
    written = Written(owner)
    written.wrote(_lease(writer, pool))
    assert not await written.known(1)
    await owner.join(1)
    assert len(pool.returned) == 1
    writer.fails = False
    written.capture(_lease(writer, pool))
    assert await written.known(1)
    await owner.join(1)
    assert len(pool.returned) == 2
    await owner.close()
