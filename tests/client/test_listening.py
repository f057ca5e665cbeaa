"""LISTEN through the database object: what arrives, what is marked as missing, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client import api
from rdskit.client.notifications import Inbox, Listening
from rdskit.errors import ConfigError, ConnectError, FailoverError
from rdskit.kernel.notifications import Notification
from rdskit.kernel.topology import EpochReason
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(60)
LISTENERS = "select pid from pg_stat_activity where query like 'LISTEN%' and datname = current_database()"


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", max_size=3) as opened:
        yield opened


async def test_every_receiver_gets_its_channels_on_one_connection(db: rdskit.Database) -> None:
    async with db.listen("jobs") as jobs, db.listen("jobs", 'Other "x"') as both:
        assert len(await db.fetch_all(LISTENERS)) == 1
        await db.execute("select pg_notify('jobs', '1')")
        await db.execute("select pg_notify(:channel, '2')", channel='Other "x"')
        await db.execute("select pg_notify('jobs', '3')")
        notes = aiter(both)
        assert [(await anext(notes))[:2] for _ in range(3)] == [("jobs", "1"), ('Other "x"', "2"), ("jobs", "3")]
        notes = aiter(jobs)
        first = await anext(notes)
        assert (first.payload, first.missed, first.process_id > 0) == ("1", False, True)
        assert (await anext(notes)).payload == "3"

    async def listener_is_gone() -> bool:
        return not await db.fetch_all(LISTENERS)

    await eventually(listener_is_gone)
    async with db.listen("jobs") as again:
        await db.execute("notify jobs")
        assert await anext(aiter(again)) is not None


async def test_a_loop_without_a_block_listens_and_leaves(db: rdskit.Database) -> None:
    async def receive() -> str:
        async for note in db.listen("jobs"):
            return note.payload
        return "ended"

    task = asyncio.ensure_future(receive())
    await eventually(lambda: db.fetch_all(LISTENERS))
    await db.execute("notify jobs, 'x'")
    assert await task == "x"


async def test_a_lost_connection_is_replaced_and_the_gap_is_marked(db: rdskit.Database) -> None:
    async with db.listen("jobs", "others") as listening, db.listen("jobs") as jobs:
        await db.execute("notify jobs, 'before'")
        notes = aiter(listening)
        assert (await anext(notes)).payload == "before"
        for row in await db.fetch_all(LISTENERS):
            await db.fetch_value("select pg_terminate_backend(:pid)", pid=row.pid)
        assert {await anext(notes), await anext(notes)} == {
            Notification("jobs", "", 0, missed=True),
            Notification("others", "", 0, missed=True),
        }
        await db.execute("notify jobs, 'after'")
        assert (await anext(notes)).payload == "after"
        received = [note async for note in _first(jobs, 3)]
        assert [(note.payload, note.missed) for note in received] == [("before", False), ("", True), ("after", False)]


async def _first(listening: Listening, count: int) -> AsyncIterator[Notification]:
    notes = aiter(listening)
    for _ in range(count):
        yield await anext(notes)


async def test_a_receiver_that_is_too_slow_gets_a_mark_and_goes_on(db: rdskit.Database) -> None:
    async with db.listen("jobs", queue=2) as slow, db.listen("jobs") as quick:
        for number in range(5):
            await db.execute("select pg_notify('jobs', :n)", n=str(number))
        assert [note.payload async for note in _first(quick, 5)] == ["0", "1", "2", "3", "4"]
        notes = aiter(slow)
        received = [await anext(notes) for _ in range(3)]
        assert [(note.payload, note.missed) for note in received] == [("0", False), ("1", False), ("", True)]
        await db.execute("notify jobs, 'later'")
        assert (await anext(notes)).payload == "later"


async def test_closing_the_database_ends_the_loop(database: TestDatabase) -> None:
    received: list[Notification] = []
    async with rdskit.connect(database.url, tls="off") as db:

        async def receive() -> None:
            received.extend([note async for note in db.listen("jobs")])

        task = asyncio.ensure_future(receive())
        await eventually(lambda: db.fetch_all(LISTENERS))
    await asyncio.wait_for(task, 5)
    assert received == []


async def test_what_cannot_be_listened_to_is_refused(db: rdskit.Database, mysql_database: FamilyDatabase) -> None:
    with pytest.raises(ConfigError, match="name of a channel"):
        db.listen()
    with pytest.raises(ConnectError, match="before the deadline"):
        async with db.listen("jobs", timeout=0.0):
            raise AssertionError
    async with rdskit.connect(mysql_database.url, tls="off") as other:
        with pytest.raises(ConfigError, match="no LISTEN and NOTIFY"):
            async with other.listen("jobs"):
                raise AssertionError
        assert not api.capabilities(other).notifications


async def test_an_inbox_marks_each_channel_once() -> None:
    inbox = Inbox(1)
    for channel in ("a", "a", "b", "b"):
        inbox.put(Notification(channel, "x", 1))
    inbox.end()
    notes = [await inbox.next() for _ in range(4)]
    assert [note and (note.channel, note.missed) for note in notes] == [("a", False), ("a", True), ("b", True), None]


async def test_an_epoch_begins_when_the_writer_is_back(db: rdskit.Database) -> None:
    epochs = api.epochs(db)
    first = await anext(epochs)
    assert (first.number, first.reason) == (1, EpochReason.OPENED)
    following = asyncio.ensure_future(anext(epochs))
    async with db.connection() as held:
        pid = await held.fetch_value("select pg_backend_pid()")
        await db.fetch_value("select pg_terminate_backend(:pid)", pid=pid)
        with pytest.raises(FailoverError):
            await held.fetch_value("select 1")

    async def noticed() -> bool:
        await db.fetch_value("select 1")
        return following.done()

    await eventually(noticed)
    second = await following
    assert (second.number, second.reason, second.writer) == (2, EpochReason.RECONNECTED, first.writer)
    ended = asyncio.ensure_future(anext(epochs, None))
    await db.close()
    assert await ended is None


async def test_an_epoch_begins_without_a_call_of_the_application(database: TestDatabase) -> None:
    async with (
        rdskit.connect(database.url, tls="off") as db,
        rdskit.connect(database.url, tls="off", application_name="other") as other,
    ):
        epochs = api.epochs(db)
        assert (await anext(epochs)).number == 1
        await other.fetch_all(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name = 'rdskit'"
        )
        assert (await asyncio.wait_for(anext(epochs), 30)).number == 2
