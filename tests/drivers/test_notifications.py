"""LISTEN on a driver's connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.notifications import Notification
from rdskit.kernel.ports import ConnectOptions, DriverError, Login, Notifying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.drivers.postgres import PostgresConnection
    from tests.plugins.postgres import TestDatabase

SOME = 5.0


@pytest.fixture
async def pair(database: TestDatabase) -> AsyncIterator[tuple[PostgresConnection, PostgresConnection]]:
    options = ConnectOptions(Endpoint(database.host, database.port), database.name, None, SOME, "notifications")
    login = Login(database.user, database.password)
    one, other = [await AsyncpgDriver().connect(options, login) for _ in range(2)]
    yield one, other
    await one.close(SOME)
    await other.close(SOME)


async def test_a_channel_is_heard_until_it_is_left(pair: tuple[PostgresConnection, PostgresConnection]) -> None:
    one, other = pair
    assert isinstance(one, Notifying)
    notes: asyncio.Queue[Notification] = asyncio.Queue()
    await one.listen('Jobs "x"', notes.put_nowait, SOME)
    await one.listen("others", notes.put_nowait, SOME)
    pid = (await other.fetch_one("select pg_backend_pid()", (), SOME))[0]
    await other.execute("select pg_notify($1, $2)", ['Jobs "x"', "1"], SOME)
    assert await asyncio.wait_for(notes.get(), SOME) == Notification('Jobs "x"', "1", pid)
    await one.unlisten('Jobs "x"', SOME)
    await other.execute("select pg_notify($1, $2), pg_notify('others', '')", ['Jobs "x"', "2"], SOME)
    assert await asyncio.wait_for(notes.get(), SOME) == Notification("others", "", pid)
    await one.reset(SOME)
    await other.execute("notify others", (), SOME)
    await one.ping(SOME)
    assert notes.empty()


async def test_the_end_of_the_connection_is_noticed(pair: tuple[PostgresConnection, PostgresConnection]) -> None:
    one, other = pair
    ended = asyncio.Event()
    one.on_end(ended.set)
    pid = (await one.fetch_one("select pg_backend_pid()", (), SOME))[0]
    await other.execute("select pg_terminate_backend($1)", [pid], SOME)
    await asyncio.wait_for(ended.wait(), SOME)
    again = asyncio.Event()
    one.on_end(again.set)
    assert again.is_set()
    with pytest.raises(DriverError) as lost:
        await one.listen("jobs", print, SOME)
    assert lost.value.failure is Failure.LOST


async def test_a_reset_takes_the_role_back(pair: tuple[PostgresConnection, PostgresConnection]) -> None:
    one, other = pair
    await one.execute("create role app_role_of_reset", (), SOME)
    try:
        before = await one.fetch_one("select current_user, session_user", (), SOME)
        await one.execute("select set_config('role', 'app_role_of_reset', false)", (), SOME)
        assert (await one.fetch_one("select current_user", (), SOME))[0] == "app_role_of_reset"
        await one.reset(SOME)
        assert await one.fetch_one("select current_user, session_user", (), SOME) == before
    finally:
        await other.execute("drop role app_role_of_reset", (), SOME)
