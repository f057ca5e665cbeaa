"""Host monitoring in virtual time: what a writer that falls silent leads to. The pool and its timers are real."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.client.failover.control_connections import ControlConnections
from rdskit.client.failover.health import MISSES_ALLOWED, PROBE_INTERVAL, SILENCE_TIMEOUT
from rdskit.client.failover.monitor import HostMonitor
from rdskit.client.pool import Pool, PoolLimits
from rdskit.errors import ConnectError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Role
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime

HOST = Endpoint("db", 5432)
LONG = 3 * PROBE_INTERVAL


class Line:
    """A connection to a host that may fall silent."""

    def __init__(self, host: Host) -> None:
        self.endpoint, self._host = HOST, host
        self.broken = self.interrupted = self.in_transaction = self.gone = False

    @property
    def role(self) -> Role:
        return self._host.role

    async def ping(self, timeout: float) -> None:
        if self._host.silent:
            await asyncio.sleep(timeout)
            raise DriverError(Failure.LOST, ConnectError("no answer"))

    async def close(self, _timeout: float) -> None:
        self.gone = True

    def abort(self) -> None:
        self.gone = True


class Host:
    """The writer's host, and what the monitor reports of it to the cluster."""

    def __init__(self) -> None:
        self.silent, self.role = False, Role.WRITER
        self.opened: list[Line] = []
        self.told: list[str] = []
        self.writer = Pool(HOST, self.open, PoolLimits(min_size=1, max_size=2))
        self.lines = ControlConnections(lambda _: self.open())

    async def open(self) -> Any:
        self.opened.append(Line(self))
        return self.opened[-1]

    def doubt(self) -> None:
        self.told.append("doubt")

    def silenced(self) -> None:
        self.told.append("silenced")

    def heard(self) -> None:
        self.told.append("heard")


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Host]:
    """Yield a host under watch; created inside the test, where time is virtual."""
    host = Host()
    watching = asyncio.create_task(HostMonitor(host, host.lines).watch())
    try:
        yield host
        assert not watching.done(), watching
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await host.lines.close()
        await host.writer.close()


async def test_a_host_is_left_alone_while_no_call_waits_for_long() -> None:
    async with watched() as host:
        for _ in range(20):
            lease = await host.writer.acquire(Deadline.after(1.0))
            await asyncio.sleep(PROBE_INTERVAL / 2)
            lease.give_back()
        assert len(host.opened) == 1
        assert host.told == []


async def test_a_long_call_on_a_host_that_answers_goes_on() -> None:
    async with watched() as host:
        lease = await host.writer.acquire(Deadline.after(1.0))
        await asyncio.sleep(3 * SILENCE_TIMEOUT)
        assert host.told == []
        assert not lease.connection.broken
        assert len(host.opened) == 2, "one line serves all probes"
        lease.give_back()


async def test_a_silent_host_is_doubted_then_called_silent_and_forgiven_when_it_answers() -> None:
    async with watched() as host:
        lease = await host.writer.acquire(Deadline.after(1.0))
        await asyncio.sleep(LONG)
        host.silent = True
        await asyncio.sleep((MISSES_ALLOWED + 3) * PROBE_INTERVAL)
        assert host.told[:MISSES_ALLOWED] == ["doubt"] * (MISSES_ALLOWED - 1) + ["silenced"]
        assert not lease.connection.broken, "silence alone ends no call"
        host.silent = False
        await asyncio.sleep(SILENCE_TIMEOUT / 2)
        assert host.told[-1] == "heard"
        lease.give_back()


async def test_a_host_that_stays_silent_is_cut_off() -> None:
    async with watched() as host:
        lease = await host.writer.acquire(Deadline.after(1.0))
        host.silent = True
        await asyncio.sleep(SILENCE_TIMEOUT + LONG)
        assert lease.connection.broken
        assert host.opened[0].gone
        lease.give_back()


async def test_a_line_is_given_away_only_when_its_host_takes_writes() -> None:
    async with watched() as host:
        host.role = Role.READER
        await host.lines.ask(HOST, lambda line: line.ping(1.0))
        assert host.lines.take_writer(HOST) is None
        host.role = Role.WRITER
        line: Any = host.lines.take_writer(HOST)
        assert line is host.opened[-1]
        assert host.lines.take_writer(HOST) is None
        await line.close(1.0)
