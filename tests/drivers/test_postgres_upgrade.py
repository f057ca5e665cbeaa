"""Callers that give up while a connection is being opened leave nothing behind, not even a complaint."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import Any

from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import ConnectOptions, Login

STEPS = 25  # of the event loop: more than it takes from the first one to the request for TLS


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
    for _ in range(STEPS):  # connections that are lost are told of in the next rounds
        await asyncio.sleep(0)
    gc.collect()
    assert told == []


def port_of(server: asyncio.Server) -> int:
    port: Any = server.sockets[0].getsockname()[1]
    return int(port)
