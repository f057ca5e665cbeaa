"""Read, write and encrypt one connection while its session is negotiated."""

from __future__ import annotations

import enum
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rdskit.local.endpoints.link_faults import LinkFaults

_T = TypeVar("_T")


class _Readiness(enum.Enum):
    READ = "read"
    WRITE = "write"


class Wire:
    """A connection to a client or to a backend.

    asyncio's streams are not used: the relay later works on the bare socket, and a stream may have read ahead.

    Args:
        loop: the loop that serves it.
        connection: non-blocking.
        faults: the injected network faults; None for a backend's connection.

    Attributes:
        socket: the connection; the TLS socket after :meth:`start_tls`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, faults: LinkFaults | None = None
    ) -> None:
        self._loop = loop
        self._faults = faults
        self.socket = connection

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return isinstance(self.socket, ssl.SSLSocket)

    async def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes and leave the following bytes unread.

        Raises:
            EOFError: the peer closed the connection.
            OSError: the connection was reset.
        """
        data = b""
        while len(data) < count:
            piece = await self.read_some(count - len(data))
            if not piece:
                raise EOFError("the peer has gone")
            data += piece
        return data

    async def read_some(self, most: int) -> bytes:
        """Wait for data and return at most ``most`` bytes of it; empty at the end of the stream."""
        piece = await self._complete(partial(self.socket.recv, most), _Readiness.READ)
        if self._faults is not None:
            # Bytes that arrive during a black hole reach the negotiation only when it ends.
            await self._faults.enter()
        return piece

    async def write(self, data: bytes) -> None:
        """Write all of ``data``, after the injected latency."""
        if self._faults is not None:
            await self._faults.leave()
        while data:
            data = data[await self._complete(partial(self.socket.send, data), _Readiness.WRITE) :]

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        """Encrypt the connection from here on.

        Raises:
            ssl.SSLError: the handshake failed.
        """
        if self._faults is not None:
            await self._faults.leave()
        # Plain reads took exactly the bytes of one packet, so no unencrypted bytes can be injected into the session
        # (CVE-2021-23214 of PostgreSQL was such a buffer).
        secured = context.wrap_socket(self.socket, server_side=server_side, do_handshake_on_connect=False)
        self.socket = secured
        await self._complete(secured.do_handshake, _Readiness.READ)

    async def _complete(self, step: Callable[[], _T], usually: _Readiness) -> _T:
        # TLS may have to write during a read and to read during a write: renegotiation, key update, handshake.
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self._ready(_Readiness.READ)
            except ssl.SSLWantWriteError:
                await self._ready(_Readiness.WRITE)
            except BlockingIOError:
                await self._ready(usually)

    async def _ready(self, what: _Readiness) -> None:
        # The loop keeps one callback per descriptor and direction: only one task may wait for a wire at a time.
        ready = self._loop.create_future()
        reading = what is _Readiness.READ
        (self._loop.add_reader if reading else self._loop.add_writer)(self.socket, _resolve, ready)
        try:
            await ready
        finally:
            (self._loop.remove_reader if reading else self._loop.remove_writer)(self.socket)


def accepted(loop: asyncio.AbstractEventLoop, client: socket.socket, faults: LinkFaults) -> Wire:
    """Return the wire of an accepted client connection."""
    client.setblocking(False)
    # Answers are small packets: with Nagle's algorithm each would wait for the acknowledgement of the one before.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Wire(loop, client, faults)


def _resolve(ready: asyncio.Future[None]) -> None:
    # A readiness event that the loop had queued may arrive after the waiting task was cancelled.
    if not ready.done():
        ready.set_result(None)
