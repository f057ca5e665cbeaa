"""The cluster's own connections: none is left open, whenever closing them is cut short."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from rdskit.client.credentials import StaticCredentials
from rdskit.client.failover.access import Access
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from rdskit.kernel.ports import Connection
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_line_is_closed_even_by_who_is_cancelled(target: TestDatabase | FamilyDatabase, steps: int) -> None:
    access = Access(
        AsyncpgDriver() if target.url.startswith("postgresql") else AsyncmyDriver(),
        StaticCredentials(target.user, target.password),
        database=target.name,
        tls=None,
        connect_timeout=5.0,
        application_name="test",
    )
    lines: list[Connection] = []

    async def ask(line: Connection) -> None:
        await line.ping(5.0)
        lines.append(line)

    await access.control_connections.ask(Endpoint(target.host, target.port), ask)
    closing = asyncio.ensure_future(access.control_connections.close())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    await access.control_connections.close()
    (line,) = lines

    async def is_closed() -> bool:
        return line.broken

    await eventually(is_closed)
