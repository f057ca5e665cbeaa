"""What all else rests on: clients with short deadlines behind an endpoint, and a primary that is killed repeatedly.

A write that was acknowledged is there afterwards, whatever was cut, cancelled or promoted. A write that ran
into its deadline, or whose connection was lost, may be there or not: its outcome is unknown, and is counted apart.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from typing import TYPE_CHECKING

import asyncpg
import pytest

from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet, FleetEvent, InstanceSpec
from tests.plugins.rounds import gate_and_soak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint

WRITERS = 20
DEADLINE = 0.2
# asyncpg reports some connections that end in mid-statement as an internal error of its own state machine.
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
SPEC = InstanceSpec("db-DEADLINES", "postgres", "shop", "throwaway", "shop", 5432, True, ("eu-1a", "eu-1b"), {})


class Clients:
    """Writers that give each insert 200 ms, and note what became of it."""

    def __init__(self, endpoint: Endpoint, ca: Path) -> None:
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.refused = 0
        self._endpoint = endpoint
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._stop = asyncio.Event()

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=self._endpoint.host,
            port=self._endpoint.port,
            user=SPEC.master_user,
            password=SPEC.master_password,
            database=SPEC.database,
            ssl=self._tls,
            timeout=5,
        )

    async def write(self, number: int) -> None:
        """Run one writer until it is stopped; its keys are its own."""
        keys = iter(range(number, 10**9, WRITERS))
        while not self._stop.is_set():
            try:
                connection = await self.connect()
            except LOST:
                self.refused += 1
                await self._pause(0.01)
                continue
            try:
                while not self._stop.is_set():
                    await self._insert(connection, next(keys))
            except LOST:
                connection.terminate()
            else:
                await connection.close()

    async def _insert(self, connection: asyncpg.Connection, key: int) -> None:
        self.unknown.add(key)
        async with asyncio.timeout(DEADLINE):
            await connection.execute("insert into written values ($1)", key)
        self.unknown.discard(key)
        self.acknowledged.add(key)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def stop(self) -> None:
        self._stop.set()


@pytest.fixture
def events() -> list[FleetEvent]:
    return []


@pytest.fixture
def fleet(tmp_path: Path, events: list[FleetEvent]) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "data", notify=events.append)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.close()


@pytest.mark.chaos
@pytest.mark.parametrize("kills", gate_and_soak(2, 20))
async def test_what_was_acknowledged_is_present(
    fleet: Fleet, events: list[FleetEvent], kills: int, record_property: Callable[[str, object], None]
) -> None:
    endpoint = await asyncio.to_thread(fleet.create, SPEC)
    clients = Clients(endpoint, fleet.authority)
    connection = await clients.connect()
    await connection.execute("create table written (key bigint primary key)")
    await connection.close()
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(clients.write(number))
        for kill in range(1, kills + 1):
            await asyncio.to_thread(_kill_primary, fleet, events, clients, kill)
        clients.stop()
    connection = await clients.connect()
    present = {row["key"] for row in await connection.fetch("select key from written")}
    await connection.close()
    figures = {
        "acknowledged": len(clients.acknowledged),
        "unknown": len(clients.unknown),
        "unknown and present": len(clients.unknown & present),
        "present": len(present),
        "connections refused": clients.refused,
        "promotion_ms": [record.promotion_ms for record in fleet.failovers()],
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - shown with -s and on failure: the figures are the point
    assert clients.acknowledged - present == set()
    assert present <= clients.acknowledged | clients.unknown
    assert len(fleet.failovers()) == kills


def _kill_primary(fleet: Fleet, events: list[FleetEvent], clients: Clients, number: int) -> None:
    """Kill it when all write and the standby is in sync; return when the failover is over."""
    enough = len(clients.acknowledged) + 10 * WRITERS
    assert poll(lambda: len(clients.acknowledged) >= enough, timeout=60)
    assert poll(lambda: fleet.describe(SPEC.resource_id).standby_in_sync is True, timeout=60)
    pid = fleet._supervisor(SPEC.resource_id).instance.primary.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert poll(lambda: [event.kind for event in events].count("failover-completed") == number, timeout=60)
