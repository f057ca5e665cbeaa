"""A server that hangs over TLS sends no close_notify; an abandoned connection must still leave no socket behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.drivers.mysql.connection import MysqlConnection
from rdskit.drivers.mysql.session import Flavor, PreparedSession
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.errors import QueryTimeout
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import ConnectOptions, DriverError, Login
from rdskit.kernel.topology import Role
from rdskit.local.certificates import LocalAuthority
from tests.drivers.test_tls_cut_off import as_mysql, as_postgres
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.kernel.ports import Driver

LOGIN = Login("app", "secret")
STARTUP = b"\0\x03\0\0"  # the protocol's version; a cancellation has another number in its place
WELCOME = (
    b"R\0\0\0\x08\0\0\0\0"  # AuthenticationOk
    b"S\0\0\0\x18server_version\x0015.0\0"  # ParameterStatus
    b"K\0\0\0\x0c\0\0\0\x07\0\0\0\x09"  # BackendKeyData
    b"Z\0\0\0\x05I"  # ReadyForQuery
)


@dataclass
class Silence:
    """A server over TLS that answers ``offer`` and ``answer``, and nothing after that; it reads nothing more either."""

    context: ssl.SSLContext
    offer: Callable[[socket.socket], None]
    answer: Callable[[ssl.SSLSocket], None]
    heard: list[bytes] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Endpoint]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=self._serve, args=(server,))
            thread.start()
            try:
                yield Endpoint(*server.getsockname())
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(5)
                for each in self._sockets:
                    each.close()
                assert not thread.is_alive()

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            self._sockets.append(plain)
            try:
                self.offer(plain)
                secured = self.context.wrap_socket(plain, server_side=True)
            except (OSError, AssertionError):
                continue  # a connection that only asks which product listens
            self._sockets.append(secured)
            self.heard.append(secured.recv(4096))
            self.answer(secured)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    directory = tmp_path_factory.mktemp("authority")
    issued = LocalAuthority(directory).issue(directory, "silent", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def options(endpoint: Endpoint, timeout: float) -> ConnectOptions:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return ConnectOptions(endpoint, "app", trusting, timeout, "test")


def open_sockets(endpoint: Endpoint) -> int:
    """Count how many of this process lead to a server."""
    return sum(each.raddr == tuple(endpoint) for each in psutil.Process().net_connections("tcp4"))


async def heard(server: Silence, times: int) -> None:
    async def so_often() -> bool:
        return len(server.heard) >= times

    await eventually(so_often, 10.0)


async def a_few_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("driver", "offer"), [(AsyncpgDriver, as_postgres), (AsyncmyDriver, as_mysql)])
async def test_a_login_that_is_cancelled(
    driver: Callable[[], Driver], offer: Callable[[socket.socket], None], context: ssl.SSLContext
) -> None:
    server = Silence(context, offer, lambda _: None)
    with server.serving() as endpoint:
        opening = asyncio.ensure_future(driver().connect(options(endpoint, 30.0), LOGIN))
        await heard(server, 1)
        assert open_sockets(endpoint) == 1
        opening.cancel()
        await asyncio.wait([opening])
        await a_few_turns()
        assert opening.cancelled()
        assert open_sockets(endpoint) == 0


@pytest.mark.parametrize(("driver", "offer"), [(AsyncpgDriver, as_postgres), (AsyncmyDriver, as_mysql)])
async def test_a_login_whose_deadline_passes(
    driver: Callable[[], Driver], offer: Callable[[socket.socket], None], context: ssl.SSLContext
) -> None:
    server = Silence(context, offer, lambda _: None)
    with server.serving() as endpoint:
        with pytest.raises(DriverError, match="did not answer within 1 s"):
            await driver().connect(options(endpoint, 1.0), LOGIN)
        await a_few_turns()
        assert server.heard, "it got as far as the login"
        assert open_sockets(endpoint) == 0


async def test_a_quit_message_that_is_cancelled() -> None:
    """Check cancellation of ``close``: asyncmy's waits for the server's close_notify, which never comes here."""
    saying, cut = asyncio.Event(), list[str]()

    async def say_goodbye() -> None:
        saying.set()
        await asyncio.Event().wait()

    raw = SimpleNamespace(
        ensure_closed=say_goodbye,
        arguments=SimpleNamespace(bound=None),
        _transport=SimpleNamespace(abort=lambda: cut.append("cut")),
        _proto=SimpleNamespace(_closed_waiter=asyncio.get_running_loop().create_future()),
    )
    session = PreparedSession(
        raw, Flavor.of("10.11.0-MariaDB"), Role.WRITER, "one", "set names utf8mb4", "set role none"
    )
    connection = MysqlConnection(session, options(Endpoint("127.0.0.1", 1), 1.0), never)
    closing = asyncio.ensure_future(connection.close(30.0))
    await saying.wait()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert cut == ["cut"]


async def never() -> PreparedSession:
    raise AssertionError("no test needs another session")


async def test_a_cancellation_that_is_not_answered(context: ssl.SSLContext) -> None:
    def welcome(connection: ssl.SSLSocket) -> None:
        if STARTUP in server.heard[-1]:
            connection.sendall(WELCOME)

    server = Silence(context, as_postgres, welcome)
    with server.serving() as endpoint:
        connection = await AsyncpgDriver().connect(options(endpoint, 30.0), LOGIN)
        with pytest.raises(DriverError) as caught:
            await connection.execute("update stock set pieces = 0", (), 0.2)
        assert isinstance(caught.value.public, QueryTimeout)
        await heard(server, 2)
        assert open_sockets(endpoint) == 2, "its own, and the one that asks for the cancellation"
        connection.abort()
        await a_few_turns()
        assert open_sockets(endpoint) == 0
