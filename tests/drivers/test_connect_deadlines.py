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
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
import rdskit.sync
from tests.drivers import rogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.endpoints import Endpoint

LIMIT = 25.0  # seconds after which a way hangs: each is given half a second for an attempt, and one for all
OPTIONS: dict[str, Any] = {"tls": "off", "timeout": 1.0, "connect_timeout": 0.5}
QUERY = "plugin=rdskit&tls=off&timeout=1&connect_timeout=0.5"


def asynchronous(scheme: str, endpoint: Endpoint) -> None:
    async def connect() -> None:
        async with rdskit.connect(f"{scheme}://app:pw@{endpoint}/shop", **OPTIONS) as db:
            await db.fetch_value("select 1")

    asyncio.run(connect())


def synchronous(scheme: str, endpoint: Endpoint) -> None:
    with rdskit.sync.connect(f"{scheme}://app:pw@{endpoint}/shop", **OPTIONS) as db:
        db.fetch_value("select 1")


def plain(scheme: str, endpoint: Endpoint) -> None:
    rdskit.dbapi_connect(f"{scheme}://app:pw@{endpoint}/shop", **OPTIONS).close()


def sqlalchemy_sync(scheme: str, endpoint: Endpoint) -> None:
    engine = sqlalchemy.create_engine(f"{scheme}://app:pw@{endpoint}/shop?{QUERY}", pool_use_lifo=True)
    try:
        engine.raw_connection().close()
    finally:
        engine.dispose()


def sqlalchemy_async(scheme: str, endpoint: Endpoint) -> None:
    async def connect() -> None:
        engine = create_async_engine(f"{scheme}://app:pw@{endpoint}/shop?{QUERY}")
        try:
            (await engine.raw_connection()).close()
        finally:
            await engine.dispose()

    asyncio.run(connect())


DJANGO = """
import sys, django
from django.conf import settings
host, port = sys.argv[2].rsplit(":", 1)
settings.configure(DATABASES={"default": {
    "ENGINE": f"rdskit.integrations.django.{sys.argv[1]}", "NAME": "shop", "USER": "app", "PASSWORD": "pw",
    "HOST": host, "PORT": port, "OPTIONS": {"tls": "off", "timeout": 1, "connect_timeout": 0.5}}})
django.setup()
from django.db import connection
connection.connect()
"""


def django(scheme: str, endpoint: Endpoint) -> None:
    command = [sys.executable, "-c", DJANGO, scheme, str(endpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, env=dict(os.environ))
    assert "ImproperlyConfigured" not in done.stderr, done.stderr
    if done.returncode:
        raise ConnectionError(done.stderr)


POSTGRES: dict[str, tuple[Callable[[str, Endpoint], None], str]] = {
    "connect": (asynchronous, "postgresql"),
    "sync": (synchronous, "postgresql"),
    "dbapi": (plain, "postgresql"),
    "sqlalchemy+psycopg": (sqlalchemy_sync, "postgresql+psycopg"),
    "sqlalchemy+psycopg_async": (sqlalchemy_async, "postgresql+psycopg"),
    "sqlalchemy+asyncpg": (sqlalchemy_async, "postgresql+asyncpg"),
    "django": (django, "postgresql"),
}
MYSQL: dict[str, tuple[Callable[[str, Endpoint], None], str]] = {
    "connect": (asynchronous, "mysql"),
    "sync": (synchronous, "mysql"),
    "dbapi": (plain, "mysql"),
    "sqlalchemy+pymysql": (sqlalchemy_sync, "mysql+pymysql"),
    "sqlalchemy+asyncmy": (sqlalchemy_async, "mysql+asyncmy"),
    "django": (django, "mysql"),
}


def outcomes(
    ways: dict[str, tuple[Callable[[str, Endpoint], None], str]], endpoint: Endpoint
) -> dict[str, BaseException | None]:
    """Try all ways at once; return what each raised, or None for a connection. One that hangs is missing."""
    found: dict[str, BaseException | None] = {}

    def run(name: str, way: Callable[[str, Endpoint], None], scheme: str) -> None:
        try:
            way(scheme, endpoint)
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
