"""One connection while its session is negotiated: exact reads, whole writes, TLS when both sides have agreed on it."""

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
    """A connection, to a client or to a backend.

    Args:
        loop: the loop that serves it.
        connection: non-blocking.
        passage: the network before it; a backend's connection has none that could be out of order.

    Attributes:
        socket: the connection; after TLS was agreed on, the encrypted one.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, passage: LinkFaults | None = None
    ) -> None:
        self._loop = loop
        self._passage = passage
        self.socket = connection

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return isinstance(self.socket, ssl.SSLSocket)

    async def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes; what follows stays unread.

        Raises:
            EOFError: the peer has gone.
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
        """What has arrived, once something has; empty at the end."""
        piece = await self._complete(partial(self.socket.recv, most), _Readiness.READ)
        if self._passage is not None:
            await self._passage.enter()
        return piece

    async def write(self, data: bytes) -> None:
        """All of ``data``."""
        if self._passage is not None:
            await self._passage.leave()
        while data:
            data = data[await self._complete(partial(self.socket.send, data), _Readiness.WRITE) :]

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        """Go on encrypted.

        Raises:
            ssl.SSLError: the handshake failed.
        """
        if self._passage is not None:
            await self._passage.leave()
        # Only what was asked for was read from the plain socket: nothing sent in the clear slips into the session.
        secured = context.wrap_socket(self.socket, server_side=server_side, do_handshake_on_connect=False)
        self.socket = secured
        await self._complete(secured.do_handshake, _Readiness.READ)

    async def _complete(self, step: Callable[[], _T], usually: _Readiness) -> _T:
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
        ready = self._loop.create_future()
        reading = what is _Readiness.READ
        (self._loop.add_reader if reading else self._loop.add_writer)(self.socket, _resolve, ready)
        try:
            await ready
        finally:
            (self._loop.remove_reader if reading else self._loop.remove_writer)(self.socket)


def accepted(loop: asyncio.AbstractEventLoop, client: socket.socket, passage: LinkFaults) -> Wire:
    """The wire of a client that was accepted."""
    client.setblocking(False)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Wire(loop, client, passage)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
