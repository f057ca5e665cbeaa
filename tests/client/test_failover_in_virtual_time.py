"""Failovers as the client sees them, in virtual time: stale views, unreachable hosts, and connection attempts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import FailoverError, OutcomeUnknown
from tests.client.estate import ANSWER, Estate, connected

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("answer", [ANSWER / 5, ANSWER * 4], ids=["sooner", "later"])
async def test_a_reader_whose_view_is_late_keeps_nobody_from_the_new_writer(answer: float) -> None:
    """Whether it answers before the new writer does, or after that, when the client has moved already."""
    estate = Estate()
    estate.servers["three"].answer = answer
    async with connected(estate) as application, application.running():
        await asyncio.sleep(2)
        estate.servers["one"].silent = True
        await asyncio.sleep(0.6)
        estate.promote("two")  # and "three" goes on naming "one"
        assert await application.all_wrote(within=60) < 1
        estate.demote("one", "two")
        await asyncio.sleep(1)
        assert await application.all_wrote(within=60) < 1
        assert {type(error) for error in application.errors} <= {OutcomeUnknown}
        assert len(application.errors) <= 20


async def test_a_client_that_is_told_of_the_old_writer_at_first_finds_the_new_one() -> None:
    estate = Estate()
    estate.promote("two")
    estate.demote("one", writer="two")
    estate.servers["two"].answer = 2.0  # too late to be heard: "three", which names "one", is all there is
    asyncio.get_running_loop().call_later(3.0, lambda: setattr(estate.servers["two"], "answer", ANSWER))
    async with connected(estate, writers=2) as application:
        await application.write(timeout=1)


async def test_a_writer_that_was_lost_while_no_connection_was_open_is_looked_for_at_once() -> None:
    estate = Estate()
    async with connected(estate, writers=1, min_size=0, idle_time=60) as application:
        await application.write()
        await asyncio.sleep(120)
        estate.servers["one"].kill()
        estate.promote("two")
        await application.write(timeout=2)


async def test_a_writer_that_fell_silent_while_no_connection_was_open_is_looked_for_soon() -> None:
    estate = Estate()
    async with connected(estate, writers=1, min_size=0, idle_time=60) as application:
        await application.write()
        await asyncio.sleep(120)
        estate.servers["one"].silent = True
        asyncio.get_running_loop().call_later(0.6, estate.promote, "two")  # at first everybody still names "one"
        await application.write(timeout=2)  # and not after the 5 s in which a connection must be open


async def test_few_connections_are_asked_for_in_a_failover() -> None:
    """As many as the writers use at once, one line a host, and of the old writer few."""
    estate = Estate()
    async with connected(estate) as application, application.running():
        await asyncio.sleep(2)
        began = asyncio.get_running_loop().time()
        in_use = len(estate.servers["one"].lines)
        estate.servers["one"].kill()
        await asyncio.sleep(0.2)
        estate.promote("two")
        await application.all_wrote(within=60)
        await asyncio.sleep(0.5)
        asked = estate.attempts_since(began)
        assert asked["three"] == 1
        assert asked["two"] <= in_use + 1
        assert asked["one"] <= 20, "waiting is a matter of chance; 10 are to be expected"


async def transfer(tx: Transaction) -> None:
    await tx.execute("insert into load values (1)")


async def test_a_transaction_that_meets_a_host_that_only_reads_leads_to_the_new_writer() -> None:
    estate = Estate()
    async with connected(estate, writers=3) as application:
        await asyncio.sleep(5)
        estate.switch_over("two")
        await application.db.run(transfer, timeout=2)
        await asyncio.sleep(5)
        estate.switch_over("three")
        with pytest.raises(FailoverError, match="it reads only"):
            async with application.db.transaction() as tx:
                await transfer(tx)
        async with application.db.transaction(timeout=1) as tx:
            await transfer(tx)


async def test_a_transaction_that_the_old_writer_still_has_does_not_disturb_the_new_one() -> None:
    estate = Estate()
    async with connected(estate, writers=3) as application:
        with pytest.raises(FailoverError, match="it reads only"):
            async with application.db.transaction() as tx:
                estate.switch_over("two")
                await application.db.run(transfer, timeout=2)
                await asyncio.sleep(0.5)
                moved, began = set(estate.servers["two"].lines), asyncio.get_running_loop().time()
                await transfer(tx)
        await asyncio.sleep(1)
        assert moved
        assert moved <= estate.servers["two"].lines
        assert estate.attempts_since(began)["two"] == 0
