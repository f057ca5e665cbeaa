"""Clients are cut off from a healthy Multi-AZ instance: one clear error, no failover, and all is well afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local import faults, lifecycle
from tests.chaos.multi_az import MultiAz, multi_az
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

DEADLINE = 3.0
GRACE = 2.0  # seconds for what ends with a call: its lookups by the AWS API, on a machine that is busy
PATIENCE = 60.0


@pytest.fixture(scope="module", params=["postgres", "mariadb", *soak("mysql")])
def instance(local_rds: LocalRds, request: pytest.FixtureRequest) -> Iterator[MultiAz]:
    """Return the instance that the tests of an engine share."""
    with multi_az(local_rds, request.param) as instance:
        yield instance


async def _refused(instance: MultiAz, **options: float) -> str:
    """Return the error of a call of connect, of exactly one class."""
    async with asyncio.timeout(DEADLINE + GRACE):
        with pytest.raises(rdskit.ConnectError) as told:
            async with instance.connect(timeout=DEADLINE, **options):
                pass
    assert type(told.value) is rdskit.ConnectError
    return str(told.value)


async def test_connect_says_in_time_that_nothing_answers_and_nobody_is_promoted(instance: MultiAz) -> None:
    cut_off = faults.injected(instance.identifier, faults.blackhole(path="client"), data=instance.local.data)
    async with instance.connect(max_size=2) as before:
        assert await before.fetch_value("select 1") == 1
        async with cut_off:
            assert "did not answer within 1 s" in await _refused(instance, connect_timeout=1.0)
            assert f"gave no connection within {DEADLINE:g} s" in await _refused(instance, connect_timeout=30.0)
        assert await before.fetch_value("select 1", timeout=PATIENCE) == 1, "the connections of before go on"
        async with instance.connect(timeout=PATIENCE) as after:
            await after.execute("create table written (id int primary key)")
            assert await after.execute("insert into written values (1)") == 1
        assert await before.fetch_value("select count(*) from written", timeout=PATIENCE) == 1
    assert await asyncio.to_thread(lifecycle.failovers, instance.local.data, instance.identifier) == []
