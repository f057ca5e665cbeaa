"""The shop and its customers on a real PostgreSQL: the books agree with the outcomes that the customers received."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.demo.load import Load
from rdskit.demo.model import Outcome
from rdskit.demo.shop import Order, is_placed, open_shop, place_order, read_books

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.postgres import TestDatabase


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off") as db:
        await open_shop(db)
        yield db


async def serve(load: Load, *, writers: int, readers: int, orders: int) -> None:
    """Let customers in until so many orders have ended."""
    customers = asyncio.create_task(load.run(writers, readers))
    async with asyncio.timeout(30):
        while True:
            if len(load.journal.writes) >= orders:
                break
            await asyncio.sleep(0.01)
    load.stop()
    await customers


async def test_an_order_is_placed_as_a_whole(db: rdskit.Database) -> None:
    number = await db.run(place_order, args=(Order("k1", article=7, quantity=3, cents=250),))
    assert await db.fetch_value("select id from orders") == number
    assert await is_placed(db, "k1")
    books = await read_books(db)
    assert (dict(books.orders), books.unpaid, books.stock_difference) == ({"k1": 1}, 0, 0)


async def test_the_books_show_what_is_wrong(db: rdskit.Database) -> None:
    for key in ("twice", "twice", "unpaid"):
        await db.run(place_order, args=(Order(key, article=1, quantity=1, cents=100),))
    await db.execute("delete from payments where order_id = (select id from orders where order_key = 'unpaid')")
    await db.execute("update stock set on_hand = on_hand - 5 where article = 2")
    books = await read_books(db)
    assert (dict(books.orders), books.unpaid, books.stock_difference) == ({"twice": 2, "unpaid": 1}, 1, 5)


async def test_customers_are_told_what_the_books_hold(db: rdskit.Database) -> None:
    load = Load(db, "run", asyncio.get_running_loop().time)
    await serve(load, writers=4, readers=2, orders=40)
    acknowledged = {write.key for write in load.journal.writes if write.outcome is Outcome.ACKNOWLEDGED}
    assert acknowledged == (await read_books(db)).orders.keys()
    assert {read.found for read in load.journal.reads} == {True}
    assert [write.ended for write in load.journal.writes] == sorted(write.ended for write in load.journal.writes)


async def test_a_customer_whose_order_is_refused_is_told_so(db: rdskit.Database) -> None:
    await db.execute("alter table payments add constraint none check (cents < 0)")
    load = Load(db, "run", asyncio.get_running_loop().time)
    await serve(load, writers=1, readers=1, orders=1)
    assert {(write.outcome, write.error) for write in load.journal.writes} == {(Outcome.FAILED, "IntegrityError")}
    assert (await read_books(db)).orders == {}
