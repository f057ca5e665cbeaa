"""Idempotency keys: the work is done once, and everybody who asks gets its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import rdskit

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction


class Orders:
    """Counts how often the work was really done."""

    def __init__(self) -> None:
        self.done = 0

    async def order(self, tx: Transaction, item: str, *, pieces: int = 1) -> dict[str, Any]:
        self.done += 1
        await tx.execute("update account set balance = balance - :p where id = 1", p=pieces)
        return {"item": item, "pieces": pieces, "tuple": (1, 2)}


async def test_a_repeated_request_gets_the_first_answer(db: rdskit.Database) -> None:
    orders = Orders()
    answers = [await db.run_once("k1", orders.order, args=("tea",), kwargs={"pieces": 3}) for _ in range(3)]
    assert answers == [{"item": "tea", "pieces": 3, "tuple": [1, 2]}] * 3
    assert orders.done == 1
    assert await db.fetch_value("select balance from account where id = 1") == 97


async def test_concurrent_duplicates_wait_for_the_first(db: rdskit.Database) -> None:
    orders = Orders()
    await asyncio.gather(*(db.run_once("k1", orders.order, args=("tea",)) for _ in range(6)))
    assert await db.fetch_value("select balance from account where id = 1") == 99


async def test_another_request_with_the_same_key_is_refused(db: rdskit.Database) -> None:
    orders = Orders()
    await db.run_once("k1", orders.order, args=("tea",))
    with pytest.raises(rdskit.IntegrityError, match="'k1' was used for another request"):
        await db.run_once("k1", orders.order, args=("coffee",))
    await db.run_once("K1", orders.order, args=("coffee",))
    await db.run_once("k1", orders.order, args=("coffee",), scope="another tenant")
    assert orders.done == 3


async def test_after_an_error_the_key_is_free(db: rdskit.Database) -> None:
    orders = Orders()
    with pytest.raises(rdskit.IntegrityError):
        await db.run_once("k1", orders.order, args=("tea",), kwargs={"pieces": 1000})
    await db.run_once("k1", orders.order, args=("tea",))
    assert await db.fetch_value("select balance from account where id = 1") == 99


async def test_an_expired_key_is_free(db: rdskit.Database) -> None:
    orders = Orders()
    await db.run_once("k1", orders.order, args=("tea",), keep=0.0)
    await db.run_once("k1", orders.order, args=("coffee",))
    assert orders.done == 2


async def test_what_json_cannot_hold_is_refused_and_undone(db: rdskit.Database) -> None:
    async def work(tx: Transaction) -> object:
        await tx.execute("update account set balance = 0 where id = 1")
        return object()

    with pytest.raises(rdskit.ConfigError, match="cannot be written as JSON"):
        await db.run_once("k1", work)
    with pytest.raises(rdskit.ConfigError, match="give one with fingerprint="):
        await db.run_once("k1", work, args=(object(),))
    assert await db.fetch_value("select balance from account where id = 1") == 100
