"""A session for reading: the server refuses writes, also of a superuser on a writer, and that is no failover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ReadOnlyError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine


async def refused(connection: Connection, text: str) -> None:
    with pytest.raises(DriverError) as told:
        await connection.execute(text, (), 5.0)
    assert told.value.failure is Failure.REFUSED
    assert isinstance(told.value.public, ReadOnlyError)
    assert "was connected to read only" in str(told.value.public)
    assert told.value.public.sqlstate == "25006"


async def test_writes_are_refused_outside_and_inside_transactions_and_after_a_reset(
    engine: Engine, connection: Connection
) -> None:
    await connection.execute("create table items (n int)", (), 5.0)
    reading = await engine.driver.connect(replace(engine.options, read_only=True), engine.login)
    try:
        for _ in range(2):
            await refused(reading, "insert into items values (1)")
            await reading.control("begin", 5.0)
            await refused(reading, "insert into items values (1)")
            await reading.control("rollback", 5.0)
            assert not reading.broken
            await reading.reset(5.0)
        assert await reading.fetch_all("select n from items", (), 5.0) == []
    finally:
        await reading.close(5.0)
