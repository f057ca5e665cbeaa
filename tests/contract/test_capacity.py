"""How many connections a server takes, in each engine's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)


async def test_a_server_says_how_many_connections_it_takes(engine: Engine, connection: Connection) -> None:
    capacity = await connection.capacity(5.0)
    query = engine.pick("select current_setting('max_connections')::int", "select @@global.max_connections")
    row = await connection.fetch_one(query, (), 5.0)
    assert row is not None
    assert capacity.max_connections == row[0]
    reserved = "current_setting('superuser_reserved_connections')::int + current_setting('reserved_connections')::int"
    row = await connection.fetch_one(engine.pick(f"select {reserved}", "select 0"), (), 5.0)
    assert row is not None
    assert capacity.reserved == row[0]
    assert capacity.allowed is None
    assert capacity.room == capacity.max_connections - capacity.reserved
