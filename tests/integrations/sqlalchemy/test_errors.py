"""Errors of real servers are classified, and the pool never returns a connection that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
from rdskit.integrations.sqlalchemy import error_of
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine, TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.plugins.postgres import TestDatabase

MY_SESSION = {"postgresql": "select pg_backend_pid()", "mysql": "select connection_id()"}
KILL = {"postgresql": "select pg_terminate_backend({})", "mysql": "kill {}"}
COUNT = {
    "postgresql": "select count(*) from pg_stat_activity where pid in :sessions",
    "mysql": "select count(*) from information_schema.processlist where id in :sessions",
}


def words(engine: Engine, table: dict[str, str]) -> str:
    return table.get(engine.dialect.name, table["mysql"])


@pytest.fixture
def engine(sync_url: URL) -> Iterator[Engine]:
    engine = sqlalchemy.create_engine(sync_url)
    yield engine
    engine.dispose()


def kill(engine: Engine, *sessions: int) -> None:
    """End sessions from outside."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        for session in sessions:
            other.execute(text(words(engine, KILL).format(session)))
        end = time.monotonic() + 10
        while other.scalar(left(engine), {"sessions": list(sessions)}):
            assert time.monotonic() < end, f"{sessions} are still there"


def left(engine: Engine) -> TextClause:
    """Count how many of the sessions are left."""
    return text(words(engine, COUNT)).bindparams(bindparam("sessions", expanding=True))


def test_a_constraint_is_told_apart(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("create table t (id int primary key)"))
        connection.execute(text("insert into t values (1)"))
    with pytest.raises(IntegrityError) as raised, engine.begin() as connection:
        connection.execute(text("insert into t values (1)"))
    assert isinstance(error_of(raised.value), rdskit.IntegrityError)
    assert not raised.value.connection_invalidated


def test_a_statement_under_way_is_lost_and_had_no_effect(engine: Engine) -> None:
    with pytest.raises(OperationalError) as raised, engine.begin() as connection:
        session = connection.scalar(text(words(engine, MY_SESSION)))
        kill(engine, session)
        connection.execute(text("select 1"))
    assert raised.value.connection_invalidated
    told = error_of(raised.value)
    assert isinstance(told, rdskit.FailoverError)
    assert not isinstance(told, rdskit.OutcomeUnknown)


def test_the_outcome_of_a_lost_commit_is_unknown(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("create table t (id int primary key)"))
    with pytest.raises(DBAPIError) as raised, engine.connect() as connection:
        connection.execute(text("insert into t values (1)"))
        kill(engine, connection.scalar(text(words(engine, MY_SESSION))))
        connection.commit()
    assert isinstance(error_of(raised.value), rdskit.OutcomeUnknown)


def test_rows_that_are_lost_while_they_are_read_are_no_lost_commit(database: TestDatabase) -> None:
    engine = sqlalchemy.create_engine(f"{database.url}?plugin=rdskit&tls=off".replace("://", "+psycopg://", 1))
    with engine.begin() as connection:
        session = connection.scalar(text(words(engine, MY_SESSION)))
    with pytest.raises(OperationalError) as raised, engine.begin() as connection:
        assert connection.scalar(text(words(engine, MY_SESSION))) == session, "one that committed before"
        streamed = connection.execution_options(stream_results=True, max_row_buffer=10)
        rows = streamed.execute(text("select generate_series(1, 1000)"))
        named = rows.cursor
        rows.fetchone()
        kill(engine, session)
        rows.fetchall()
    named.close()  # SQLAlchemy leaves it to its collection, of which psycopg complains
    assert raised.value.connection_invalidated
    assert type(error_of(raised.value)) is rdskit.FailoverError
    engine.dispose()


def test_an_autocommitted_write_that_is_lost_is_unknown_and_a_read_is_not(engine: Engine) -> None:
    told = []
    for statement in ("create table t (id int primary key)", "select 1"):
        with pytest.raises(OperationalError) as raised, engine.connect() as connection:
            itself = connection.execution_options(isolation_level="AUTOCOMMIT")
            kill(engine, itself.scalar(text(words(engine, MY_SESSION))))
            itself.execute(text(statement))
        told.append(type(error_of(raised.value)))
    assert told == [rdskit.OutcomeUnknown, rdskit.FailoverError]


def test_idle_connections_that_ended_are_not_lent(engine: Engine) -> None:
    held = [engine.connect() for _ in range(4)]
    sessions = {connection.scalar(text(words(engine, MY_SESSION))) for connection in held}
    for connection in held:
        connection.close()
    outside = sqlalchemy.create_engine(engine.url.update_query_dict({"plugin": "rdskit", "tls": "off"}))
    kill(outside, *sessions)
    outside.dispose()
    again = [engine.connect() for _ in range(4)]
    assert not sessions & {connection.scalar(text(words(engine, MY_SESSION))) for connection in again}
    for connection in again:
        connection.close()


async def kill_from_task(outside: AsyncEngine, *sessions: int) -> None:
    """End sessions from outside."""
    async with outside.connect() as plain:
        other = await plain.execution_options(isolation_level="AUTOCOMMIT")
        for session in sessions:
            await other.execute(text(words(outside.sync_engine, KILL).format(session)))

        async def ended() -> bool:
            return not await other.scalar(left(outside.sync_engine), {"sessions": list(sessions)})

        await eventually(ended)


async def test_idle_connections_that_ended_are_not_lent_to_tasks(async_url: URL) -> None:
    engine = create_async_engine(async_url)
    outside = create_async_engine(async_url)
    mine = words(engine.sync_engine, MY_SESSION)
    held = [await engine.connect() for _ in range(3)]
    sessions = {await connection.scalar(text(mine)) for connection in held}
    for connection in held:
        await connection.close()
    await kill_from_task(outside, *sessions)
    await outside.dispose()
    async with engine.connect() as connection:
        assert await connection.scalar(text(mine)) not in sessions
    await engine.dispose()


async def test_a_statement_under_way_in_a_task_is_lost(async_url: URL) -> None:
    engine = create_async_engine(async_url)
    outside = create_async_engine(async_url)
    sync = engine.sync_engine
    with pytest.raises(OperationalError) as raised:
        async with engine.begin() as connection:
            session = await connection.scalar(text(words(sync, MY_SESSION)))
            await kill_from_task(outside, session)
            await connection.execute(text("select 1"))
    assert raised.value.connection_invalidated
    assert type(error_of(raised.value)) is rdskit.FailoverError
    await engine.dispose()
    await outside.dispose()
