"""Logging in to MySQL and MariaDB: over TLS, in the clear, and what is never sent in the clear."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.errors import AuthenticationError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import ConnectOptions, DriverError, Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.local.engines.mysql.throwaway import ThrowawayMySQL
    from tests.plugins.mysql_family import FamilyDatabase

SECRET = "not-to-be-seen"


async def test_tls_is_used_where_it_is_wanted(mysql_database: FamilyDatabase) -> None:
    async with rdskit.connect(mysql_database.url, tls="require", max_size=1) as db:
        cipher = await db.fetch_one("show session status like 'Ssl_cipher'")
        assert cipher is not None
        assert cipher[1]
    async with rdskit.connect(mysql_database.url, tls="off", max_size=1) as db:
        cipher = await db.fetch_one("show session status like 'Ssl_cipher'")
        assert cipher is not None
        assert not cipher[1]


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
async def test_a_missing_driver_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    for name in [name for name in sys.modules if name.startswith(("rdskit.drivers.mysql", "asyncmy"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncmy", None)
    with pytest.raises(rdskit.ConfigError, match=r"pip install 'rdskit\[mysql\]'"):
        await rdskit.connect(f"{scheme}://app:x@127.0.0.1/shop", tls="off")


async def test_a_certificate_of_nobody_we_know_is_refused(mysql_database: FamilyDatabase) -> None:
    with pytest.raises(rdskit.TLSError, match=r"certificate of .* was refused: .* RDSKIT_CA"):
        async with rdskit.connect(mysql_database.url):
            pass


@pytest.mark.parametrize("tls", ["require", "off"])
async def test_the_first_login_of_a_user_sends_its_password_encrypted_either_way(
    mysql: ThrowawayMySQL, mysql_database: FamilyDatabase, tls: rdskit.TlsMode
) -> None:
    """caching_sha2_password knows the user after that, and needs a scramble only; without TLS it encrypts by RSA."""
    user = f"new_{tls}"
    with mysql.connect() as session:
        session.execute(f"create user {user}@'%' identified with caching_sha2_password by '{SECRET}'")
        session.execute(f"grant all on {mysql_database.name}.* to {user}@'%'")
    url = f"mysql://{user}:{SECRET}@{mysql_database.host}:{mysql_database.port}/{mysql_database.name}"
    for _ in range(2):
        async with rdskit.connect(url, tls=tls, max_size=1) as db:
            assert (await db.fetch_value("select current_user()")).startswith(user)
    with mysql.connect() as session:
        session.execute(f"drop user {user}@'%'")


@contextlib.asynccontextmanager
async def greedy_server(plugin: str) -> AsyncIterator[tuple[Endpoint, list[bytes]]]:
    """Greets like MariaDB, then asks for the login by another plug-in; keeps what it is sent."""
    received: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        capabilities = 0x00_0F_A2_0F  # protocol 4.1, plug-ins, secure connection; no TLS
        greeting = b"\x0a10.11.0-MariaDB\0" + (1).to_bytes(4, "little") + b"12345678\0"
        greeting += capabilities.to_bytes(4, "little")[:2] + b"\x2d\x02\x00" + capabilities.to_bytes(4, "little")[2:]
        greeting += b"\x15" + b"\0" * 10 + b"123456789012\0" + b"mysql_native_password\0"
        switch = b"\xfe" + plugin.encode() + b"\0" + b"x" * 20 + b"\0"
        writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        received.append(await reader.read(4096))
        writer.write(len(switch).to_bytes(3, "little") + b"\x02" + switch)
        received.append(await reader.read(4096))
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield Endpoint(host, port), received
    finally:
        await asyncio.wait_for(ended.wait(), 5)
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog", "mysql_old_password"])
async def test_a_server_that_asks_for_the_password_in_the_clear_does_not_get_it(plugin: str) -> None:
    async with greedy_server(plugin) as (endpoint, received):
        options = ConnectOptions(endpoint, None, None, 5.0, "test")
        with pytest.raises(DriverError) as caught:
            await AsyncmyDriver().connect(options, Login("app", SECRET))
    assert (caught.value.failure, type(caught.value.public)) == (Failure.REFUSED, AuthenticationError)
    assert "in the clear" in str(caught.value)
    assert b"app" in received[0]
    assert SECRET.encode() not in b"".join(received)


async def test_nothing_is_sent_to_a_server_without_tls_where_tls_is_wanted() -> None:
    async with greedy_server("mysql_native_password") as (endpoint, received):
        with pytest.raises(rdskit.TLSError, match="offers no TLS"):
            async with rdskit.connect(f"mysql://app:{SECRET}@{endpoint}/x", max_size=1, min_size=0):
                pass
    assert b"app" not in b"".join(received)


async def test_a_server_that_hangs_up_in_the_greeting_is_worth_another_attempt() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    options = ConnectOptions(Endpoint(host, port), None, None, 5.0, "test")
    with pytest.raises(DriverError) as caught:
        await AsyncmyDriver().connect(options, Login("app", SECRET))
    assert caught.value.failure is Failure.LOST
    server.close()
    await server.wait_closed()
