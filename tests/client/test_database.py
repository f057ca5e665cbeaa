"""What an application sees of one database, on a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.client.conftest import is_at_rest
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.postgres import TestDatabase


OTHERS = (
    "select pid, wait_event_type from pg_stat_activity "
    "where application_name = 'rdskit' and datname = current_database()"
)


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", max_size=4) as db:
        await db.execute("create table users (id int primary key, name text not null)")
        await db.execute("insert into users select g, 'n' || g from generate_series(1, 10) g")
        yield db


async def test_a_row_is_read_by_name_attribute_and_index(db: rdskit.Database) -> None:
    row = await db.fetch_one("select id, name from users where id = :id", id=7)
    assert row is not None
    assert (row["name"], row.name, row[1]) == ("n7", "n7", "n7")
    assert dict(row.items()) == {"id": 7, "name": "n7"}
    with pytest.raises(AttributeError, match="its columns are: id, name"):
        _ = row.nmae


async def test_values_lists_and_counts(db: rdskit.Database) -> None:
    assert await db.fetch_one("select 1 from users where id = :id", id=99) is None
    assert await db.fetch_value("select count(*) from users where id in :ids", ids=[1, 2, 99]) == 2
    assert len(await db.fetch_all("select * from users where id not in :ids", ids=[1, 2])) == 8
    changed = await db.execute("update users set name = :n where id <= :top", n="Ada", top=3)
    assert changed == 3
    assert changed.last_id is None


async def test_parameters_come_one_way(db: rdskit.Database) -> None:
    assert await db.fetch_value("select :timeout::int", {"timeout": 5}) == 5
    with pytest.raises(rdskit.ConfigError, match=r"parameter :timeout has the name of an option"):
        await db.fetch_value("select :timeout::int", timeout=5)
    with pytest.raises(rdskit.ConfigError, match="both as a mapping and as keywords"):
        await db.fetch_value("select :a::int", {"a": 1}, a=1)
    with pytest.raises(rdskit.ConfigError, match="needs a value for :ident"):
        await db.fetch_value("select * from users where id = :ident", id=1)


async def test_a_changed_table_does_not_break_prepared_statements(db: rdskit.Database) -> None:
    for _ in range(3):
        await asyncio.gather(*(db.fetch_all("select * from users") for _ in range(4)))
    await db.execute("alter table users add column age int default 3")
    rows = await asyncio.gather(*(db.fetch_one("select * from users where id = 1") for _ in range(8)))
    assert [row.age for row in rows if row is not None] == [3] * 8


async def test_errors_carry_sqlstate_and_the_drivers_own(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.IntegrityError) as caught:
        await db.execute("insert into users values (1, 'again')")
    assert caught.value.sqlstate == "23505"
    assert type(caught.value.__cause__).__name__ == "UniqueViolationError"
    with pytest.raises(rdskit.StatementError, match="nope"):
        await db.fetch_all("select * from nope")


async def test_a_read_that_takes_too_long_is_cancelled_on_the_server(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryTimeout):
        await db.fetch_all("select pg_sleep(30)", timeout=0.5)
    running = "select count(*) = 0 from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'"
    await eventually(lambda: db.fetch_value(running))


async def test_a_write_that_takes_too_long_is_undone_by_the_server_which_says_so(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.QueryTimeout, match="undid it"):
        await db.execute("update users set name = 'late' where id = 1 and pg_sleep(30) is not null", timeout=1.0)


async def test_killed_connections_are_not_seen_by_reads(db: rdskit.Database, database: TestDatabase) -> None:
    waiting = f"select count(*) = 4 from ({OTHERS}) o where wait_event_type = 'Lock'"
    async with rdskit.connect(database.url, tls="off", max_size=2, application_name="killer") as killer:
        async with killer.transaction() as tx:
            await tx.execute("lock table users in access exclusive mode")
            reads = [asyncio.ensure_future(db.fetch_value("select sum(id) from users")) for _ in range(4)]
            await eventually(lambda: killer.fetch_value(waiting))
            assert await killer.fetch_value(f"select count(pg_terminate_backend(pid)) from ({OTHERS}) o") == 4
        assert await asyncio.gather(*reads) == [55] * 4
    assert db.stats().failures >= 4
    assert await asyncio.gather(*(db.fetch_value("select :n::int", n=n) for n in range(20))) == list(range(20))


async def test_a_write_on_a_killed_connection_is_unknown_and_not_repeated(db: rdskit.Database) -> None:
    writing = asyncio.ensure_future(
        db.execute("with s as (select pg_sleep(30)) insert into users select 77, 'x' from s")
    )
    pid = await eventually(lambda: db.fetch_value("select pid from pg_stat_activity where query like 'with s as%'"))
    await db.fetch_value("select pg_terminate_backend(:pid)", pid=pid)
    with pytest.raises(rdskit.OutcomeUnknown):
        await writing
    assert await db.fetch_value("select count(*) from users where id = 77") == 0


async def test_what_belongs_into_a_transaction_is_refused_outside(db: rdskit.Database) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"use db\.transaction\(\)"):
        await db.execute("begin")
    with pytest.raises(rdskit.ConfigError, match=r"inside db\.transaction\(\)"):
        await db.execute("set statement_timeout = 5")


async def test_a_changed_session_is_reset_before_the_next_caller(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1) as db:
        async with db.transaction() as tx:
            await tx.execute("set statement_timeout = '77s'")
            await tx.execute("create temp table scratch (n int)")
        assert await db.fetch_value("show statement_timeout") == "0"


async def test_closing_twice_is_fine_and_using_a_closed_one_is_not(database: TestDatabase) -> None:
    db = await rdskit.connect(database.url, tls="off")
    await db.close()
    await db.close()
    with pytest.raises(rdskit.ConfigError, match="is closed"):
        await db.fetch_one("select 1")


async def test_health_and_stats(db: rdskit.Database) -> None:
    health = await db.health()
    assert health.ok
    assert health.writer.latency is not None
    assert health.writer.latency < 2
    assert health.status == "ok"
    assert json.loads(json.dumps(health.as_dict()))["writer"]["pool"]["breaker_is_open"] is False
    stats = db.stats()
    assert stats.retries_left == 100
    assert stats.writer.size >= 1
    await eventually(lambda: is_at_rest(db))
    assert database_name(db) in repr(db)


def database_name(db: rdskit.Database) -> str:
    return repr(db).split("/")[-1].rstrip(">")
