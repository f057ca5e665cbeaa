"""The events that observers receive, and that observers cannot disturb what they observe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

import pytest

import rdskit
from rdskit import events
from rdskit.client.database.executor import Executor
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.events import Event
    from rdskit.kernel.endpoints import Endpoint
    from tests.plugins.postgres import TestDatabase

T = TypeVar("T")


def of_kind(heard: list[Event], kind: type[T]) -> list[T]:
    return [event for event in heard if isinstance(event, kind)]


async def test_connections_queries_and_waiting_are_told(database: TestDatabase) -> None:
    heard: list[Event] = []
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1, observers=[heard.append]) as db:
        await db.execute("create table secrets (id int primary key, word text)")
        await db.execute("insert into secrets values (1, :word)", word="hunter2-parameter")
        with pytest.raises(rdskit.IntegrityError):
            await db.execute("insert into secrets values (1, :word)", word="hunter2-parameter")
        async with db.transaction() as tx:
            await tx.fetch_all("select word from secrets where id = :id", id=1)
        await asyncio.gather(*(db.fetch_value("select 1") for _ in range(3)))
    endpoint = f"{database.host}:{database.port}"
    assert [opened.endpoint for opened in of_kind(heard, events.ConnectionOpened)] == [endpoint]
    assert [closed.broken for closed in of_kind(heard, events.ConnectionClosed)] == [False]
    queries = of_kind(heard, events.QueryFinished)
    assert [query.sql for query in queries if query.error == "IntegrityError"] == [
        "insert into secrets values (1, :word)"
    ]
    assert [query.error for query in queries if "where id = :id" in query.sql] == [None]
    assert all(query.seconds > 0 for query in queries)
    waits = of_kind(heard, events.PoolWaited)
    assert [wait.error for wait in waits if wait.seconds > 0][-2:] == [None, None]
    assert "hunter2" not in repr(heard)
    assert database.password not in repr(heard)


async def test_bulk_calls_and_streams_are_told_once_each(database: TestDatabase) -> None:
    heard: list[Event] = []
    rows = [{"id": number, "word": "hunter2-parameter"} for number in range(10)]
    async with rdskit.connect(database.url, tls="off", observers=[heard.append]) as db:
        await db.execute("create table words (id int primary key, word text)")
        await db.execute_many("delete from words where id = :id", [{"id": 0}])  # looks for the table of markers, once
        heard.clear()
        await db.insert_many("words", rows)
        with pytest.raises(rdskit.IntegrityError):
            await db.insert_many("words", iter(rows))
        await db.execute_many("update words set word = :word where id = :id", rows[:3])
        async with db.transaction() as tx:
            await tx.insert_many("words", rows, on_conflict="ignore")
            await tx.execute_many("delete from words where id = :id", [{"id": 0}, {"id": 99}])
    told = [(bulk.method, bulk.subject, bulk.rows, bulk.error) for bulk in of_kind(heard, events.BulkFinished)]
    assert told == [
        ("insert_many", "words", 10, None),
        ("insert_many", "words", None, "IntegrityError"),
        ("execute_many", "update words set word = :word where id = :id", 3, None),
        ("insert_many", "words", 0, None),
        ("execute_many", "delete from words where id = :id", 1, None),
    ]
    assert of_kind(heard, events.QueryFinished) == []
    assert "hunter2" not in repr(heard)


async def test_the_end_of_a_stream_is_told_however_it_ends(database: TestDatabase) -> None:
    heard: list[Event] = []
    count, divide = "select generate_series(1, :n) as n", "select 10 / (n - 3) from generate_series(1, 4) n"
    async with rdskit.connect(database.url, tls="off", observers=[heard.append]) as db:
        assert len([row async for row in db.stream(count, n=25, batch=10)]) == 25
        async with contextlib.aclosing(db.stream(count, n=25, batch=10)) as rows:
            await anext(rows)
        async with db.transaction() as tx:
            assert len([row async for row in tx.stream(count, n=5)]) == 5
        with pytest.raises(rdskit.QueryError):
            async for _ in db.stream(divide, batch=1):
                pass
    told = [(stream.sql, stream.rows, stream.error) for stream in of_kind(heard, events.StreamFinished)]
    assert told[:3] == [(count, 25, None), (count, 1, None), (count, 5, None)]
    ((sql, given, error),) = told[3:]
    assert (sql, given) == (divide, 2)
    assert error is not None


@contextlib.asynccontextmanager
async def lost_read(db: rdskit.Database, database: TestDatabase) -> AsyncIterator[asyncio.Future[int]]:
    """End the connection of a read that waits for a lock, which is held for the block."""
    find = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%from held'"
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=2) as killer:
        await killer.execute("create table held as select 1 as n")
        async with killer.transaction() as tx:
            await tx.execute("lock table held in access exclusive mode")
            reading = asyncio.ensure_future(db.fetch_value("select n from held"))
            pid = await eventually(lambda: killer.fetch_value(find))
            await killer.fetch_value("select pg_terminate_backend(:pid)", pid=pid)
            yield reading


async def test_a_lost_writer_and_a_retried_read_are_told(database: TestDatabase) -> None:
    heard: list[Event] = []
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=2, observers=[heard.append]) as db:
        async with lost_read(db, database) as reading:
            pass
        assert await reading == 1
    retried = of_kind(heard, events.QueryRetried)
    assert [(one.failure, one.attempt) for one in retried] == [("LOST", 1)]
    assert len(of_kind(heard, events.FailoverStarted)) == 1
    assert [done.writer for done in of_kind(heard, events.FailoverCompleted)] == [f"{database.host}:{database.port}"]
    assert db._cluster.retries.budget.spent <= 5


async def test_failed_connects_and_rotated_credentials_are_told(database: TestDatabase) -> None:
    heard: list[Event] = []

    class Rotating:
        async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:  # noqa: ARG002 - the port's
            return rdskit.Login(database.user, database.password if refused else "the one before")

    async with rdskit.connect(
        database.url, tls="off", min_size=0, credentials=Rotating(), observers=[heard.append]
    ) as db:
        await db.fetch_value("select 1")
    assert events.CredentialsRotated(f"{database.host}:{database.port}", database.user) in heard

    with pytest.raises(rdskit.ConnectError):
        await rdskit.connect(
            f"postgresql://stranger:x@{database.host}:1/none", tls="off", connect_timeout=0.2, observers=[heard.append]
        )
    failed = of_kind(heard, events.ConnectionFailed)
    assert {(one.endpoint, one.error) for one in failed} == {(f"{database.host}:1", "ConnectError")}


async def test_an_observer_that_raises_is_reported_once_and_disturbs_nothing(
    database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def broken(_event: Event) -> None:
        raise LookupError("observer's own trouble")

    with caplog.at_level(logging.ERROR, "rdskit.observers"):
        async with rdskit.connect(database.url, tls="off", observers=[broken, heard.append]) as db:
            for number in range(5):
                assert await db.fetch_value("select :n::int", n=number) == number
    assert len(caplog.records) == 1
    assert "broken" in caplog.text
    assert len(of_kind(heard, events.QueryFinished)) == 5


async def test_when_nobody_listens_the_plain_executor_runs(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, pipeline="off") as db:
        assert type(db._executor) is Executor
    with pytest.raises(rdskit.ConfigError, match=r"observers\[…\]='log' is of type str: give a function"):
        await rdskit.connect(database.url, tls="off", observers=["log"])  # type: ignore[list-item]  # on purpose


async def test_calls_are_not_sent_again_once_the_retry_budget_is_spent(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=2) as db:
        retries = db._cluster.retries
        while retries.may_retry():
            pass
        async with lost_read(db, database) as reading:
            with pytest.raises(rdskit.FailoverError, match="the retry budget is spent"):
                await reading
        assert db.stats().retries_left == 0
        for _ in range(10):
            await db.fetch_value("select 1")
        assert db.stats().retries_left == 2
