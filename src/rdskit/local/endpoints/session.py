"""A client's connection until it is clear what it wants: TLS or not, a session or a cancellation."""

from __future__ import annotations

import enum
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rdskit.local.endpoints.postgres import GREETING, Request, classify, tls_required

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_T = TypeVar("_T")


class _Readiness(enum.Enum):
    READ = "read"
    WRITE = "write"


class ClientSession:
    """The opening of one client's session.

    Args:
        loop: the loop that serves it.
        client: its connection, non-blocking.

    Attributes:
        socket: the connection; after TLS was agreed on, the encrypted one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: socket.socket) -> None:
        self._loop = loop
        self.socket = client
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def negotiate(self, context: ssl.SSLContext, *, require_tls: bool) -> bytes:
        """Answer until the client starts its session.

        Returns:
            The first packet for the backend; nothing if the client was turned away.

        Raises:
            EOFError: the client has gone.
            OSError: its connection was reset, or the TLS handshake failed.
        """
        while True:
            greeting = await self._read(GREETING.size)
            request, rest = classify(greeting)
            if request is Request.TLS and not self._encrypted:
                await self._write(b"S")
                await self._start_tls(context)
            elif request is Request.GSS:
                await self._write(b"N")
            elif request in (Request.STARTUP, Request.CANCEL):
                packet = greeting + await self._read(rest)
                refused = require_tls and not self._encrypted and request is Request.STARTUP
                return b"" if refused and await self._refuse(packet) else packet
            else:
                return b""

    @property
    def _encrypted(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket)

    async def _refuse(self, packet: bytes) -> bool:
        await self._write(tls_required(packet[GREETING.size :], self.socket.getpeername()[0]))
        return True

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        # Exactly the request was read from the plain socket: nothing sent in the clear can slip into the session.
        secured = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.socket = secured
        await self._complete(secured.do_handshake, _Readiness.READ)

    async def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            missing = count - len(data)
            piece = await self._complete(partial(self.socket.recv, missing), _Readiness.READ)
            if not piece:
                raise EOFError("the client has gone")
            data += piece
        return data

    async def _write(self, data: bytes) -> None:
        while data:
            data = data[await self._complete(partial(self.socket.send, data), _Readiness.WRITE) :]

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


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
