"""Routers of a Limitless database: a real PostgreSQL whose function answers as Aurora's is said to."""

from __future__ import annotations

import collections
import ipaddress
import random
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.credentials import StaticCredentials
from rdskit.client.failover.limitless import LimitlessAccess
from rdskit.client.failover.routers import Router, choose_router
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Host, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.postgres import TestDatabase

loads = st.lists(st.none() | st.floats(0, 2), min_size=1, max_size=9)

# -- which router ------------------------------------------------------------------------------------------------------


@given(loads, st.floats(0, 1, exclude_max=True))
def test_there_is_always_a_router(found: list[float | None], uniform: float) -> None:
    routers = [Router(Endpoint(f"router-{number}", 5432), load or 0.0) for number, load in enumerate(found)]
    assert choose_router(routers, uniform) in routers


def test_the_less_load_the_more_connections() -> None:
    routers = [Router(Endpoint(name, 5432), load) for name, load in (("idle", 0.0), ("half", 0.5), ("full", 1.0))]
    chance = random.Random(7)
    counted = collections.Counter(choose_router(routers, chance.random()).endpoint.host for _ in range(16_000))
    assert counted["idle"] == pytest.approx(10_000, rel=0.05)
    assert counted["half"] == pytest.approx(5_000, rel=0.1)
    assert counted["full"] == pytest.approx(1_000, rel=0.2)


# -- a real server -----------------------------------------------------------------------------------------------------

FUNCTION = """
create table routers (router_endpoint text, load float8);
create function aurora_limitless_router_endpoints(out router_endpoint text, out load float8) returns setof record
language sql stable as $$ select * from routers $$;
"""


@pytest.fixture
def told(database: TestDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url, autocommit=True) as session:
        yield session


def access_to(database: TestDatabase) -> LimitlessAccess:
    return LimitlessAccess(
        AsyncpgDriver(),
        StaticCredentials(database.user, database.password),
        database=database.name,
        tls=None,
        connect_timeout=5.0,
        application_name="test",
    )


async def opened_at(access: LimitlessAccess, host: Host) -> str:
    connection = await access.open(host)
    assert await connection.fetch_one("select 1", (), 5.0)
    await connection.close(5.0)
    return connection.endpoint.host


def group(database: TestDatabase) -> Host:
    return Host("group", Endpoint(database.host, database.port), Role.WRITER)


async def test_connections_are_spread_over_the_routers(database: TestDatabase, told: psycopg.Connection) -> None:
    # Two more names of the server's one address, which resolvers read as well: they are the routers.
    number = int(ipaddress.ip_address(database.host))
    names = {str(number), hex(number)}
    told.execute(FUNCTION)
    told.cursor().executemany("insert into routers values (%s, 0.2)", [(name,) for name in names])
    access, host = access_to(database), group(database)
    assert await opened_at(access, host) == database.host, "the first one asks"
    assert {await opened_at(access, host) for _ in range(20)} == names


async def test_a_router_that_is_away_costs_no_connection(database: TestDatabase, told: psycopg.Connection) -> None:
    told.execute(FUNCTION + "insert into routers values ('127.0.0.1', 0.0)")
    access, host = access_to(database), group(database)
    assert {await opened_at(access, host) for _ in range(4)} == {database.host}


async def test_a_server_that_knows_no_routers_is_used_as_it_is(database: TestDatabase) -> None:
    access, host = access_to(database), group(database)
    assert {await opened_at(access, host) for _ in range(3)} == {database.host}


async def test_a_refused_login_is_told(database: TestDatabase) -> None:
    access = access_to(database)
    access.credentials = StaticCredentials("stranger", "wrong-password")
    with pytest.raises(DriverError):
        await access.open(group(database))
