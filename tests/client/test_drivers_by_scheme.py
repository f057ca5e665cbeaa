"""Drivers are chosen by the scheme of the URL, and loaded when a target needs them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import looptime
import pytest

import rdskit
from rdskit.client.api import dialect_of
from rdskit.client.targets import drivers
from rdskit.client.targets.drivers import DriverEntry, driver_for, parse, register
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Scheme, Target
from tests.client.estate import Estate

if TYPE_CHECKING:
    from rdskit.kernel.ports import Driver

MADE_UP = Scheme("made-up", Engine.MYSQL, 7000)
BY_NAME = Scheme("by-name", None, None)


@pytest.fixture(autouse=True)
def _registered_for_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_entries", dict(drivers._entries))


def not_installed() -> Driver:
    raise ImportError("no module named madeup")


def test_a_database_is_reached_through_the_driver_of_its_scheme() -> None:
    estate = Estate()
    register(DriverEntry(MADE_UP, Dialect.MYSQL, lambda: estate, "madeup", "madeup"))

    async def connected() -> tuple[str, Dialect]:
        async with rdskit.connect("made-up://app:secret@one/shop", tls="off", topology="off") as db:
            assert await db.execute("insert into load values (1)") == 1
            return repr(db), dialect_of(db)

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert runner.run(connected()) == ("<rdskit.Database made-up://app@one:7000/shop>", Dialect.MYSQL)
    assert {name for _, name in estate.attempts} == {"one"}


def test_a_driver_that_is_not_installed_is_missed_by_its_own_targets_only() -> None:
    register(DriverEntry(MADE_UP, Dialect.MYSQL, not_installed, "madeup", "fancy"))
    entry, _ = driver_for(parse("made-up://h/x"), Engine.MYSQL)
    with pytest.raises(rdskit.ConfigError, match=r"made-up:// needs madeup, .*pip install 'rdskit\[fancy\]'"):
        entry.loaded()
    driver_for(parse("postgresql://h/x"), Engine.POSTGRES)[0].loaded()


def test_a_scheme_may_name_a_cluster_instead_of_a_host() -> None:
    with pytest.raises(rdskit.ConfigError, match="scheme 'by-name' is not one that rdskit knows"):
        parse("by-name://orders/shop")
    register(DriverEntry(BY_NAME, None, not_installed, "madeup", "fancy"))
    target = parse("by-name://orders/shop")
    assert target == Target(scheme="by-name", identifier="orders", database="shop")
    assert str(target) == "by-name://orders/shop"
    for engine, dialect in ((Engine.POSTGRES, Dialect.POSTGRES), (Engine.MARIADB, Dialect.MYSQL)):
        entry, spoken = driver_for(target, engine)
        assert (entry.scheme, spoken) == (BY_NAME, dialect)
    with pytest.raises(rdskit.ConfigError, match="'by-name://orders' takes no port"):
        parse("by-name://orders:1/shop")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("postgres://h/x", Endpoint("h", 5432)),
        ("mariadb://h:1/x", Endpoint("h", 1)),
        ("made-up://h/x", Endpoint("h", 7000)),
    ],
)
def test_the_default_port_is_that_of_the_scheme(text: str, endpoint: Endpoint) -> None:
    register(DriverEntry(MADE_UP, Dialect.MYSQL, not_installed, "madeup", "fancy"))
    assert parse(text).endpoint == endpoint


def test_what_is_found_by_its_name_gets_the_driver_of_its_engine() -> None:
    for target in (parse("rds://orders/shop"), parse("secretsmanager:prod/orders"), Target(identifier="orders")):
        assert driver_for(target, Engine.POSTGRES)[0].package == "asyncpg"
        assert driver_for(target, Engine.MARIADB)[0].package == "asyncmy"
