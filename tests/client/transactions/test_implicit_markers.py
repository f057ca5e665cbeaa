"""Where the tables of ``setup`` are, ``run`` finds out by itself what became of a COMMIT whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.client.api import dialect_of
from rdskit.client.transactions import MarkerTable
from rdskit.kernel.sql import Dialect
from tests.client.transactions.cut_at_commit import CutAtCommit

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.transactions import Transaction
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


class Deposit:
    """A closure, how often it ran, and what is done to its first attempt's connection."""

    def __init__(self, spoil: Callable[[Any], Any] = lambda connection: connection) -> None:
        self.attempts = 0
        self._spoil = spoil

    async def __call__(self, tx: Transaction) -> int:
        self.attempts += 1
        await tx.execute("update account set balance = balance + 1 where id = 1")
        if self.attempts == 1:
            tx._connection = self._spoil(tx._connection)
        return self.attempts


async def balance(db: rdskit.Database | rdskit.Transaction) -> int:
    return int(await db.fetch_value("select balance from account where id = 1"))


async def markers(db: rdskit.Database) -> int:
    return int(await db.fetch_value("select count(*) from rdskit_txn"))


@pytest.mark.parametrize("done", [True, False])
async def test_a_lost_commit_is_resolved(db: rdskit.Database, *, done: bool) -> None:
    told: list[str] = []
    deposit = Deposit(lambda connection: CutAtCommit(connection, done=done))

    async def work(tx: Transaction) -> int:
        answer = await deposit(tx)
        tx.on_commit(lambda: told.append("committed"))
        return answer

    assert await db.run(work) == deposit.attempts == (1 if done else 2)
    assert told == ["committed"]
    assert await balance(db) == 101


async def test_without_the_tables_the_outcome_is_unknown_and_the_way_out_is_named(
    target: TestDatabase | FamilyDatabase,
) -> None:
    async with rdskit.connect(target.url, tls="off", max_size=2) as db:
        await db.execute("create table account (id int primary key, balance int not null)")
        await db.execute("insert into account values (1, 100)")
        deposit = Deposit(lambda connection: CutAtCommit(connection, done=True))
        with pytest.raises(rdskit.OutcomeUnknown, match="rdskit setup TARGET"):
            await db.run(deposit)
        assert (deposit.attempts, await balance(db)) == (1, 101)
        await db.setup()
        assert await db.run(Deposit()) == 1
        assert await markers(db) == 1, "made just now by this object, so looked for at once"


async def test_it_can_be_spared(db: rdskit.Database) -> None:
    await db.run(Deposit())
    assert await markers(db) == 1
    await db.run(Deposit(), exactly_once=False)
    await db.run(balance)
    async with db.session() as session:
        await session.run(Deposit(), exactly_once=False)
    assert await markers(db) == 1
    deposit = Deposit(lambda connection: CutAtCommit(connection, done=True))
    with pytest.raises(rdskit.OutcomeUnknown):
        await db.run(deposit, exactly_once=False)


async def test_a_table_that_is_gone_is_done_without(db: rdskit.Database) -> None:
    await db.run(Deposit())
    await db.execute("drop table rdskit_txn")
    deposit, next_one = Deposit(), Deposit()
    await db.run(deposit)
    await db.run(next_one)
    # PostgreSQL rolls back what a refused row ends, so the closure has run again; and only once.
    assert deposit.attempts == (2 if dialect_of(db) is Dialect.POSTGRES else 1)
    assert next_one.attempts == 1
    assert await balance(db) == 103


async def test_a_closure_may_be_another_role_and_look_elsewhere(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=2) as db:
        await db.setup()
        await db.execute("create schema tenant")
        await db.execute("create table tenant.account (id int primary key, balance int not null)")
        await db.execute("insert into tenant.account values (1, 100)")
        role = f"tenant_{database.url.rpartition('/')[2].partition('?')[0]}"
        await db.execute(f"create role {role}")
        await db.execute(f"grant usage on schema tenant to {role}")
        await db.execute(f"grant select, update on tenant.account to {role}")

        async def elsewhere(tx: Transaction) -> int:
            await tx.execute("set local search_path = tenant")
            return int(await tx.execute("update account set balance = balance + 1"))

        attempts: list[int] = []

        async def as_tenant(tx: Transaction) -> int:
            attempts.append(1)
            await tx.execute(f"set local role {role}")
            return int(await tx.execute("update tenant.account set balance = balance + 1"))

        await db.execute(
            "create function become(role text) returns void language plpgsql as "
            "$$ begin perform set_config('role', role, true); end $$"
        )

        async def unseen(tx: Transaction) -> int:
            attempts.append(1)
            await tx.fetch_value("select become(:role)", role=role)
            return int(await tx.execute("update tenant.account set balance = balance + 1"))

        try:
            assert await db.run(elsewhere) == 1
            assert await markers(db) == 1
            assert await db.run(as_tenant) == 1
            assert len(attempts) == 1, "it is asked first whether the role may write there"
            assert await markers(db) == 1
            assert await db.run(unseen) == 1
            assert len(attempts) == 3, "with a marker that is refused, and without"
            assert await markers(db) == 1
            assert await db.fetch_value("select balance from tenant.account") == 103
        finally:
            await db.execute("drop schema tenant cascade")
            await db.execute(f"drop role {role}")


def test_the_table_is_looked_for_again_after_a_minute() -> None:
    markers = MarkerTable()
    assert markers.is_unknown(0.0)
    assert markers.new() is None
    markers.found(None, 0.0)
    assert not markers.is_unknown(59.9)
    assert markers.is_unknown(60.0)
    markers.found("rdskit_txn", 60.0)
    assert not markers.is_unknown(1000.0)
    assert markers.new() is not None
    markers.forget()
    assert markers.is_unknown(1000.0)
