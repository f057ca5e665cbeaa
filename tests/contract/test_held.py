"""Held connections: what belongs to one session of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.errors import ConfigError, FailoverError, IntegrityError, OutcomeUnknown, PoolTimeout, QueryTimeout
from rdskit.kernel.topology import Role
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import rdskit
    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)


async def test_a_session_lasts_for_the_block_and_is_reset_afterwards(engine: Engine, db: rdskit.Database) -> None:
    setting = engine.pick(
        ("set statement_timeout = 12345", "select current_setting('statement_timeout')", "12345ms"),
        ("set @mine = 12345", "select @mine", 12345),
    )
    me = engine.pick("select pg_backend_pid()", "select connection_id()")
    async with db.connection() as one, db.connection() as other:
        await one.execute(setting[0])
        await one.execute("create temporary table mine (id int)")
        assert await one.fetch_value(setting[1]) == setting[2]
        assert await other.fetch_value(setting[1]) != setting[2]
        mine = await one.fetch_value(me)
        assert await one.fetch_value(me) == mine
        assert await one.fetch_all("select * from mine") == []
        assert (one.role, one.endpoint) == (Role.WRITER, engine.options.endpoint)
    for _ in range(8):
        async with db.connection() as again:
            assert await again.fetch_value(setting[1]) != setting[2]
            await again.execute("create temporary table mine (id int)")
    with pytest.raises(ConfigError, match="has gone back to its pool"):
        await one.execute("select 1")


async def test_statements_have_the_same_parameters_and_errors(db: rdskit.Database) -> None:
    async with db.connection() as held:
        await held.execute("create table items (id int primary key)")
        assert await held.execute("insert into items (id) values (:id)", id=1) == 1
        assert await held.fetch_one("select id from items where id in :ids", {"ids": [1]}, into=dict) == {"id": 1}
        assert await held.fetch_all("select id from items", into=dict) == [{"id": 1}]
        with pytest.raises(IntegrityError):
            await held.execute("insert into items (id) values (:id)", id=1)
        with pytest.raises(ConfigError, match="has no parameter"):
            await held.execute("select 1", id=1)
        with pytest.raises(ConfigError, match="use transaction"):
            await held.execute("begin")
        assert await held.fetch_value("select count(*) from items") == 1
    assert await db.fetch_value("select count(*) from items") == 1


async def test_a_transaction_on_a_held_connection(db: rdskit.Database) -> None:
    await db.execute("create table items (id int primary key)")
    called: list[int] = []
    async with db.connection() as held:
        async with held.transaction() as tx:
            await tx.execute("insert into items values (1)")
            tx.on_commit(lambda: called.append(1))
            with pytest.raises(ConfigError, match="a transaction is open on this connection"):
                await held.execute("select 1")
        assert called == [1]
        with pytest.raises(ZeroDivisionError):
            async with held.transaction() as tx:
                await tx.execute("delete from items")
                raise ZeroDivisionError
        assert await held.fetch_value("select count(*) from items") == 1


async def test_a_connection_that_is_lost_is_not_replaced(
    engine: Engine, db: rdskit.Database, watcher: Connection, running: Callable[[str], Any]
) -> None:
    await db.execute("create table items (id int)")
    async with db.connection() as held:
        slow = f"insert into items /* slow */ select 1 from (select {engine.sleep.format('30')}) s"
        call = asyncio.ensure_future(held.execute(slow))
        await eventually(lambda: running("slow"))
        for row in await watcher.fetch_all(engine.sessions, (), 5.0):
            await watcher.execute(engine.kill.format(row[0]), (), 5.0)
        with pytest.raises(OutcomeUnknown, match="may have happened"):
            await call
        with pytest.raises(FailoverError, match="was lost with all that was set there"):
            await held.execute("select 1")
    assert await db.fetch_value("select 1") == 1


async def test_a_deadline_ends_a_statement_and_the_session_with_it_where_that_is_another(
    engine: Engine, db: rdskit.Database
) -> None:
    async with db.connection() as held:
        with pytest.raises(QueryTimeout):
            await held.fetch_value(f"select {engine.sleep.format('30')}", timeout=0.2)
        with pytest.raises(FailoverError):
            await held.fetch_value("select 1")


async def test_the_connections_are_those_of_the_pool(db: rdskit.Database) -> None:
    async with db.connection(), db.connection(), db.connection(), db.connection():
        with pytest.raises(PoolTimeout):
            async with db.connection(timeout=0.1):
                raise AssertionError
    with pytest.raises(ConfigError, match="'nothing' is not a reader of"):
        async with db.connection("nothing"):
            raise AssertionError
    async with db.connections() as hosts:
        assert [connection.role for connection in hosts.values()] == [Role.WRITER]


async def test_an_index_is_built_concurrently(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table items (id int)")
    async with db.connection() as held:
        how = engine.pick("concurrently ", "")
        await held.execute(f"create index {how}items_id on items (id)", timeout=None)


async def test_listening_on_a_held_connection(engine: Engine, db: rdskit.Database) -> None:
    async with db.connection() as held:
        notes = held.listen("jobs")
        if not engine.is_postgres:
            with pytest.raises(ConfigError, match="no LISTEN"):
                await anext(notes)
            return
        first = asyncio.ensure_future(anext(notes))
        await eventually(lambda: db.fetch_value("select count(*) from pg_stat_activity where query like 'LISTEN%'"))
        await db.execute("notify jobs, '1'")
        note = await first
        assert (note.channel, note.payload, note.missed) == ("jobs", "1", False)
        await notes.aclose()
        assert await held.fetch_value("select count(*) from pg_listening_channels()") == 0
