"""The session's position: captured once for many writes, and never at the price of a connection."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.client.pool.lease import Lease
from rdskit.client.replicas.write_position import WritePosition
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import Connection, ConnectOptions, Login
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.kernel.positions import Position
    from tests.plugins.postgres import TestDatabase


class Pool:
    """Counts what comes back."""

    def __init__(self) -> None:
        self.returned: list[Lease] = []

    def give_back(self, lease: Lease) -> None:
        self.returned.append(lease)

    def suspect(self) -> None:
        pass


class Counted:
    """A real connection that counts how often it is asked for its position, and can do without one."""

    def __init__(self, connection: Connection, *, keeps_positions: bool = True) -> None:
        self._connection = connection
        self._keeps_positions = keeps_positions
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def written_position(self, timeout: float) -> Position | None:
        self.asked += 1
        position = await self._connection.written_position(timeout)
        return position if self._keeps_positions else None


async def connect(database: TestDatabase) -> Connection:
    options = ConnectOptions(Endpoint(database.host, database.port), database.name, None, 5.0, "test")
    return await AsyncpgDriver().connect(options, Login(database.user, database.password))


@pytest.fixture
async def connection(database: TestDatabase) -> AsyncIterator[Connection]:
    opened = await connect(database)
    yield opened
    await opened.close(2.0)


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    owner = TaskOwner("test")
    yield owner
    await owner.close()


def _lease(writer: Any, pool: Any) -> Lease:
    return Lease(writer, pool, now=0.0, expires_at=math.inf, epoch=0, generation=0)


async def test_one_capture_serves_all_writes_acknowledged_before_it_began(
    connection: Connection, owner: TaskOwner
) -> None:
    pool, writer = Pool(), Counted(connection)
    written = WritePosition(owner)
    await connection.execute("create table t (id int)", (), 5.0)
    for _ in range(10):
        written.wrote(_lease(writer, pool))
    assert not written.is_known
    assert len(pool.returned) == 9
    assert await written.known(5)
    assert writer.asked <= 2
    await owner.join(1)
    assert len(pool.returned) == 10
    now = await connection.written_position(5.0)
    assert now is not None
    assert now.covers(written.position)


async def test_positions_only_grow(connection: Connection, owner: TaskOwner) -> None:
    written, pool = WritePosition(owner), Pool()
    for number in range(5):
        before = written.position
        await connection.execute(f"create table t{number} (id int)", (), 5.0)
        written.wrote(_lease(connection, pool))
        assert await written.known(5)
        await owner.join(1)
        assert written.position.covers(before)
        assert not before.covers(written.position)


async def test_a_capture_that_is_cancelled_before_it_began_returns_its_connection(connection: Connection) -> None:
    owner, pool = TaskOwner("test"), Pool()
    written = WritePosition(owner)
    written.wrote(_lease(connection, pool))
    await owner.close()
    await asyncio.sleep(0)
    assert len(pool.returned) == 1


async def test_a_failed_capture_sends_reads_to_the_writer_until_one_succeeds(
    connection: Connection, database: TestDatabase, owner: TaskOwner
) -> None:
    pool, killed = Pool(), await connect(database)
    row = await killed.fetch_one("select pg_backend_pid()", (), 5.0)
    assert row is not None
    await connection.execute(f"select pg_terminate_backend({row[0]}, 5000)", (), 10.0)
    killed.broken = False  # as if it were not noticed yet
    written = WritePosition(owner)
    written.wrote(_lease(killed, pool))
    assert not await written.known(5)
    await owner.join(1)
    assert len(pool.returned) == 1
    await killed.close(1.0)
    written.capture(_lease(connection, pool))
    assert await written.known(5)
    await owner.join(1)
    assert len(pool.returned) == 2


async def test_a_server_without_positions_is_asked_once_and_the_writer_answers_from_then_on(
    connection: Connection, owner: TaskOwner
) -> None:
    pool, writer = Pool(), Counted(connection, keeps_positions=False)
    written = WritePosition(owner)
    for number in range(1, 4):
        written.wrote(_lease(writer, pool))
        assert not await written.known(5)
        await owner.join(1)
        assert len(pool.returned) == number
    assert writer.asked == 1
