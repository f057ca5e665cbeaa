"""What a closure or a statement that is given up says: what was repeated, how often, and why it is not any more."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import pytest

import rdskit
import rdskit.sync
from rdskit.events import Event, QueryRetried
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(90)
DEADLOCK = {
    True: "create function collide() returns int language plpgsql as $$ begin raise sqlstate '40P01'; end $$",
    False: (
        "create function collide() returns int deterministic begin "
        "signal sqlstate '40001' set mysql_errno = 1213, message_text = 'x'; return 1; end"
    ),
}


async def collide(db: rdskit.Database) -> None:
    """Make a function that ends as a deadlock's victim does."""
    await db.execute(DEADLOCK["PostgreSQL" in await db.fetch_value("select version()")])


async def transfer(tx: Transaction, amount: int) -> None:
    await tx.execute("update account set balance = balance - :amount where id = 1", amount=amount)
    await tx.execute("select collide()")


async def test_a_storm_of_deadlocks_is_not_hidden_by_the_deadline(db: rdskit.Database) -> None:
    await collide(db)
    # The deadline passes between two attempts, or in the middle of one.
    with pytest.raises((rdskit.DeadlockError, rdskit.QueryTimeout)) as caught:
        await db.run(transfer, args=(1,), timeout=1.0)
    told = str(caught.value)
    assert "transfer was attempted" in told
    assert " DeadlockError" in told
    assert "because its deadline of 1 s has passed" in told
    assert "lock rows in one order" in told
    assert await db.fetch_value("select balance from account where id = 1") == 100


async def test_an_error_that_is_not_repeated_tells_of_the_attempts_before_it(db: rdskit.Database) -> None:
    await collide(db)
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await tx.execute("select collide()" if attempts < 3 else "select * from nowhere")

    with pytest.raises(rdskit.StatementError) as caught:
        await db.run(functools.partial(work))
    told = str(caught.value)
    assert "work was attempted 3 times (2 DeadlockError, 1 StatementError)" in told
    assert "because StatementError is not repeated" in told


async def test_an_exception_of_the_closure_is_left_alone_and_has_a_note(db: rdskit.Database) -> None:
    await collide(db)
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            raise KeyError("mine")
        await tx.execute("select collide()")

    with pytest.raises(KeyError) as caught:
        await db.run(work)
    assert caught.value.args == ("mine",)
    (note,) = caught.value.__notes__
    assert "work was attempted 3 times (2 DeadlockError, 1 KeyError)" in note


async def test_a_first_error_that_is_not_repeated_speaks_for_itself(db: rdskit.Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("select * from nowhere")

    with pytest.raises(rdskit.StatementError) as caught:
        await db.run(work)
    assert "attempted" not in str(caught.value)


async def test_a_pool_that_is_empty_after_conflicts_tells_of_them(target: TestDatabase | FamilyDatabase) -> None:
    async with rdskit.connect(target.url, tls="off", min_size=0, max_size=1) as db:
        await collide(db)
        inside, may_go_on = asyncio.Event(), asyncio.Event()

        async def work(tx: Transaction) -> None:
            inside.set()
            await may_go_on.wait()
            await tx.execute("select collide()")

        running = asyncio.ensure_future(db.run(work, timeout=0.5))
        await inside.wait()
        other = db.transaction(exactly_once=False)
        entering = asyncio.ensure_future(other.__aenter__())  # it waits for the only connection, and has it next
        await eventually(lambda: is_waited_for(db))
        may_go_on.set()
        with pytest.raises(rdskit.PoolTimeout) as caught:
            await running
        await entering
        await other.__aexit__(None, None, None)
    assert "work was attempted 2 times (1 DeadlockError, 1 PoolTimeout)" in str(caught.value)
    assert "because its deadline of 0.5 s has passed" in str(caught.value)


async def is_waited_for(db: rdskit.Database) -> bool:
    return db.stats().writer.waiting == 1


async def test_observers_are_notified_of_repeated_closures(target: TestDatabase | FamilyDatabase) -> None:
    seen: list[Event] = []
    async with rdskit.connect(target.url, tls="off", min_size=1, max_size=2, observers=[seen.append]) as db:
        await collide(db)
        attempts = 0

        async def work(tx: Transaction) -> int:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                await tx.execute("select collide()")
            return attempts

        assert await db.run(work) == 3
    retried = [event for event in seen if isinstance(event, QueryRetried)]
    assert [(event.failure, event.attempt) for event in retried] == [("CONFLICT", 1), ("CONFLICT", 2)]
    assert all(event.subject.endswith("work") for event in retried)


def test_the_facade_names_the_function_that_the_caller_gave(target: TestDatabase | FamilyDatabase) -> None:
    with rdskit.sync.connect(target.url, tls="off", min_size=1, max_size=2) as db:
        db.execute(DEADLOCK["PostgreSQL" in db.fetch_value("select version()")])

        def withdraw(tx: rdskit.sync.Transaction) -> None:
            tx.execute("select collide()")

        with pytest.raises((rdskit.DeadlockError, rdskit.QueryTimeout), match="withdraw was attempted"):
            db.run(withdraw, timeout=0.6)
        with pytest.raises((rdskit.DeadlockError, rdskit.QueryTimeout), match="withdraw was attempted"):
            db.run(functools.partial(withdraw), timeout=0.6)


async def test_a_statement_that_is_repeated_and_given_up_says_so(db: rdskit.Database) -> None:
    await collide(db)
    with pytest.raises(rdskit.DeadlockError, match=r"the statement was attempted 9 times \(9 DeadlockError\)"):
        await db.execute("update account set balance = collide() where id = 1")
