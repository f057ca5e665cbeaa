"""Callers that give up while a connection is being opened leave nothing behind, not even a complaint."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import connect_utils

from rdskit.drivers.postgres import AsyncpgDriver, upgrade
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import ConnectOptions, Login

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase

SSL_REQUEST = 8  # bytes
STEPS = 25  # of the event loop: more than it takes from the first one to the request for TLS


async def test_a_connection_that_the_application_opens_with_asyncpg_is_left_alone() -> None:
    """Also one that is opened at the same moment, and even by code that a connection attempt of ours calls."""
    arrived: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(SSL_REQUEST)
        ended = asyncio.Event()
        arrived.put_nowait(ended)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()
        writer.transport.abort()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    host, port, tls = "127.0.0.1", port_of(server), ssl.create_default_context()
    options = ConnectOptions(Endpoint(host, port), "app", tls, 5.0, "test")
    plain: list[asyncio.Task[Any]] = []

    def open_plainly() -> None:
        connecting = asyncpg.connect(host=host, port=port, user="app", password="throwaway", ssl=tls)
        plain.append(asyncio.create_task(connecting))

    open_plainly()
    others = [await arrived.get()]
    ours = asyncio.create_task(AsyncpgDriver().connect(options, Login("app", "throwaway")))
    own = await arrived.get()
    with contextlib.suppress(ZeroDivisionError), upgrade.abort_on_error():
        open_plainly()
        others.append(await arrived.get())
        raise ZeroDivisionError
    ours.cancel()
    await own.wait()  # it was cut
    assert not any(ended.is_set() for ended in others)
    assert not any(task.done() for task in plain)
    assert connect_utils.TLSUpgradeProto.__module__ == "asyncpg.connect_utils"
    for task in plain:
        task.cancel()
    await asyncio.wait([ours, *plain])
    server.close()
    await server.wait_closed()


async def test_a_cancelled_query_leaves_no_task_behind(database: TestDatabase) -> None:
    endpoint = Endpoint(database.host, database.port)
    options = ConnectOptions(endpoint, database.name, None, 5.0, "test")
    connection = await AsyncpgDriver().connect(options, Login(database.user, database.password))
    sleeping = asyncio.create_task(connection.fetch_one("select pg_sleep(20)", (), None))
    watching = await AsyncpgDriver().connect(options, Login(database.user, database.password))
    question = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    while not (await watching.fetch_one(question, (), None))[0]:
        pass
    sleeping.cancel()
    await asyncio.wait([sleeping])
    assert (await connection.fetch_one("select 1", (), 5.0))[0] == 1
    assert connection._raw._cancellations == set()
    await connection.close(5.0)
    await watching.close(5.0)


async def test_giving_up_at_any_step_of_a_login_is_silent() -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context)))
    asked = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                asked.set()
        writer.transport.abort()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    options = ConnectOptions(Endpoint("127.0.0.1", port_of(server)), "app", ssl.create_default_context(), 5.0, "test")
    for steps in range(STEPS):
        opening = asyncio.ensure_future(AsyncpgDriver().connect(options, Login("app", "throwaway")))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
    assert asked.is_set(), "the last ones had got as far as the request"
    server.close()
    await server.wait_closed()
    for _ in range(STEPS):  # the loop reports lost connections in its next rounds
        await asyncio.sleep(0)
    gc.collect()
    assert told == []


def port_of(server: asyncio.Server) -> int:
    port: Any = server.sockets[0].getsockname()[1]
    return int(port)
