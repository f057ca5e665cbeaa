"""Old rows of our tables go by themselves, a few at a time, and only those whose time is over."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from rdskit.client.api import dialect_of
from rdskit.client.transactions import CommitMarker, purge_sometimes
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    import rdskit
    from rdskit.client.transactions import Transaction

DAY = 24 * 3600


@pytest.fixture
def every_call_purges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance has it that each call is the one of five hundred."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


async def _work(tx: Transaction) -> int:
    return int(await tx.execute("update account set balance = balance - 1 where id = 1"))


async def _age(db: rdskit.Database, table: str, column: str, seconds: float) -> None:
    """Have the clock of the table's rows be ahead by some seconds: all they were given lies further back."""
    back = f"{column} - make_interval(secs => :s)"
    if dialect_of(db) is Dialect.MYSQL:
        back = f"timestampadd(microsecond, -:s * 1000000, {column})"
    await db.execute(f"update {table} set {column} = {back}", s=float(seconds))


async def _count(db: rdskit.Database, table: str) -> int:
    return int(await db.fetch_value(f"select count(*) from {table}"))


@pytest.mark.usefixtures("every_call_purges")
async def test_a_marker_is_kept_for_a_day(db: rdskit.Database) -> None:
    await db.run(_work, exactly_once=True)
    await _age(db, "rdskit_txn", "created_at", DAY - 60)
    await db.run(_work, exactly_once=True)
    assert await _count(db, "rdskit_txn") == 2
    await _age(db, "rdskit_txn", "created_at", 120)
    async with db.transaction() as tx:  # a block tidies as well
        await _work(tx)
    assert await _count(db, "rdskit_txn") == 2


@pytest.mark.usefixtures("every_call_purges")
async def test_an_answer_is_kept_until_it_expires(db: rdskit.Database) -> None:
    await db.run_once("short", _work, keep=100)
    await db.run_once("long", _work, keep=1000)
    await _age(db, "rdskit_idempotency", "expires_at", 90)
    await db.run_once("another", _work)
    assert await _count(db, "rdskit_idempotency") == 3
    await _age(db, "rdskit_idempotency", "expires_at", 20)
    await db.run(_work, exactly_once=True)  # the two tables are cleared together
    kept = await db.fetch_all("select idempotency_key from rdskit_idempotency")
    assert {row[0] if isinstance(row[0], str) else row[0].decode() for row in kept} == {
        "long",
        "another",
    }
    await db.run_once("long", _work, keep=1000)
    assert await db.fetch_value("select balance from account where id = 1") == 96


async def test_hardly_any_call_pays_for_it(db: rdskit.Database) -> None:
    for key in ("a", "b"):
        await db.run_once(key, _work, keep=0)
    await purge_sometimes(dialect_of(db), db.transaction, 0.01)
    assert await _count(db, "rdskit_idempotency") == 2
    await purge_sometimes(dialect_of(db), lambda: db.transaction(exactly_once=False), 0.0)
    assert await _count(db, "rdskit_idempotency") == 0


async def test_a_purge_is_bounded(db: rdskit.Database) -> None:
    async with db.transaction(exactly_once=False) as tx:
        await tx.insert_many("rdskit_txn", [{"id": CommitMarker().number, "committed": True} for _ in range(1100)])
    await _age(db, "rdskit_txn", "created_at", 2 * DAY)
    for left in (100, 0):
        await purge_sometimes(dialect_of(db), lambda: db.transaction(exactly_once=False), 0.0)
        assert await _count(db, "rdskit_txn") == left


async def test_a_key_that_is_used_anew_outlives_the_purge(
    db: rdskit.Database, caplog: pytest.LogCaptureFixture
) -> None:
    await db.run_once("k", _work, keep=0)

    async def purged_meanwhile(tx: Transaction) -> str:
        await tx.execute("update account set balance = 50 where id = 2")
        # It neither waits for us nor takes the key from under us.
        await purge_sometimes(dialect_of(db), lambda: db.transaction(isolation="read committed", timeout=30), 0.0)
        return "again"

    assert await db.run_once("k", purged_meanwhile) == "again"
    assert caplog.text == ""
    assert await db.run_once("k", purged_meanwhile) == "again"
    assert await _count(db, "rdskit_idempotency") == 1


async def test_a_purge_that_fails_is_not_the_callers_concern(
    db: rdskit.Database, caplog: pytest.LogCaptureFixture
) -> None:
    await db.execute("drop table rdskit_idempotency")
    await purge_sometimes(dialect_of(db), lambda: db.transaction(exactly_once=False), 0.0)
    assert "could not be removed" in caplog.text
    assert await db.run(_work, exactly_once=True) == 1
