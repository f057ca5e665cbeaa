"""A full outage under a thousand callers: few attempts, a clear error for each in time, and a quick recovery.

Attempts are counted by a relay in front of the server, not by our own books: it accepts every connection and closes it
at once while the server behind it is gone, which is what a network load balancer without a target does.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

CALLERS = 1000
DEADLINE = 2.0
ARRIVAL = 3.0  # seconds over which the callers arrive
GRACE = 0.5  # seconds within which an error must have followed its deadline, beside what the machine stood still
RECOVERY = 1.0


class CountingRelay:
    """Passes connections on to a server and counts them."""

    def __init__(self, server: ThrowawayPostgres) -> None:
        self._target = server
        self._links: set[asyncio.Task[None]] = set()
        self.accepted = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen for the length of the block, at the port that it gives."""
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            for link in tuple(self._links):
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            await self._pass_on(reader, writer)
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            return
        try:
            pumps = [asyncio.ensure_future(_pump(reader, ours)), asyncio.ensure_future(_pump(theirs, writer))]
            _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in rest:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            ours.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side may go; the other is cut then
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


class Stalls:
    """How long the event loop stood still at most: what no client can make good.

    Attributes:
        longest: seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch for the length of the block."""
        watch = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def _watch(self) -> None:
        clock, pause = asyncio.get_running_loop().time, 0.01
        while True:
            begun = clock()
            await asyncio.sleep(pause)
            self.longest = max(self.longest, clock() - begun - pause)


class Callers:
    """Calls with a deadline, and what became of each."""

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.messages: set[str] = set()
        self.took: list[float] = []

    async def call(self, delay: float) -> None:
        """Arrive after ``delay`` seconds, ask once, and note the outcome."""
        await asyncio.sleep(delay)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            await self._db.fetch_value("select 1", timeout=DEADLINE)
        except rdskit.ConnectError as error:
            self.outcomes[type(error).__name__] += 1
            self.messages.add(str(error))
        else:
            self.outcomes["answer"] += 1
        self.took.append(clock() - started)


@pytest.mark.chaos
async def test_a_thousand_callers_of_a_stopped_server(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with throwaway_postgres(tmp_path) as server:
        relay = CountingRelay(server)
        async with relay.listening() as port:
            url = f"postgresql://{server.superuser}:{server.password}@127.0.0.1:{port}/postgres"
            async with rdskit.connect(url, tls="off", max_size=10, max_waiting=CALLERS) as db:
                stalls = Stalls()
                async with stalls.watched():
                    figures = await _outage(server, relay, db, stalls)
    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - shown with -s and on failure: the figures are the point


async def _outage(
    server: ThrowawayPostgres, relay: CountingRelay, db: rdskit.Database, stalls: Stalls
) -> dict[str, object]:
    await asyncio.gather(*(db.fetch_value("select 1") for _ in range(50)))
    await asyncio.to_thread(server.kill)
    before = relay.accepted
    callers = Callers(db)
    await asyncio.gather(*(callers.call(ARRIVAL * number / CALLERS) for number in range(CALLERS)))
    attempts = relay.accepted - before

    assert callers.outcomes.total() == CALLERS
    assert callers.outcomes["answer"] == 0
    assert callers.outcomes["ConnectError"] == CALLERS
    assert all("tried for 2 s" in message for message in callers.messages), callers.messages
    assert 1 <= attempts <= 1.1 * CALLERS
    assert max(callers.took) <= DEADLINE + GRACE + stalls.longest
    health = await db.health()
    assert (health.ok, health.status) == (False, "down")

    waiting = [asyncio.ensure_future(db.fetch_value("select 1", timeout=30)) for _ in range(100)]
    await asyncio.to_thread(server.start)
    back = asyncio.get_running_loop().time()
    assert await asyncio.gather(*waiting) == [1] * 100
    recovery = asyncio.get_running_loop().time() - back
    assert recovery <= RECOVERY + stalls.longest
    return {
        "callers": CALLERS,
        "outcomes": dict(callers.outcomes),
        "connection attempts": attempts,
        "slowest error (s)": round(max(callers.took), 3),
        "longest stall of the event loop (s)": round(stalls.longest, 3),
        "recovery of 100 waiting callers (s)": round(recovery, 3),
    }
