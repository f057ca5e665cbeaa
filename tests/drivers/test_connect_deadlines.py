"""No way of connecting hangs: on a server that says nothing, says it byte by byte, or stops after the login.

Each way runs in a thread of its own, so that one that hangs fails its test and not the run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
import rdskit.sync
from tests.drivers import rogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.endpoints import Endpoint

LIMIT = 25.0  # seconds after which a way hangs: each is given half a second for an attempt, and one for all
PASSWORD = "tell-me-no-secret-7731"
OPTIONS: dict[str, Any] = {"timeout": 1.0, "connect_timeout": 0.5}
Mode = Literal["verify-full", "require", "off"]
QUERY = "plugin=rdskit&timeout=1&connect_timeout=0.5"


def asynchronous(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    async def connect() -> None:
        async with rdskit.connect(f"{scheme}://app:{PASSWORD}@{endpoint}/shop", tls=tls, **OPTIONS) as db:
            await db.fetch_value("select 1")

    asyncio.run(connect())


def synchronous(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    with rdskit.sync.connect(f"{scheme}://app:{PASSWORD}@{endpoint}/shop", tls=tls, **OPTIONS) as db:
        db.fetch_value("select 1")


def plain(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    rdskit.dbapi_connect(f"{scheme}://app:{PASSWORD}@{endpoint}/shop", tls=tls, **OPTIONS).close()


def sqlalchemy_sync(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    engine = sqlalchemy.create_engine(
        f"{scheme}://app:{PASSWORD}@{endpoint}/shop?{QUERY}&tls={tls}", pool_use_lifo=True
    )
    try:
        engine.raw_connection().close()
    finally:
        engine.dispose()


def sqlalchemy_async(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    async def connect() -> None:
        engine = create_async_engine(f"{scheme}://app:{PASSWORD}@{endpoint}/shop?{QUERY}&tls={tls}")
        try:
            (await engine.raw_connection()).close()
        finally:
            await engine.dispose()

    asyncio.run(connect())


DJANGO = """
import sys, django
from django.conf import settings
engine, password, *places = sys.argv[1:]
def database(place):
    endpoint, _, tls = place.partition("/")
    host, port = endpoint.rsplit(":", 1)
    return {
        "ENGINE": f"rdskit.integrations.django.{engine}", "NAME": "shop", "USER": "app", "PASSWORD": password,
        "HOST": host, "PORT": port, "OPTIONS": {"tls": tls, "timeout": 1, "connect_timeout": 0.5}}
aliases = {str(number): database(place) for number, place in enumerate(places)}
settings.configure(DATABASES={"default": aliases["0"], **aliases})
django.setup()
from django.db import connections
for alias in aliases:
    try:
        connections[alias].connect()
    except Exception as error:
        print(alias, "refused", repr(error))
    else:
        print(alias, "connected")
"""


def django_all(scheme: str, places: Sequence[tuple[Endpoint, Mode]]) -> list[bool]:
    """Connect to each place by Django, in one process; return where that was refused."""
    words = [f"{endpoint}/{tls}" for endpoint, tls in places]
    command = [sys.executable, "-c", DJANGO, scheme, PASSWORD, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(places), done.stdout
    assert "ImproperlyConfigured" not in done.stdout, done.stdout
    return [" refused " in line for line in told]


def django(scheme: str, endpoint: Endpoint, tls: Mode = "off") -> None:
    if django_all(scheme, [(endpoint, tls)]) == [True]:
        raise ConnectionError(endpoint)


Way = Callable[[str, "Endpoint", Mode], None]
POSTGRES: dict[str, tuple[Way, str]] = {
    "connect": (asynchronous, "postgresql"),
    "sync": (synchronous, "postgresql"),
    "dbapi": (plain, "postgresql"),
    "sqlalchemy+psycopg": (sqlalchemy_sync, "postgresql+psycopg"),
    "sqlalchemy+psycopg_async": (sqlalchemy_async, "postgresql+psycopg"),
    "sqlalchemy+asyncpg": (sqlalchemy_async, "postgresql+asyncpg"),
    "django": (django, "postgresql"),
}
MYSQL: dict[str, tuple[Way, str]] = {
    "connect": (asynchronous, "mysql"),
    "sync": (synchronous, "mysql"),
    "dbapi": (plain, "mysql"),
    "sqlalchemy+pymysql": (sqlalchemy_sync, "mysql+pymysql"),
    "sqlalchemy+asyncmy": (sqlalchemy_async, "mysql+asyncmy"),
    "django": (django, "mysql"),
}


def outcomes(ways: dict[str, tuple[Way, str]], endpoint: Endpoint) -> dict[str, BaseException | None]:
    """Try all ways at once; return what each raised, or None for a connection. One that hangs is missing."""
    found: dict[str, BaseException | None] = {}

    def run(name: str, way: Way, scheme: str) -> None:
        try:
            way(scheme, endpoint, "off")
            found[name] = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it has ended
            found[name] = error

    threads = [threading.Thread(target=run, args=(name, *way), daemon=True) for name, way in ways.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LIMIT
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(found)


@pytest.mark.parametrize("behave", [rogue.silent, rogue.slow_postgres])
def test_a_login_to_postgresql_ends(behave: Any) -> None:
    with rogue.rogue(behave) as endpoint:
        found = outcomes(POSTGRES, endpoint)
    assert [name for name in POSTGRES if found.get(name) is None] == []


def test_a_postgresql_that_stops_after_the_login_holds_no_one() -> None:
    with rogue.rogue(rogue.half_open_postgres) as endpoint:
        found = outcomes(POSTGRES, endpoint)
    assert POSTGRES.keys() - found.keys() == set()
    assert [name for name, error in found.items() if error is None] == ["dbapi"], "it asks nothing by itself"


@pytest.mark.parametrize("behave", [rogue.silent, rogue.slow_mysql, rogue.half_open_mysql])
def test_a_login_to_mysql_ends(behave: Any) -> None:
    with rogue.rogue(behave) as endpoint:
        found = outcomes(MYSQL, endpoint)
    assert [name for name in MYSQL if found.get(name) is None] == []
