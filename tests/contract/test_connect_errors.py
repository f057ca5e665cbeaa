"""What is said of a connection that cannot be opened: the same on every engine, and what to pass instead."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.drivers.greeting import engine_at, engine_of
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import Engine as ServerEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(90)
NAMES = {"postgres": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL"}


def with_scheme(engine: Engine, scheme: str) -> str:
    return f"{scheme}://{engine.database.url.partition('://')[2]}"


@pytest.mark.parametrize("tls", ["require", "off"])
async def test_a_server_of_another_kind_is_recognized(engine: Engine, tls: rdskit.TlsMode) -> None:
    wrong = engine.pick("mysql", "postgresql")
    with pytest.raises(rdskit.ConfigError) as caught:
        await rdskit.connect(with_scheme(engine, wrong), tls=tls, connect_timeout=0.5)
    told = str(caught.value)
    assert f"this looks like {NAMES[engine.name]}, so write {engine.pick('postgresql', engine.name)}://" in told
    assert "tls='off'" not in told
    assert isinstance(caught.value.__cause__, Exception)


async def test_a_server_is_known_by_its_first_bytes(engine: Engine) -> None:
    assert await engine_at(Endpoint(engine.database.host, engine.database.port)) is ServerEngine(engine.name)


def test_bytes_that_tell_nothing() -> None:
    for answer in (b"", b"H", b"HTTP/1.1 400 Bad Request", b"SSH-2.0-OpenSSH", b"\x05\x00\x00\x01\x0a"):
        assert engine_of(answer) is None
    assert engine_of(b"\x0b\x00\x00\x00\xff\x10\x04Too many") is ServerEngine.MYSQL


async def test_a_host_that_answers_nothing_is_of_no_kind() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        assert await engine_at(Endpoint(*server.sockets[0].getsockname()[:2])) is None
    assert await engine_at(Endpoint("127.0.0.1", 1)) is None


async def test_a_database_that_is_not_there_is_named(engine: Engine) -> None:
    url = engine.database.url.rpartition("/")[0]
    with pytest.raises(
        rdskit.ConnectError, match=r"database 'nowhere' does not exist at .*; create it, or name another"
    ):
        await rdskit.connect(f"{url}/nowhere", tls="off")


async def test_without_a_database_the_one_that_was_tried_is_named(engine: Engine, db: rdskit.Database) -> None:
    if not engine.is_postgres:
        async with rdskit.connect(engine.database.url.rpartition("/")[0], tls="off", min_size=0) as other:
            assert await other.fetch_value("select database()") is None
        return
    await db.execute("create role wanderer login password 'wanderer of the test'")
    url = f"postgresql://wanderer:wanderer%20of%20the%20test@{engine.database.host}:{engine.database.port}"
    try:
        with pytest.raises(
            rdskit.ConnectError, match=r"database 'wanderer' does not exist .*the one with the user's name"
        ):
            await rdskit.connect(url, tls="off")
    finally:
        await db.execute("drop role wanderer")


@contextlib.asynccontextmanager
async def guarded(engine: Engine, db: rdskit.Database) -> AsyncIterator[str]:
    """Make a user that may only come over TLS; gives a URL with that login."""
    password = "only over an encrypted line"
    url = f"{engine.database.url.partition('://')[0]}://guarded:{password.replace(' ', '%20')}@"
    url += f"{engine.database.host}:{engine.database.port}/{engine.database.name}"
    if not engine.is_postgres:
        await db.execute(f"create user guarded@'%' identified by '{password}' require ssl")
        await db.execute(f"grant all on `{engine.database.name}`.* to guarded@'%'")
        yield url
        await db.execute("drop user guarded@'%'")
        return
    path = await db.fetch_value("show hba_file")
    before = await asyncio.to_thread(open_and_read, path)
    await db.execute(f"create role guarded login password '{password}'")
    await asyncio.to_thread(write, path, f"hostnossl all guarded all reject\n{before}")
    await db.fetch_value("select pg_reload_conf()")
    try:
        yield url
    finally:
        await asyncio.to_thread(write, path, before)
        await db.fetch_value("select pg_reload_conf()")
        await db.execute("drop role guarded")


def open_and_read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path that a server names
        return file.read()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - same
        file.write(text)


async def test_a_server_that_wants_tls_is_a_tls_error(engine: Engine, db: rdskit.Database) -> None:
    async with guarded(engine, db) as url:
        with pytest.raises(rdskit.TLSError, match=r"takes encrypted connections only: .*; pass tls='verify-full'"):
            await rdskit.connect(url, tls="off")


async def test_a_wrong_password_in_the_clear_is_no_tls_error(engine: Engine) -> None:
    url = engine.database.url.replace(f":{engine.database.password}@", ":wrong@")
    with pytest.raises(rdskit.AuthenticationError, match="check the user name and the password"):
        await rdskit.connect(url, tls="off")
