"""A server that goes away in the TLS handshake, as one that is stopped does, is worth another attempt."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from rdskit.drivers.dbapi import PlainOptions, Psycopg, Pymysql
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.errors import ConnectError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import ConnectOptions, DriverError, Login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.kernel.ports import Driver

SSL_REQUEST = 8  # bytes of PostgreSQL's SSLRequest
TLS_OFFERED = 0x00_0F_AA_0F  # MySQL's capabilities: protocol 4.1, plug-ins, secure connection, TLS
LOGIN = Login("app", "secret")


@contextlib.contextmanager
def leaving(offer: Callable[[socket.socket], None]) -> Iterator[Endpoint]:
    """Run a server that offers TLS, reads the client's first bytes of it and closes its side in good order."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                offer(connection)
                connection.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Endpoint(*server.getsockname())
        finally:
            thread.join(5)
            assert not thread.is_alive()


def as_postgres(connection: socket.socket) -> None:
    assert len(connection.recv(SSL_REQUEST, socket.MSG_WAITALL)) == SSL_REQUEST
    connection.sendall(b"S")


def as_mysql(connection: socket.socket) -> None:
    capabilities = TLS_OFFERED.to_bytes(4, "little")
    greeting = b"\x0a10.11.0-MariaDB\0" + (1).to_bytes(4, "little") + b"12345678\0"
    greeting += capabilities[:2] + b"\x2d\x02\x00" + capabilities[2:] + b"\x15" + b"\0" * 10
    greeting += b"123456789012\0" + b"mysql_native_password\0"
    connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
    request = connection.recv(36, socket.MSG_WAITALL)  # the header and 32 bytes: the login without its names
    assert len(request) == 36


@pytest.mark.parametrize(("driver", "offer"), [(AsyncpgDriver, as_postgres), (AsyncmyDriver, as_mysql)])
async def test_in_asyncio(driver: Callable[[], Driver], offer: Callable[[socket.socket], None]) -> None:
    with leaving(offer) as endpoint:
        options = ConnectOptions(endpoint, None, ssl.create_default_context(), 5.0, "test")
        with pytest.raises(DriverError) as caught:
            await driver().connect(options, LOGIN)
        told(caught.value, endpoint)


@pytest.mark.parametrize(
    ("driver", "offer", "tls"),
    [(Psycopg, as_postgres, {"sslmode": "require"}), (Pymysql, as_mysql, {"ssl": ssl.create_default_context()})],
)
async def test_in_a_plain_driver(
    driver: Callable[[PlainOptions], Psycopg | Pymysql], offer: Callable[[socket.socket], None], tls: dict[str, object]
) -> None:
    with leaving(offer) as endpoint:
        options = PlainOptions(tls, "test", {})
        with pytest.raises(DriverError) as caught:
            await asyncio.to_thread(driver(options).open, endpoint, LOGIN, None, 5.0)
        told(caught.value, endpoint)


def told(error: DriverError, endpoint: Endpoint) -> None:
    assert (error.failure, type(error.public)) == (Failure.LOST, ConnectError)
    assert f"{endpoint} cannot be reached" in str(error.public)
