"""What an application sees: the same on every engine."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.events import ConnectionClosed, ConnectionOpened, Event, FailoverStarted
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def users(engine: Engine, db: rdskit.Database) -> None:
    await db.execute(f"create table users (id {engine.key}, name varchar(40) not null, age int)")
    for name, age in (("Ada", 36), ("Grace", 85), ("Edsger", 72)):
        await db.execute("insert into users (name, age) values (:name, :age)", name=name, age=age)


@pytest.mark.usefixtures("users")
async def test_rows_counts_and_ids(engine: Engine, db: rdskit.Database) -> None:
    row = await db.fetch_one("select id, name, age as count from users where name = :name", name="Grace")
    assert row is not None
    assert (row["name"], row.name, row[1], row.count) == ("Grace", "Grace", "Grace", 85)
    assert dict(row.items()) == {"id": row.id, "name": "Grace", "count": 85}
    assert await db.fetch_value("select count(*) from users where age > :a and age > :a - 1", a=50) == 2
    assert await db.execute("update users set name = name") == 3
    inserted = await db.execute("insert into users (name) values (:n)", n="Alan")
    assert (inserted, inserted.last_id) == (1, engine.pick(None, 4))


@pytest.mark.usefixtures("users")
async def test_a_transaction_happens_whole_or_not_at_all(db: rdskit.Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("update users set age = 1 where name = 'Ada'")
        with pytest.raises(ZeroDivisionError):
            async with tx.transaction():
                await tx.execute("update users set age = 2 where name = 'Grace'")
                raise ZeroDivisionError
        async with tx.transaction():
            await tx.execute("update users set age = 3 where name = 'Edsger'")
    ages = "select age from users order by id"
    assert [row.age for row in await db.fetch_all(ages)] == [1, 85, 3]
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.execute("delete from users")
            raise ZeroDivisionError
    assert [row.age for row in await db.fetch_all(ages)] == [1, 85, 3]


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_isolation_levels(db: rdskit.Database, isolation: rdskit.Isolation) -> None:
    async with db.transaction(isolation=isolation) as tx:
        assert await tx.fetch_value("select count(*) from users") == 3
        await db.execute("insert into users (name) values ('later')") if isolation != "serializable" else None
        seen = await tx.fetch_value("select count(*) from users")
    assert seen == {"read committed": 4, "repeatable read": 3, "serializable": 3}[isolation]


@pytest.mark.usefixtures("users")
async def test_a_read_only_transaction_refuses_writes(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.ReadOnlyError):
        async with db.transaction(read_only=True) as tx:
            assert await tx.fetch_value("select count(*) from users") == 3
            await tx.execute("update users set age = 1")
    assert await db.fetch_value("select count(*) from users where age = 1") == 0


async def test_what_a_read_only_transaction_refuses_is_no_sign_of_a_failover(engine: Engine) -> None:
    heard: list[Event] = []
    async with rdskit.connect(engine.database.url, tls="off", max_size=1, observers=[heard.append]) as db:
        await db.execute("create table note (n int)")
        for _ in range(2):
            with pytest.raises(rdskit.ReadOnlyError):
                async with db.transaction(read_only=True) as tx:
                    await tx.execute("insert into note values (1)")
        assert await db.execute("insert into note values (2)") == 1
        told = [each for each in heard if isinstance(each, FailoverStarted | ConnectionClosed | ConnectionOpened)]
        assert [type(each) for each in told] == [ConnectionOpened]


async def test_deferrable_is_postgresqls(engine: Engine, db: rdskit.Database) -> None:
    options: dict[str, Any] = {"isolation": "serializable", "read_only": True, "deferrable": True}
    if engine.is_postgres:
        async with db.transaction(**options) as tx:
            assert await tx.fetch_value("select 1") == 1
        return
    with pytest.raises(rdskit.StatementError, match="deferrable=True is PostgreSQL's"):
        async with db.transaction(**options):
            pass
    assert await db.fetch_value("select 1") == 1


@pytest.mark.usefixtures("users")
async def test_run_does_a_conflicting_transaction_again(engine: Engine, db: rdskit.Database) -> None:
    """Everybody reads, then writes what it read plus one: each conflict is repeated, and none is lost."""
    attempts = 0

    async def grow(tx: Any) -> None:
        nonlocal attempts
        attempts += 1
        age = await tx.fetch_value("select age from users where name = 'Ada'")
        await tx.execute("update users set age = :age where name = 'Ada'", age=age + 1)

    await asyncio.gather(*(db.run(grow, isolation="serializable", timeout=60) for _ in range(6)))
    assert await db.fetch_value("select age from users where name = 'Ada'") == 42
    assert attempts >= 6, engine.name


@pytest.mark.usefixtures("users")
async def test_errors(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create unique index names on users (name)")
    with pytest.raises(rdskit.IntegrityError) as caught:
        await db.execute("insert into users (name) values ('Ada')")
    assert (caught.value.sqlstate, caught.value.errno) == engine.pick(("23505", None), ("23000", 1062))
    assert caught.value.__cause__ is not None
    with pytest.raises(rdskit.IntegrityError):
        await db.execute("insert into users (age) values (1)")
    for wrong in ("select nope from users", "select * from nope", "selec 1"):
        with pytest.raises(rdskit.StatementError) as refused:
            await db.fetch_all(wrong)
        assert refused.value.sqlstate is not None
    with pytest.raises(rdskit.ConfigError, match=r"use db\.transaction\(\)"):
        await db.execute("begin")


async def test_constraints_are_told_as_integrity(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table parents (id int primary key)")
    await db.execute(
        "create table children (id int primary key, parent int, age int check (age >= 0), "
        "foreign key (parent) references parents (id))"
    )
    await db.execute("insert into parents values (1)")
    await db.execute("insert into children values (1, 1, 1)")
    for wrong in (
        "insert into children values (2, 9, 1)",
        "insert into children values (2, 1, -1)",
        "insert into children values (null, 1, 1)",
        "delete from parents",
        "insert into children (parent) values (1)",
    ):
        with pytest.raises(rdskit.IntegrityError):
            await db.execute(wrong)
    assert await db.fetch_value("select count(*) from children") == 1, engine.name


async def test_a_read_that_takes_too_long_ends_on_the_server(
    engine: Engine, db: rdskit.Database, running: Callable[[str], Any]
) -> None:
    with pytest.raises(rdskit.QueryTimeout):
        await db.fetch_all(f"select 'mark4', {engine.sleep.format(30)}", timeout=1.0)
    await eventually(lambda: _none(running, "mark4"))
    assert await db.fetch_value("select 1") == 1
    assert db.stats().failures == 0, "a deadline says nothing about the host"


@pytest.mark.usefixtures("users")
async def test_a_write_that_takes_too_long_is_unknown_unless_the_server_says_that_it_was_undone(
    engine: Engine, db: rdskit.Database, running: Callable[[str], Any]
) -> None:
    condition = engine.pick("pg_sleep(30) is not null", "sleep(30) = 0")
    told = {True: (rdskit.QueryTimeout, "undid it"), False: (rdskit.OutcomeUnknown, "may have happened")}
    kind, words = told[engine.is_postgres]
    with pytest.raises(kind, match=words):
        await db.execute(f"update users set name = 'mark5' where age = 36 and {condition}", timeout=1.0)
    await eventually(lambda: _none(running, "mark5"))
    assert await db.fetch_value("select count(*) from users where name = 'mark5'") == 0


@pytest.mark.usefixtures("users")
async def test_a_transaction_whose_statement_timed_out_is_rolled_back(engine: Engine, db: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryTimeout):
        async with db.transaction(timeout=1.0) as tx:
            await tx.execute("update users set age = 0")
            await tx.fetch_value(f"select {engine.sleep.format(30)}")
    assert await db.fetch_value("select count(*) from users where age = 0") == 0


@pytest.mark.usefixtures("users")
async def test_a_cancelled_statement_whose_error_was_swallowed_takes_its_transaction_along(
    engine: Engine, db: rdskit.Database
) -> None:
    with pytest.raises(rdskit.QueryError) as caught:
        async with db.transaction() as tx:
            await tx.execute("update users set age = 0")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await tx.fetch_value(f"select {engine.sleep.format(30)}")
            await tx.execute("update users set age = 7")
    assert caught.value.sqlstate in {"25P02", "57014"}
    assert await db.fetch_value("select count(*) from users where age in (0, 7)") == 0


async def test_a_storm_of_cancellations_leaves_no_session_and_no_wrong_answer(
    engine: Engine, db: rdskit.Database, watcher: Connection
) -> None:
    chance = random.Random(7)
    select = f"select {engine.pick(':n::int', ':n')}"

    async def one(number: int) -> None:
        slow = chance.random() < 0.3
        call = asyncio.ensure_future(
            db.fetch_value(f"select {engine.sleep.format(3)}") if slow else db.fetch_value(select, n=number)
        )
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        if slow or chance.random() < 0.5:
            call.cancel()
        (done,), _ = await asyncio.wait([call])
        assert done.cancelled() or done.result() == number

    for wave in range(6):
        await asyncio.gather(*(one(wave * 30 + number) for number in range(30)))
    assert await db.fetch_value(select, n=1) == 1
    await eventually(lambda: _idle(db))
    await eventually(lambda: _at_most(engine, watcher, 4))  # the server ends a closed one in its own time


@pytest.mark.usefixtures("users")
async def test_killed_sessions_are_not_seen_by_reads(engine: Engine, db: rdskit.Database, watcher: Connection) -> None:
    slow = f"select count(*), {engine.sleep.format(2)} from users"
    reads = [asyncio.ensure_future(db.fetch_all(slow)) for _ in range(3)]
    sessions = await eventually(lambda: _at_least(engine, watcher, 3))
    assert isinstance(sessions, list)
    for (number,) in sessions:
        await watcher.execute(engine.kill.format(number), (), 5.0)
    assert [rows[0][0] for rows in await asyncio.gather(*reads)] == [3] * 3
    assert await db.fetch_value("select count(*) from users") == 3


@pytest.mark.usefixtures("users")
async def test_a_write_on_a_killed_session_is_unknown_and_not_repeated(
    engine: Engine, db: rdskit.Database, watcher: Connection, running: Callable[[str], Any]
) -> None:
    condition = engine.pick("pg_sleep(30) is not null", "sleep(30) = 0")
    writing = asyncio.ensure_future(db.execute(f"update users set name = 'mark6' where age = 36 and {condition}"))
    await eventually(lambda: running("mark6"))
    for (number,) in await watcher.fetch_all(engine.sessions, (), 5.0):
        await watcher.execute(engine.kill.format(number), (), 5.0)
    with pytest.raises(rdskit.OutcomeUnknown):
        await writing
    assert await db.fetch_value("select count(*) from users where name = 'mark6'") == 0


async def test_a_changed_session_is_reset_before_the_next_caller(engine: Engine) -> None:
    setting = engine.pick("set statement_timeout = '77s'", "set max_join_size = 77")
    shown = engine.pick("show statement_timeout", "select @@max_join_size = 77")
    async with rdskit.connect(engine.database.url, tls="off", min_size=0, max_size=1) as db:
        async with db.transaction() as tx:
            await tx.execute(setting)
            await tx.execute("create temporary table scratch (n int)")
        assert await db.fetch_value(shown) == engine.pick("0", 0)
        with pytest.raises(rdskit.StatementError):
            await db.fetch_value("select * from scratch")


async def _none(running: Callable[[str], Any], mark: str) -> bool:
    return int(await running(mark)) == 0


async def _at_most(engine: Engine, watcher: Connection, number: int) -> bool:
    return len(await watcher.fetch_all(engine.sessions, (), 5.0)) <= number


async def _idle(db: rdskit.Database) -> bool:
    stats = db.stats().writer
    return stats.in_use == 0 and stats.waiting == 0


async def _at_least(engine: Engine, watcher: Connection, count: int) -> Any:
    sessions = await watcher.fetch_all(engine.sessions, (), 5.0)
    return sessions if len(sessions) >= count else None
