"""A block finds out by itself what became of its COMMIT, where the tables of ``setup`` are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
import rdskit.sync
from rdskit.client.api import dialect_of
from rdskit.kernel.sql import Dialect
from tests.client.transactions.cut_at_commit import CutAtCommit

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

TAKE = "update account set balance = balance - 10 where id = 1"


async def balance(db: rdskit.Database) -> int:
    return int(await db.fetch_value("select balance from account where id = 1"))


async def markers(db: rdskit.Database) -> int:
    return int(await db.fetch_value("select count(*) from rdskit_txn"))


async def take(tx: Transaction, *, done: bool) -> None:
    """Make a change whose COMMIT has no answer."""
    await tx.execute(TAKE)
    tx._connection = CutAtCommit(tx._connection, done=done)


async def test_one_that_took_effect_ends_without_an_error(db: rdskit.Database) -> None:
    told: list[str] = []
    async with db.transaction() as tx:
        tx.on_commit(lambda: told.append("committed"))
        await take(tx, done=True)
    assert told == ["committed"]
    assert await balance(db) == 90


async def test_one_that_did_not_ends_with_an_error_that_says_so(db: rdskit.Database) -> None:
    told: list[str] = []
    with pytest.raises(
        rdskit.FailoverError,
        match="the connection was cut; COMMIT had been sent, but its commit marker shows that it did not take effect",
    ):
        async with db.transaction() as tx:
            tx.on_commit(lambda: told.append("committed"))
            await take(tx, done=False)
    assert told == []
    assert await balance(db) == 100
    assert await db.fetch_value("select committed from rdskit_txn") in (False, 0), "it can never commit any more"


async def test_a_session_of_a_request_finds_out_too(db: rdskit.Database) -> None:
    async with db.session() as session:
        async with session.transaction() as tx:
            await take(tx, done=True)
        assert await session.fetch_value("select balance from account where id = 1") == 90


async def test_it_can_be_spared_and_insisted_on(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.OutcomeUnknown):
        async with db.transaction(exactly_once=False) as tx:
            await take(tx, done=True)
    async with db.transaction(exactly_once=False) as tx:
        await tx.execute(TAKE)
    async with db.transaction() as tx:
        await tx.fetch_one("select balance from account")
    assert await markers(db) == 0, "none for a block that only reads, or wants none"
    async with db.transaction(exactly_once=True) as tx:
        await tx.execute(TAKE)
    assert await markers(db) == 1
    await db.execute("drop table rdskit_txn")
    with pytest.raises(rdskit.ConfigError, match=r"exactly_once=True needs the tables of rdskit.*nothing was changed"):
        async with db.transaction(exactly_once=True) as tx:
            await tx.execute(TAKE)
    assert await balance(db) == 70


async def test_without_the_tables_the_outcome_stays_unknown(target: TestDatabase | FamilyDatabase) -> None:
    async with rdskit.connect(target.url, tls="off", max_size=2) as db:
        await db.execute("create table account (id int primary key, balance int not null)")
        await db.execute("insert into account values (1, 100)")
        with pytest.raises(rdskit.OutcomeUnknown, match="rdskit setup TARGET"):
            async with db.transaction() as tx:
                await take(tx, done=True)
        assert await balance(db) == 90


class NeverHeard(CutAtCommit):
    """Not even the marker's row is sent, where that is a call of its own."""

    async def control(self, text: str, timeout: float | None) -> str:
        return await super().control(text, timeout) if text.endswith("commit") else "INSERT"


