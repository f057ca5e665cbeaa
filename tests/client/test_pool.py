"""The pool's promises, with the real driver and server."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from tests.plugins.postgres import TestDatabase


async def test_callers_are_served_in_order_of_arrival(database: TestDatabase) -> None:
    order: list[int] = []
    async with rdskit.connect(database.url, tls="off", max_size=1, max_waiting=50) as db:

        async def one(number: int) -> None:
            await db.fetch_value("select pg_sleep(0.002)")
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
    assert order == list(range(30))


async def test_too_many_callers_are_refused_at_once(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=1, max_waiting=2) as db:
        calls = [asyncio.ensure_future(db.fetch_value("select pg_sleep(0.2)")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(rdskit.PoolTimeout, match="2 callers already wait"):
            await db.fetch_value("select 1")
        await asyncio.gather(*calls)


async def test_waiting_ends_at_the_deadline_and_says_why(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=1) as db:
        slow = asyncio.ensure_future(db.fetch_value("select pg_sleep(1)"))
        await asyncio.sleep(0)
        with pytest.raises(rdskit.PoolTimeout, match=r"became free within 0\.05 s: 1 of 1 are open"):
            await db.fetch_value("select 1", timeout=0.05)
        assert db.stats().writer.waiting == 0
        await slow


async def test_blocks_that_wait_for_each_other_are_told_at_once(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=3) as db:
        entered = asyncio.Barrier(3)

        async def nested() -> int:
            async with db.transaction():
                await entered.wait()
                number: int = await db.fetch_value("select 1")
                return number

        outcomes = await asyncio.gather(*(nested() for _ in range(3)), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, rdskit.PoolTimeout)]
        assert len(refused) == 1
        assert "use its transaction instead of the database" in str(refused[0])
        assert outcomes.count(1) == 2


async def test_a_dead_server_costs_few_attempts_and_one_clear_error_each(database: TestDatabase) -> None:
    url = f"postgresql://stranger:x@{database.host}:1/none"
    with pytest.raises(rdskit.ConnectError, match="cannot be reached"):
        await rdskit.connect(url, tls="off", connect_timeout=0.5)


async def test_refused_logins_fail_every_waiter_with_the_reason(database: TestDatabase) -> None:
    url = database.url.replace(database.password, "wrong")
    with pytest.raises(rdskit.AuthenticationError, match="refused the login of user 'postgres'") as caught:
        await rdskit.connect(url, tls="off")
    assert "wrong" not in str(caught.value)


async def test_tls_is_demanded_by_default(database: TestDatabase) -> None:
    with pytest.raises(rdskit.TLSError, match="offers no TLS"):
        await rdskit.connect(database.url)


async def test_credentials_are_read_again_when_the_server_refuses_them(database: TestDatabase) -> None:
    class Rotating:
        asked: list[rdskit.Login | None] = []  # noqa: RUF012 - one object, one test

        async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:
            assert endpoint == (database.host, database.port)
            self.asked.append(refused)
            return rdskit.Login(database.user, database.password if refused else "the one before")

    async with rdskit.connect(database.url, tls="off", credentials=Rotating(), min_size=0) as db:
        assert await db.fetch_value("select 1") == 1
    assert Rotating.asked[:2] == [None, rdskit.Login(database.user, "the one before")]


async def test_after_a_long_outage_callers_are_told_at_once_and_the_host_is_found_again(tmp_path: Path) -> None:
    """The server goes away and comes back; attempts stay few however many ask."""
    with throwaway_postgres(tmp_path) as server:
        url = f"postgresql://{server.superuser}:{server.password}@{server.host}:{server.port}/postgres"
        async with rdskit.connect(url, tls="off", max_size=4, max_waiting=2000, timeout=1.0) as db:
            writer = db._cluster.writer
            await db.fetch_value("select 1")
            writer.limits = dataclasses.replace(writer.limits, outage_timeout=3600)  # no call fails at once yet
            await asyncio.to_thread(server.kill)

            async def call(delay: float) -> str:
                await asyncio.sleep(delay)
                try:
                    await db.fetch_value("select 1")
                except rdskit.ConnectError as error:
                    return type(error).__name__
                return "answer"

            async def calls() -> dict[str, int]:
                return collections.Counter(await asyncio.gather(*(call(number / 1000) for number in range(500))))

            async def is_open() -> bool:
                await call(0)  # a host that no caller waits for is not asked, so nothing is known of it
                return db.stats().writer.breaker_is_open

            assert await calls() == {"ConnectError": 500}
            writer.limits = dataclasses.replace(writer.limits, outage_timeout=0.5)
            assert await eventually(is_open)
            assert await calls() == {"CircuitOpen": 500}
            assert db.stats().writer.failed_connects <= 1100

            await asyncio.to_thread(server.start)
            assert await eventually(lambda: _answered(call))


async def _answered(call: Callable[[float], Awaitable[str]]) -> bool:
    return await call(0) == "answer"


def test_a_database_stays_in_its_event_loop(database: TestDatabase) -> None:
    async def connect() -> rdskit.Database:
        return await rdskit.connect(database.url, tls="off", min_size=0)

    async def use(db: rdskit.Database) -> None:
        await db.fetch_value("select 1")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        db = first.run(connect())
        with pytest.raises(rdskit.ConfigError, match="belongs to another event loop"):
            second.run(use(db))
        assert first.run(db.fetch_value("select 1")) == 1
        first.run(db.close())


async def test_closing_ends_the_wait_of_every_caller(database: TestDatabase) -> None:
    db = await rdskit.connect(database.url, tls="off", max_size=1)
    calls = [asyncio.ensure_future(db.fetch_value("select pg_sleep(0.3)", timeout=None)) for _ in range(3)]
    await asyncio.sleep(0)
    await db.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[0] is None or isinstance(outcomes[0], rdskit.RdskitError)
    for outcome in outcomes[1:]:
        assert isinstance(outcome, rdskit.ConfigError), outcome
        assert "was closed while a call waited" in str(outcome)


async def test_a_server_that_is_full_is_asked_seldom_and_those_connections_that_it_gave_serve_all(
    database: TestDatabase,
) -> None:
    admin = await rdskit.connect(database.url, tls="off", min_size=0, max_size=1)
    await admin.execute("create role crowded login password 'crowded-word' connection limit 2")
    try:
        url = f"postgresql://crowded:crowded-word@{database.host}:{database.port}/{database.name}"
        async with rdskit.connect(url, tls="off", min_size=0, max_size=8) as db:
            answers = await asyncio.gather(*(db.fetch_value(f"select {n} from pg_sleep(0.02)") for n in range(60)))
            assert answers == list(range(60))
            stats = db.stats().writer
            assert (stats.opened, stats.breaker_is_open) == (2, False)
            assert 1 <= stats.failed_connects <= 60
            held = [asyncio.ensure_future(db.fetch_value("select pg_sleep(2)")) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(rdskit.TooManyConnections, match=r"too many connections.*2 of 8 are open"):
                await db.fetch_value("select 1", timeout=0.5)
            await asyncio.gather(*held)
    finally:
        await admin.execute("drop role crowded")
        await admin.close()


async def test_credentials_that_raise_are_told_to_the_caller_at_once(database: TestDatabase) -> None:
    class Broken:
        async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:  # noqa: ARG002 - the port's
            raise KeyError("vault")

    with pytest.raises(rdskit.ConnectError, match="raised KeyError") as caught:
        await rdskit.connect(database.url, tls="off", credentials=Broken())
    assert isinstance(caught.value.__cause__, KeyError)
