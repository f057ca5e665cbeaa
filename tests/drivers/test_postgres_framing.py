"""A server that sends an impossible length ends a connection, and not the process: asyncpg 0.31 reads it for ever."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.drivers.postgres.framing import Frames
from tests.drivers.rogue import POSTGRES_WELCOME, rogue

if TYPE_CHECKING:
    import socket
    import threading

ELSEWHERE = "0.0.0.0"  # noqa: S104 - leads to this machine, and is no loopback address
IMPOSSIBLE = b"D\xff\xff\xff\xff" + b"\0" * 8


class Recorder:
    """What is passed on, and whether the connection was cut."""

    def __init__(self) -> None:
        self.taken = b""
        self.cut = False

    def connection_made(self, transport: object) -> None:
        assert transport is self

    def data_received(self, data: bytes) -> None:
        self.taken += data

    def abort(self) -> None:
        self.cut = True


def passed(stream: bytes, cuts: list[int]) -> Recorder:
    """Send a stream in pieces."""
    recorder = Recorder()
    frames = Frames(recorder)
    frames.connection_made(recorder)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if not recorder.cut:
            frames.data_received(stream[start:end])
    return recorder


def message(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.choice((0, 0, 1, 3, 20)))
    return bytes([chance.randrange(256)]) + struct.pack(">i", len(body) + 4) + body


def test_what_is_well_formed_passes_in_pieces_of_any_size() -> None:
    chance = random.Random(7)
    for _ in range(300):
        stream = b"".join(message(chance) for _ in range(chance.randint(1, 8)))
        cuts = sorted(chance.choices(range(len(stream) + 1), k=chance.randint(0, 9)))
        assert passed(stream, cuts).taken == stream
        assert not passed(stream, cuts).cut


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3])
def test_an_impossible_length_is_never_passed_on(length: int) -> None:
    chance = random.Random(7)
    for _ in range(100):
        good = b"".join(message(chance) for _ in range(chance.randint(0, 4)))
        stream = good + b"D" + struct.pack(">i", length) + b"rest"
        cuts = sorted(chance.choices(range(len(stream) + 1), k=chance.randint(0, 9)))
        found = passed(stream, cuts)
        assert found.cut
        assert len(found.taken) < len(good) + 5


def accepts_and_breaks(peer: socket.socket, _end: threading.Event) -> None:
    peer.recv(65536)
    peer.sendall(POSTGRES_WELCOME)
    peer.recv(65536)
    peer.sendall(IMPOSSIBLE)
    peer.recv(65536)


def breaks_at_once(peer: socket.socket, _end: threading.Event) -> None:
    peer.recv(65536)
    peer.sendall(IMPOSSIBLE)
    peer.recv(65536)


@pytest.mark.parametrize("behave", [accepts_and_breaks, breaks_at_once])
@pytest.mark.parametrize("clear", [False, True], ids=["hashes", "clear"])
async def test_the_process_goes_on(behave: object, *, clear: bool) -> None:
    with rogue(behave) as endpoint:  # type: ignore[arg-type]
        url = f"postgresql://app:pw@{ELSEWHERE}:{endpoint.port}/shop"
        with pytest.raises(rdskit.RdskitError):
            async with (
                asyncio.timeout(10),
                rdskit.connect(
                    url, tls="off", timeout=2.0, connect_timeout=1.0, cleartext_password=clear, min_size=1
                ) as db,
            ):
                await db.fetch_all("select 1")