async def test_what_cannot_be_found_out_in_time_stays_unknown(
    db: rdskit.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        raise rdskit.QueryTimeout("no answer")

    monkeypatch.setattr("rdskit.client.transactions.commit_marking.resolve", never)
    with pytest.raises(rdskit.OutcomeUnknown, match=r"its outcome could not be found out in time.*\[no answer\]"):
        async with db.transaction() as tx:
            await take(tx, done=True)


async def test_the_question_has_as_long_as_the_block_or_a_statement(target: TestDatabase | FamilyDatabase) -> None:
    """The row stays locked, as by a transaction that is still running."""
    url = target.url
    async with rdskit.connect(url, tls="off", timeout=0.5) as db, rdskit.connect(url, tls="off") as other:
        await db.execute("create table account (id int primary key, balance int not null)")
        await db.execute("insert into account values (1, 100)")
        await db.setup()
        for timeout in (None, 0.4):
            async with other.transaction(exactly_once=False) as holder:
                with pytest.raises(rdskit.OutcomeUnknown, match="its outcome could not be found out in time"):
                    async with db.transaction(timeout=timeout) as tx:
                        await tx.execute(TAKE)
                        assert tx.commit_marker is not None
                        row = {"id": tx.commit_marker.number}
                        await holder.execute("insert into rdskit_txn (id, committed) values (:id, true)", row)
                        tx._connection = NeverHeard(tx._connection, done=False)


async def test_a_cancellation_while_it_is_found_out_says_what_is_not_known(
    db: rdskit.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(*_: object) -> bool:
        asked.set()
        await asyncio.get_running_loop().create_future()
        return True

    async def work() -> None:
        async with db.transaction() as tx:
            await take(tx, done=True)

    monkeypatch.setattr("rdskit.client.transactions.commit_marking.resolve", never)
    task = asyncio.ensure_future(work())
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert any("COMMIT had been sent" in note for note in caught.value.__notes__)


async def test_a_marker_that_was_refused_answers_no_question(db: rdskit.Database) -> None:
    """Its row was never written: to ask for it would tell of a transaction that took effect that it did not."""
    await db.run(lambda tx: tx.execute(TAKE))
    await db.execute("drop table rdskit_txn")
    with pytest.raises(rdskit.QueryError if dialect_of(db) is Dialect.POSTGRES else rdskit.OutcomeUnknown) as caught:
        async with db.transaction() as tx:
            await take(tx, done=True)
    if dialect_of(db) is Dialect.POSTGRES:
        assert "the transaction was rolled back, as its row in rdskit_txn was refused" in str(caught.value)
    assert await balance(db) == (90 if dialect_of(db) is Dialect.POSTGRES else 80)
    async with db.transaction() as tx:
        await tx.execute(TAKE)


async def test_a_block_may_be_another_role(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=2) as db:
        await db.setup()
        await db.execute("create table account (id int primary key, balance int not null)")
        await db.execute("insert into account values (1, 100)")
        role = f"tenant_{database.url.rpartition('/')[2].partition('?')[0]}"
        await db.execute(f"create role {role}")
        await db.execute(f"grant select, update on account to {role}")
        try:
            for become in (f"set local role {role}", f"select set_config('role', '{role}', true)"):
                async with db.transaction() as tx:
                    await tx.execute(become)
                    await tx.execute(TAKE)
            assert (await balance(db), await markers(db)) == (80, 0)
            await db.execute(f"grant insert on rdskit_txn to {role}")
            async with db.transaction() as tx:
                await tx.execute(f"set local role {role}")
                await tx.execute(TAKE)
            assert (await balance(db), await markers(db)) == (70, 1)
            with pytest.raises(
                rdskit.QueryError, match="a statement in it had failed and the application caught the error"
            ):
                await swallow(db, role)
        finally:
            await db.execute("drop table account, rdskit_txn")
            await db.execute(f"drop role {role}")


async def swallow(db: rdskit.Database, role: str) -> None:
    async with db.transaction() as tx:
        await tx.execute(f"set local role {role}")
        await tx.execute(TAKE)
        with pytest.raises(rdskit.QueryError):
            await tx.execute("select * from nowhere")


def test_the_form_without_await_finds_out_too(target: TestDatabase | FamilyDatabase) -> None:
    with rdskit.sync.connect(target.url, tls="off", max_size=2) as db:
        db.execute("create table account (id int primary key, balance int not null)")
        db.execute("insert into account values (1, 100)")
        db.setup()
        told: list[str] = []
        with db.transaction() as tx:
            tx.on_commit(lambda: told.append("committed"))
            tx.execute(TAKE)
            spoiled: Any = tx._transaction
            spoiled._connection = CutAtCommit(spoiled._connection, done=True)
        with pytest.raises(rdskit.OutcomeUnknown), db.transaction(exactly_once=False) as tx:
            tx.execute(TAKE)
            spoiled = tx._transaction
            spoiled._connection = CutAtCommit(spoiled._connection, done=True)
        assert told == ["committed"]
        assert db.fetch_value("select balance from account where id = 1") == 80
