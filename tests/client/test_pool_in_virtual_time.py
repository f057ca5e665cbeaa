"""Lifetimes, idleness, warm-up, checks and outages: minutes of a pool's life, in virtual time.

The connections are made up, behind the driver's port; the pool, its tasks and its timers are the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.client.pool import Pool, PoolLimits
from rdskit.errors import CircuitOpen, ConnectError, PoolTimeout, TooManyConnections
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Role
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.looptime

HOST = Endpoint("db", 5432)
OPENING = 0.05  # seconds that opening a connection takes


class MadeUpConnection:
    """A connection that does what the port asks for, in no time."""

    def __init__(self) -> None:
        self.endpoint, self.role = HOST, Role.WRITER
        self.broken = self.interrupted = self.in_transaction = False
        self.pings = self.resets = 0
        self.dead = self.closed = False

    async def ping(self, timeout: float) -> None:
        self.pings += 1
        if self.dead:
            await asyncio.sleep(timeout)
            raise DriverError(Failure.LOST, ConnectError("no answer"))

    async def reset(self, _timeout: float) -> None:
        self.resets += 1

    async def close(self, _timeout: float) -> None:
        self.closed = True

    def stop(self) -> bool:
        return False

    def abort(self) -> None:
        self.closed = True


class Server:
    """Where the connections come from.

    Attributes:
        made: every connection that it gave.
        attempts: when each attempt came, on the loop's clock.
        refusal: what it says instead, if anything.
        seconds: that it takes to answer.
    """

    def __init__(self) -> None:
        self.made: list[MadeUpConnection] = []
        self.attempts: list[float] = []
        self.refusal: DriverError | None = None
        self.seconds = OPENING

    async def open_one(self) -> Any:
        self.attempts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.refusal is not None:
            raise self.refusal
        self.made.append(MadeUpConnection())
        return self.made[-1]

    @property
    def connected(self) -> int:
        """Connections that are open."""
        return sum(not connection.closed for connection in self.made)


@pytest.fixture
def server() -> Server:
    return Server()


@contextlib.asynccontextmanager
async def pool_on(server: Server, **limits: Any) -> AsyncIterator[Pool]:
    pool = Pool(HOST, server.open_one, PoolLimits(**limits))
    try:
        yield pool
    finally:
        await pool.close()


async def hold(pool: Pool, seconds: float, timeout: float | None = None) -> float:
    """Borrow a connection for a while, and give how long that had to wait."""
    clock = asyncio.get_running_loop().time
    started = clock()
    lease = await pool.acquire(Deadline.after(timeout))
    waited = clock() - started
    await asyncio.sleep(seconds)
    lease.give_back()
    return waited


async def test_the_minimum_is_opened_ahead_of_need(server: Server, looptime: Any) -> None:
    async with pool_on(server, min_size=3) as pool:
        await asyncio.sleep(1)
        assert pool.stats().idle == 3
        assert await hold(pool, 0) == 0
        assert server.attempts[0] == 0
        assert len([moment for moment in server.attempts if moment <= OPENING]) <= 3
    assert server.connected == 0
    assert looptime == 1


async def test_idle_connections_beyond_the_minimum_are_closed(server: Server) -> None:
    async with pool_on(server, min_size=1, max_size=6, idle_time=60) as pool:
        await asyncio.gather(*(hold(pool, 1) for _ in range(6)))
        assert server.connected == 6
        await asyncio.sleep(50)
        assert server.connected == 6
        await asyncio.sleep(20)
        assert server.connected == 1
        await asyncio.sleep(3600)
        assert server.connected == 1


async def test_connections_are_replaced_before_their_lifetime_ends_and_not_all_at_once(server: Server) -> None:
    async with pool_on(server, min_size=8, max_size=8, lifetime=1000) as pool:
        await asyncio.sleep(790)
        assert len(server.made) == 8
        fewest = 8
        for _ in range(230):
            await asyncio.sleep(1)
            fewest = min(fewest, server.connected)
        assert all(connection.closed for connection in server.made[:8])
        assert server.connected == 8
        assert fewest >= 5, "jitter of 20 % spreads eight replacements over 200 s"
        assert pool.stats().opened == 16


async def test_a_connection_that_is_always_in_use_is_replaced_too_and_nobody_loses_their_turn(server: Server) -> None:
    async with pool_on(server, min_size=0, max_size=1, lifetime=100) as pool:

        async def busy() -> list[float]:
            return [await hold(pool, 1) for _ in range(60)]

        waits = list(itertools.chain(*await asyncio.gather(*(busy() for _ in range(3)))))
        assert len(server.made) >= 2
        assert max(waits) <= 2 + 2 * OPENING, "two others come first, and a replacement is opened in between"


async def test_only_a_connection_that_was_idle_is_asked_for_a_sign_of_life(server: Server) -> None:
    async with pool_on(server, min_size=1, max_size=1, check_after=1) as pool:
        await asyncio.sleep(0.5)
        (connection,) = server.made
        for _ in range(10):
            await hold(pool, 0.5)
        assert connection.pings == 0
        await asyncio.sleep(2)
        await hold(pool, 0)
        assert connection.pings == 1
        pool.suspect()
        await hold(pool, 0)
        assert connection.pings == 2


async def test_a_dead_idle_connection_costs_its_caller_one_check_and_no_error(server: Server) -> None:
    async with pool_on(server, min_size=1, max_size=1) as pool:
        await asyncio.sleep(10)
        server.made[0].dead = True
        assert await hold(pool, 0, timeout=5) == pytest.approx(1 + OPENING)
        assert [connection.closed for connection in server.made] == [True, False]


async def test_checks_that_nobody_answers_do_not_outlast_the_callers_deadline(server: Server) -> None:
    clock = asyncio.get_running_loop().time
    async with pool_on(server, min_size=3, max_size=3) as pool:
        await asyncio.gather(*(hold(pool, 0.1) for _ in range(3)))
        await asyncio.sleep(5.0)
        for connection in server.made:
            connection.dead = True
        server.refusal = DriverError(Failure.LOST, ConnectError("away"))
        started = clock()
        with pytest.raises((PoolTimeout, ConnectError)):
            await hold(pool, 0.0, timeout=0.2)
        assert clock() - started == pytest.approx(0.2, abs=0.06)


async def test_deadlines_of_waiting_callers_end_each_at_its_own_time(server: Server, looptime: Any) -> None:
    async with pool_on(server, min_size=0, max_size=1) as pool:
        holding = asyncio.ensure_future(hold(pool, 100))
        await asyncio.sleep(1)
        ended: dict[float, float] = {}

        async def wait(timeout: float) -> None:
            started = asyncio.get_running_loop().time()
            with pytest.raises(PoolTimeout, match=f"within {timeout:g} s"):
                await hold(pool, 0, timeout)
            ended[timeout] = asyncio.get_running_loop().time() - started

        await asyncio.gather(*(wait(timeout) for timeout in (3, 0.5, 7, 1)))
        assert {timeout: round(took, 6) for timeout, took in ended.items()} == {0.5: 0.5, 1: 1, 3: 3, 7: 7}
        assert looptime == 8
        await holding


async def test_while_a_host_is_away_one_task_asks_and_callers_get_their_error_in_time(server: Server) -> None:
    server.refusal = DriverError(Failure.LOST, ConnectError("db:5432 cannot be reached"))
    async with pool_on(server, min_size=0, max_size=10, max_waiting=1000, outage_timeout=30) as pool:
        outcomes = await asyncio.gather(*(hold(pool, 0, timeout=10) for _ in range(1000)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ConnectError}
        assert len(set(map(id, outcomes))) == 1000, "an exception that many tasks raise collects all their tracebacks"
        assert len(server.attempts) <= 60
        assert pool.stats().in_use == 0


async def test_after_long_callers_are_told_at_once_and_a_host_that_is_back_is_found_within_a_second(
    server: Server,
) -> None:
    server.refusal = DriverError(Failure.LOST, ConnectError("db:5432 cannot be reached"))
    async with pool_on(server, min_size=0, outage_timeout=30) as pool:
        with pytest.raises(ConnectError):
            await hold(pool, 0, timeout=40)
        started = asyncio.get_running_loop().time()
        with pytest.raises(CircuitOpen, match="cannot be reached"):
            await hold(pool, 0, timeout=40)
        assert asyncio.get_running_loop().time() == started
        assert pool.stats().breaker_is_open
        await asyncio.sleep(300)
        server.refusal = None
        await asyncio.sleep(1)
        assert await hold(pool, 0) == 0
        assert not pool.stats().breaker_is_open


@pytest.mark.parametrize("pause", [31.0, 3600.0])
@pytest.mark.parametrize("failure", [Failure.LOST, Failure.REFUSED], ids=["dropped", "refused"])
async def test_an_attempt_that_failed_when_nobody_waited_any_more_turns_nobody_away_later(
    server: Server, pause: float, failure: Failure
) -> None:
    """Both connections are busy, and one of them comes back while a third cannot be opened."""
    async with pool_on(server, min_size=2, max_size=5, outage_timeout=30) as pool:
        await asyncio.sleep(1)
        busy = [asyncio.ensure_future(hold(pool, seconds)) for seconds in (OPENING / 2, pause + 10)]
        await asyncio.sleep(0)
        server.refusal = DriverError(failure, ConnectError("db:5432 did not answer"))
        assert await hold(pool, pause, timeout=5) == pytest.approx(OPENING / 2)
        server.refusal = None
        busy.append(asyncio.ensure_future(hold(pool, 10)))
        await asyncio.sleep(0)
        waited = await asyncio.gather(*(hold(pool, 1, timeout=5) for _ in range(2)))
        assert max(waited) < 3 * OPENING, "one is opened after the other"
        assert not pool.stats().breaker_is_open
        await asyncio.gather(*busy)


async def test_one_failed_attempt_long_after_another_turns_nobody_away(server: Server) -> None:
    async with pool_on(server, min_size=0, max_size=5, outage_timeout=30) as pool:
        for _ in range(2):
            server.refusal = DriverError(Failure.LOST, ConnectError("db:5432 did not answer"))
            first = asyncio.ensure_future(hold(pool, 0, timeout=OPENING * 1.5))
            await asyncio.sleep(OPENING * 1.2)
            assert not pool.stats().breaker_is_open
            with pytest.raises(ConnectError, match="tried for"):
                await hold(pool, 0, timeout=OPENING)
            with pytest.raises(ConnectError, match="tried for"):
                await first
            await asyncio.sleep(3600)


async def test_callers_one_after_another_open_the_breaker_of_a_host_that_is_away(server: Server) -> None:
    server.refusal = DriverError(Failure.LOST, ConnectError("db:5432 cannot be reached"))
    async with pool_on(server, min_size=0, outage_timeout=30) as pool:
        for _ in range(4):
            with pytest.raises(ConnectError, match="tried for"):
                await hold(pool, 0, timeout=9)
        await asyncio.sleep(300)
        with pytest.raises(CircuitOpen):
            await hold(pool, 0, timeout=9)


async def test_a_host_that_is_silent_from_the_start_is_told_of_as_such_and_holds_up_no_end(server: Server) -> None:
    server.seconds = 60
    async with pool_on(server, min_size=0) as pool:
        with pytest.raises(ConnectError, match="db:5432 gave no connection within 2 s") as told:
            await hold(pool, 0, timeout=2)
        assert not isinstance(told.value, PoolTimeout), "a larger pool would not help"
        over = asyncio.get_running_loop().time()
        await pool.close()
        assert asyncio.get_running_loop().time() == over


async def test_a_full_server_opens_no_breaker(server: Server) -> None:
    async with pool_on(server, min_size=1, max_size=5, outage_timeout=30) as pool:
        await asyncio.sleep(1)
        server.refusal = DriverError(Failure.LOST, TooManyConnections("db:5432 refused the connection: too many"))
        waits = await asyncio.gather(*(hold(pool, 1) for _ in range(90)))
        assert max(waits) == pytest.approx(89, abs=1), "one connection serves them all, in order"
        assert len(server.attempts) <= 1 + 10 * 90
        assert not pool.stats().breaker_is_open
        holding = asyncio.ensure_future(hold(pool, 100))
        await asyncio.sleep(0)
        with pytest.raises(TooManyConnections, match=r"too many; no connection to db:5432 became free within 5 s"):
            await hold(pool, 0, timeout=5)
        await holding


async def test_more_callers_than_may_wait_are_refused_at_once(server: Server) -> None:
    async with pool_on(server, min_size=0, max_size=1, max_waiting=5) as pool:
        await hold(pool, 0)
        calls = [asyncio.ensure_future(hold(pool, 1)) for _ in range(6)]
        await asyncio.sleep(0.5)
        with pytest.raises(PoolTimeout, match="5 callers already wait"):
            await hold(pool, 0)
        await asyncio.gather(*calls)


async def test_a_call_of_a_pool_that_is_left_with_patience_keeps_its_deadline(server: Server, looptime: Any) -> None:
    async with pool_on(server, min_size=0) as pool:
        lease = await pool.acquire(Deadline.after(1))
        call = asyncio.ensure_future(lease.run(asyncio.sleep(3600), 20.0))
        await asyncio.sleep(1)
        closing = asyncio.ensure_future(pool.close(600))
        with pytest.raises(DriverError) as told:
            await call
        assert told.value.failure is Failure.TIMEOUT
        assert looptime == 20
        lease.give_back()
        await closing
        assert looptime == 20
