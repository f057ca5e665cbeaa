"""Transaction blocks on every engine: levels, modes, savepoints, callbacks and deadlines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


async def _balances(db: rdskit.Database) -> list[int]:
    return [row.balance for row in await db.fetch_all("select balance from account order by id")]


async def _take(tx: Transaction, amount: int) -> None:
    await tx.execute("update account set balance = balance - :a where id = 1", a=amount)


async def test_serializable_reads_do_not_change(db: rdskit.Database) -> None:
    text = "select balance from account where id = 2"
    for level in ("repeatable read", "serializable"):
        async with db.transaction(isolation=level, read_only=True) as tx:
            assert await tx.fetch_value(text) == await tx.fetch_value(text)
    async with db.transaction(isolation="repeatable read") as tx:
        before = await tx.fetch_value(text)
        await db.execute("update account set balance = balance + 1 where id = 2")
        assert await tx.fetch_value(text) == before
    async with db.transaction(isolation="read committed") as tx:
        before = await tx.fetch_value(text)
        await db.execute("update account set balance = balance + 1 where id = 2")
        assert await tx.fetch_value(text) == before + 1


async def test_a_read_only_transaction_refuses_writes(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.ReadOnlyError):
        async with db.transaction(read_only=True) as tx:
            await _take(tx, 1)
    assert await _balances(db) == [100, 100]


async def test_savepoints_are_undone_alone(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        await _take(tx, 10)
        with pytest.raises(ZeroDivisionError):
            async with tx.transaction():
                await _take(tx, 20)
                async with tx.transaction():
                    await _take(tx, 30)
                _ = 1 / 0
        async with tx.transaction():
            await _take(tx, 1)
    assert await _balances(db) == [89, 100]


async def test_callbacks_run_after_the_commit_and_in_order(
    db: rdskit.Database, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    async def look() -> None:
        heard.append(await _balances(db))

    def fail() -> None:
        raise ZeroDivisionError

    async with db.transaction() as tx:
        await _take(tx, 10)
        tx.on_commit(fail)
        tx.on_commit(look)
        with pytest.raises(ZeroDivisionError):
            async with tx.transaction():
                tx.on_commit(lambda: heard.append("undone"))
                _ = 1 / 0
        async with tx.transaction():
            tx.on_commit(lambda: heard.append("nested"))
        assert heard == []
    assert heard == [[90, 100], "nested"]
    assert "is committed all the same" in caplog.text


async def test_callbacks_of_what_is_undone_never_run(db: rdskit.Database) -> None:
    heard: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            tx.on_commit(lambda: heard.append("called"))
            _ = 1 / 0
    assert heard == []


async def test_callbacks_run_once_for_all_attempts(db: rdskit.Database) -> None:
    attempts, heard = 0, []

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        attempt = attempts
        tx.on_commit(lambda: heard.append(attempt))
        await _take(tx, 1)
        if attempt == 1:
            raise rdskit.SerializationError("once")

    await db.run(work)
    assert (attempts, heard) == (2, [2])


async def test_a_deadline_before_commit_changes_nothing_and_says_so(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryTimeout) as caught:
        async with db.transaction(timeout=1.0) as tx:
            await _take(tx, 10)
            await asyncio.sleep(1.05)
    assert not isinstance(caught.value, rdskit.OutcomeUnknown)
    assert await _balances(db) == [100, 100]


async def test_a_deadline_inside_rolls_everything_back(
    db: rdskit.Database, target: TestDatabase | FamilyDatabase
) -> None:
    sleep = "select pg_sleep(5)" if target.url.startswith("postgres") else "select sleep(5)"
    with pytest.raises(rdskit.QueryTimeout):
        async with db.transaction(timeout=1.0) as tx:
            await _take(tx, 10)
            await tx.fetch_one(sleep)
    assert await _balances(db) == [100, 100]
