"""A server that breaks its protocol, or speaks to the terminal: the error is one of rdskit's, in one harmless line."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.errors import RdskitError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import ConnectOptions, DriverError, Login
from tests.drivers.rogue import MYSQL_OK, POSTGRES_WELCOME, mysql_greeting, packet, rogue

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import AsyncIterator, Callable

    from rdskit.kernel.ports import Driver

SEED = 20_261_130
COUNTS = [25, pytest.param(8_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
LOGIN = Login("app", "pw")
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\nCRITICAL forged line\u202e\x9b31m"


def postgres_error(words: str) -> bytes:
    body = b"SFATAL\0C28000\0M" + words.encode() + b"\0\0"
    return b"E" + struct.pack(">I", len(body) + 4) + body


def mysql_error(words: str, number: int = 1040, sequence: int = 0) -> bytes:
    return packet(sequence, b"\xff" + struct.pack("<H", number) + b"#08004" + words.encode())


PROTOCOLS: dict[str, tuple[Driver, list[bytes]]] = {
    "postgres": (AsyncpgDriver(), [b"", POSTGRES_WELCOME, POSTGRES_WELCOME]),
    "mysql": (AsyncmyDriver(), [mysql_greeting(), packet(2, MYSQL_OK), packet(1, MYSQL_OK), packet(1, MYSQL_OK)]),
}


@contextlib.asynccontextmanager
async def answering(answers: Callable[[], list[bytes]]) -> AsyncIterator[Endpoint]:
    """Answer each connection with the next texts, one for each time that the client sends, and close it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *rest = answers()
        with contextlib.suppress(OSError):
            writer.write(first)
            for answer in rest:
                if not await reader.read(65_536):
                    break
                writer.write(answer)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield Endpoint(*server.sockets[0].getsockname())
        await asyncio.gather(*tasks)


def mangled(chance: random.Random, texts: list[bytes]) -> list[bytes]:
    """Change bytes, lengths and order of a server's answers."""
    found = []
    for text in texts:
        data = bytearray(text)
        for _ in range(chance.randint(0, 3)):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    data[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    del data[place : place + chance.randint(1, 20)]
                case 2:
                    data[place:place] = chance.randbytes(chance.randint(1, 30))
                case _:
                    data[0:5] = chance.randbytes(5)
        found.append(bytes(data))
    if chance.random() < 0.2:
        found = [found[0], chance.randbytes(chance.randint(1, 400))]
    return found


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_a_server_that_breaks_its_protocol_ends_in_an_error_of_ours(name: str, count: int) -> None:
    driver = PROTOCOLS[name][0]
    chance, told = random.Random(SEED), list[Exception]()
    async with answering(lambda: mangled(chance, PROTOCOLS[name][1])) as endpoint:
        elsewhere = endpoint._replace(host="0.0.0.0")  # noqa: S104 - no loopback address: lengths are looked at
        options = ConnectOptions(elsewhere, "shop", None, 0.2, "rogue")
        for _ in range(count):
            try:
                connection = await driver.connect(options, LOGIN)
                await connection.fetch_one("select 1", (), 0.2)
            except DriverError as error:
                told.append(error.public)
            else:
                await connection.close(0.5)
    assert told
    assert [error for error in told if not isinstance(error, RdskitError) or not str(error).isprintable()] == []


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [("postgresql", postgres_error(ESCAPES)), ("mysql", mysql_error(ESCAPES)), ("mysql", mysql_error(ESCAPES, 1045))],
)
async def test_what_an_unknown_server_says_cannot_reach_a_terminal(
    scheme: str, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(lambda: [answer if scheme == "mysql" else b"", answer]) as endpoint:
        with pytest.raises(RdskitError) as told:
            await rdskit.connect(f"{scheme}://app:pw@{endpoint}/shop", tls="off", timeout=1.0, connect_timeout=1.0)
    assert "\\x1b" in str(told.value)
    assert str(told.value).isprintable()
    assert all(line.isprintable() for record in caplog.records for line in record.getMessage().split("\n"))


@pytest.mark.parametrize(
    ("scheme", "answer"), [("postgresql", postgres_error(ESCAPES)), ("mysql", mysql_error(ESCAPES))]
)
def test_nor_through_a_plain_driver(scheme: str, answer: bytes) -> None:
    def behave(peer: socket.socket, _end: threading.Event) -> None:
        if scheme == "postgresql":
            peer.recv(4096)
        peer.sendall(answer)

    with rogue(behave) as endpoint, pytest.raises(RdskitError) as told:
        rdskit.dbapi_connect(f"{scheme}://app:pw@{endpoint}/shop", tls="off", timeout=1.0, connect_timeout=1.0)
    assert "\\x1b" in str(told.value)
    assert str(told.value).isprintable()
