"""Transactions on a real server: together or not at all, and again as a whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.client.conftest import is_at_rest
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.transactions import Transaction
    from tests.plugins.postgres import TestDatabase


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", max_size=8) as db:
        await db.execute("create table account (id int primary key, balance int not null check (balance >= 0))")
        await db.execute("insert into account values (1, 100), (2, 100)")
        yield db


async def _balances(db: rdskit.Database) -> list[int]:
    return [row.balance for row in await db.fetch_all("select balance from account order by id")]


async def _move(tx: Transaction, amount: int) -> None:
    await tx.execute("update account set balance = balance - :a where id = 1", a=amount)
    await tx.execute("update account set balance = balance + :a where id = 2", a=amount)


async def test_it_commits_when_the_block_ends(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        await _move(tx, 30)
        assert await _balances(db) == [100, 100]
    assert await _balances(db) == [70, 130]


async def test_it_rolls_back_when_the_block_raises(db: rdskit.Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await _move(tx, 30)
            _ = 1 / 0
    assert await _balances(db) == [100, 100]
    await eventually(lambda: is_at_rest(db))


async def test_a_nested_block_is_undone_alone(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        await _move(tx, 10)
        with pytest.raises(rdskit.IntegrityError):
            async with tx.transaction():
                await _move(tx, 1000)
        await _move(tx, 10)
    assert await _balances(db) == [80, 120]


async def test_a_swallowed_error_is_not_taken_for_a_commit(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryError, match="rolled back, because a statement in it had failed"):
        async with db.transaction() as tx:
            await _move(tx, 10)
            with pytest.raises(rdskit.IntegrityError):
                await _move(tx, 1000)
    assert await _balances(db) == [100, 100]


async def test_a_cancelled_block_rolls_back(db: rdskit.Database) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with db.transaction() as tx:
            await _move(tx, 10)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await db.execute("update account set balance = balance + 1 where id = 1")
    assert await _balances(db) == [101, 100]


async def test_levels_and_modes_reach_the_server(db: rdskit.Database) -> None:
    async with db.transaction(isolation="serializable", read_only=True, deferrable=True) as tx:
        assert await tx.fetch_value("show transaction_isolation") == "serializable"
        assert await tx.fetch_value("show transaction_read_only") == "on"
        assert await tx.fetch_value("show transaction_deferrable") == "on"
    with pytest.raises(rdskit.ReadOnlyError):
        async with db.transaction(read_only=True) as tx:
            await _move(tx, 1)
    with pytest.raises(rdskit.ConfigError, match="is not a level"):
        async with db.transaction(isolation="chaos"):  # type: ignore[arg-type]
            pass


async def test_run_repeats_the_whole_closure_after_a_conflict(db: rdskit.Database) -> None:
    attempts = 0

    async def increment(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        balance = await tx.fetch_value("select balance from account where id = 1")
        await tx.execute("update account set balance = :b where id = 1", b=balance + 1)

    await asyncio.gather(*(db.run(increment, isolation="serializable") for _ in range(20)))
    assert await _balances(db) == [120, 100]
    assert attempts > 20


async def test_run_repeats_after_a_lost_connection_whatever_the_closure_makes_of_it(
    db: rdskit.Database,
) -> None:
    kills = 2

    async def killed(tx: Transaction, amount: int, *, to: int) -> int:
        nonlocal kills
        await tx.execute("update account set balance = balance - :a where id = 1", a=amount)
        if kills:
            kills -= 1
            pid = await tx.fetch_value("select pg_backend_pid()")
            await db.fetch_value("select pg_terminate_backend(:pid)", pid=pid)
        try:
            await tx.execute("update account set balance = balance + :a where id = :to", a=amount, to=to)
        except rdskit.RdskitError as error:
            raise RuntimeError("could not move") from error
        return amount

    assert await db.run(killed, args=(5,), kwargs={"to": 2}) == 5
    assert await _balances(db) == [95, 105]


async def test_run_does_not_repeat_what_the_server_refused(db: rdskit.Database) -> None:
    attempts = 0

    async def overdraw(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await _move(tx, 1000)

    with pytest.raises(rdskit.IntegrityError):
        await db.run(overdraw)
    assert attempts == 1


async def test_its_own_words_are_refused_inside(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.ConfigError, match="the block's task"):
        async with db.transaction() as tx:
            await tx.execute("commit")
