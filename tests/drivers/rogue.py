"""Servers that do not play by the rules: they say nothing, say it byte by byte, or fall silent after the login."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOWLY = 0.2  # seconds between two bytes

POSTGRES_WELCOME = (
    b"R\0\0\0\x08\0\0\0\0"  # AuthenticationOk
    b"S\0\0\0\x18server_version\x0015.0\0"  # ParameterStatus
    b"S\0\0\0\x19client_encoding\0UTF8\0"
    b"K\0\0\0\x0c\0\0\0\x07\0\0\0\x09"  # BackendKeyData
    b"Z\0\0\0\x05I"  # ReadyForQuery
)


def packet(number: int, body: bytes) -> bytes:
    """Return a packet of the MySQL protocol."""
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def mysql_greeting(plugin: bytes = b"mysql_native_password", flags: int = 0x000F_F7FF & ~0x800) -> bytes:
    """Return a Protocol::HandshakeV10 without TLS."""
    low, high = flags & 0xFFFF, flags >> 16
    body = b"\x0a8.0.40\0" + struct.pack("<I", 7) + b"saltsalt\0" + struct.pack("<H", low) + b"\x2d\x02\0"
    return packet(0, body + struct.pack("<HB", high, 21) + b"\0" * 10 + b"saltsaltsalt\0" + plugin + b"\0")


MYSQL_OK = b"\0\0\0\x02\0\0\0"


def silent(_peer: socket.socket, end: threading.Event) -> None:
    end.wait()


def slow_postgres(peer: socket.socket, end: threading.Event) -> None:
    peer.recv(4096)
    drip(peer, end, b"R\0\0\0\x08\0\0\0\0" + b"S\0\0\x08\0name\0" + b"x" * 2000)


def slow_mysql(peer: socket.socket, end: threading.Event) -> None:
    drip(peer, end, mysql_greeting() * 20)


def half_open_postgres(peer: socket.socket, end: threading.Event) -> None:
    peer.recv(4096)
    peer.sendall(POSTGRES_WELCOME)
    end.wait()


def half_open_mysql(peer: socket.socket, end: threading.Event) -> None:
    """Answer what the login is made of, SET NAMES included, and no question after that."""
    peer.sendall(mysql_greeting())
    peer.recv(4096)
    peer.sendall(packet(2, MYSQL_OK))
    end.wait()


def drip(peer: socket.socket, end: threading.Event, data: bytes) -> None:
    for number in range(len(data)):
        if end.wait(SLOWLY):
            return
        peer.sendall(data[number : number + 1])


@contextlib.contextmanager
def rogue(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[Endpoint]:
    """Serve connections with a behavior until the block ends."""
    end = threading.Event()
    threads: list[threading.Thread] = []

    def run(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            behave(peer, end)

    def accept(server: socket.socket) -> None:
        while not end.is_set():
            with contextlib.suppress(TimeoutError):
                peer, _ = server.accept()
                peer.settimeout(30)
                threads.append(threading.Thread(target=run, args=(peer,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        accepting = threading.Thread(target=accept, args=(server,))
        accepting.start()
        try:
            yield Endpoint(*server.getsockname())
        finally:
            end.set()
            accepting.join()
            for thread in threads:
                thread.join()
