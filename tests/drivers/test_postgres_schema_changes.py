"""Tables and types that change under prepared statements: no caller notices, and no statement runs twice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.plugins.postgres import TestDatabase

CONNECTIONS = 3


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", min_size=CONNECTIONS, max_size=CONNECTIONS) as opened:
        await opened.execute("create type mood as enum ('sad', 'happy')")
        await opened.execute("create type stay as (guest text, nights int)")
        await opened.execute("create table items (id int primary key, v int, m mood, s stay)")
        await opened.execute("insert into items values (1, 10, 'sad', row('a', 2))")
        yield opened


@pytest.fixture
async def single(db: rdskit.Database, database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    """Open a pool of one connection, which every call uses; ``db`` has made the table."""
    assert db is not None
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as opened:
        yield opened


@pytest.fixture
async def owner(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    """Open what another program uses to change the schema."""
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as opened:
        yield opened


async def on_every_connection(db: rdskit.Database, call: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Run a call as the first of a transaction, on each connection of the pool."""
    async with contextlib.AsyncExitStack() as stack:
        transactions = [await stack.enter_async_context(db.transaction()) for _ in range(CONNECTIONS)]
        return [await call(tx) for tx in transactions]


CHANGES = {
    "a column more": "alter table items add column more text default 'm'",
    "another type": "alter table items alter column v type bigint",
    "a text now": "alter table items alter column v type text",
    "an enum made again": (
        "alter table items alter column m type text; drop type mood; create type mood as enum ('happy', 'sad', 'calm');"
        " alter table items alter column m type mood using m::mood"
    ),
    "a composite type longer": "alter type stay add attribute paid boolean",
    "a composite type of other types": (
        "alter type stay drop attribute nights; alter type stay add attribute nights text"
    ),
}
READ = "select * from items where id = 1"


async def read(where: Any) -> tuple[Any, ...]:
    row = await where.fetch_one(READ)
    assert row is not None
    return tuple(row.values())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("where", ["autocommit", "transaction", "run"])
async def test_a_read_never_notices_a_change(
    db: rdskit.Database, owner: rdskit.Database, change: str, where: str
) -> None:
    await on_every_connection(db, read)
    for statement in CHANGES[change].split("; "):
        await owner.execute(statement)
    expected = await read(owner)
    if where == "autocommit":
        got = [await read(db) for _ in range(2 * CONNECTIONS)]
    elif where == "transaction":
        got = await on_every_connection(db, read) + await on_every_connection(db, read)
    else:
        got = [await db.run(read) for _ in range(2 * CONNECTIONS)]
    assert got == [expected] * len(got)


@pytest.mark.parametrize("change", ["a column more", "another type", "an enum made again"])
async def test_run_repeats_what_met_a_change_in_the_middle(
    db: rdskit.Database, owner: rdskit.Database, change: str
) -> None:
    attempts = 0

    async def work(tx: Any) -> Any:
        nonlocal attempts
        attempts += 1
        await tx.execute("insert into log values (1)")
        return await read(tx)

    await db.execute("create table log (n int)")
    await on_every_connection(db, read)
    for statement in CHANGES[change].split("; "):
        await owner.execute(statement)
    for _ in range(2 * CONNECTIONS):
        await db.run(work)
    assert await db.fetch_value("select count(*) from log") == 2 * CONNECTIONS
    assert attempts <= 2 * CONNECTIONS + 1, "one connection meets the change, and tells the others"


async def test_a_write_with_an_outdated_composite_says_that_it_took_effect(
    single: rdskit.Database, owner: rdskit.Database
) -> None:
    db = single
    text = "update items set v = v + 1 returning s"
    await db.fetch_one(text)
    before = await db.fetch_value("select v from items")
    await owner.execute("alter type stay add attribute paid boolean")
    with pytest.raises(rdskit.ResultError, match="took effect"):
        await db.fetch_one(text)
    assert await owner.fetch_value("select v from items") == before + 1
    assert await db.fetch_value(text) == ("a", 2, None)
    assert await owner.fetch_value("select v from items") == before + 2


async def test_a_composite_argument_of_an_outdated_shape(single: rdskit.Database, owner: rdskit.Database) -> None:
    text = "update items set s = :s where id = 1"
    await single.execute(text, s=("b", 3))
    await owner.execute("alter type stay add attribute paid boolean")
    assert await single.execute(text, s=("c", 4, True)) == 1
    assert await owner.fetch_value("select s from items") == ("c", 4, True)


async def test_an_insert_into_a_column_of_another_type(db: rdskit.Database, owner: rdskit.Database) -> None:
    text = "insert into items (id, v) values (:id, :v)"
    for number in range(2, 5):
        await db.execute(text, id=number, v=number)
    await owner.execute("alter table items alter column v type text")
    assert await db.execute(text, id=5, v="five") == 1
    with pytest.raises(rdskit.StatementError, match="expected str, got int"):
        await db.execute(text, id=6, v=6)


async def test_a_search_path_for_each_tenant(db: rdskit.Database) -> None:
    for number, kind in enumerate(("int", "text", "date[]")):
        await db.execute(f"create schema tenant{number}")
        await db.execute(f"create table tenant{number}.things (v {kind})")
    seen: list[int] = []

    async def count(tx: Any, number: int) -> Any:
        seen.append(number)
        await tx.fetch_value("select 1")
        await tx.execute(f"set local search_path = tenant{number}")
        return await tx.fetch_all("select v from things")

    for _ in range(3):
        for number in range(3):
            async with db.transaction() as tx:
                await count(tx, number)
            async with db.transaction() as tx:
                await tx.fetch_value("select set_config('search_path', :path, true)", path=f"tenant{number}")
                await tx.fetch_all("select v from things")
            await db.run(count, args=(number,))
    assert len(seen) == 18, "nothing was done again"


async def test_a_wrong_statement_stays_wrong(db: rdskit.Database, owner: rdskit.Database) -> None:
    await on_every_connection(db, read)
    await owner.execute("alter table items rename to things")
    for where in (db.fetch_one, db.run):
        with pytest.raises(rdskit.StatementError, match="does not exist"):
            await (where(READ) if where == db.fetch_one else db.run(read))
    with pytest.raises(rdskit.StatementError, match="does not exist"):
        await on_every_connection(db, read)


async def test_statements_that_somebody_deallocated(db: rdskit.Database) -> None:
    await on_every_connection(db, read)
    await on_every_connection(db, lambda tx: tx.execute("deallocate all"))
    assert len({await read(db) for _ in range(CONNECTIONS)}) == 1
