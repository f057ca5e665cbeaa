"""One endpoint at work: it listens, negotiates with each client and relays to the backend of the moment."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.relay import Relay, abort, close
from rdskit.local.endpoints.session import ClientSession

if TYPE_CHECKING:
    from rdskit.local.endpoints.model import EndpointState

_log = logging.getLogger(__name__)

_BACKLOG: Final = 512
_ACCEPT_PAUSE: Final = 0.5
_NEGOTIATION: Final = 60.0  # seconds, as the server's own authentication_timeout


class Listener:
    """One endpoint: its listening socket and the connections that came through it.

    Args:
        loop: the loop that serves it.
        state: what to be at first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, state: EndpointState) -> None:
        self._loop = loop
        self._state = replace(state, backend=None)
        self._socket: socket.socket | None = None
        self._relays: set[Relay] = set()
        self._negotiations: set[asyncio.Task[None]] = set()
        self._tls = _tls_context(state)
        self.apply(state)

    def apply(self, state: EndpointState) -> None:
        """Be something else from now on; connections that exist stay as they are.

        Raises:
            OSError: the address is taken.
        """
        if (state.certificate, state.key) != (self._state.certificate, self._state.key):
            self._tls = _tls_context(state)
        self._state = state
        if state.backend is None:
            self._refuse()
        elif self._socket is None:
            self._listen()

    def cut(self) -> None:
        """Reset every connection, those in negotiation too."""
        for task in tuple(self._negotiations):
            task.cancel()
        for relay in tuple(self._relays):
            relay.cut()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._refuse()
        self.cut()

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((self._state.address.host, self._state.address.port))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        self._loop.add_reader(listener, self._accept, listener)
        self._socket = listener

    def _refuse(self) -> None:
        # A closed listening socket refuses at once; clients that hang in its queue are reset by the kernel.
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors, most likely: the client waits in the queue until some are free again.
                _log.warning("endpoint %s cannot accept a connection: %s", self._state.name, error)
                self._loop.remove_reader(listener)
                self._loop.call_later(_ACCEPT_PAUSE, self._accept_again, listener)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._serve(client))
            self._negotiations.add(task)
            task.add_done_callback(self._negotiations.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener is self._socket:
            self._loop.add_reader(listener, self._accept, listener)

    async def _serve(self, client: socket.socket) -> None:
        session = ClientSession(self._loop, client)
        try:
            async with asyncio.timeout(_NEGOTIATION):
                first = await session.negotiate(self._tls, require_tls=self._state.require_tls)
                backend = await self._reach_backend(first) if first else None
        except (OSError, EOFError, TimeoutError) as error:
            _log.debug("endpoint %s: a session ended before it began: %s", self._state.name, error)
            abort(session.socket)
            return
        except asyncio.CancelledError:
            abort(session.socket)
            raise
        if backend is None:
            close(session.socket)
            return
        relay = Relay(self._loop, session.socket, backend, self._relays.discard)
        self._relays.add(relay)
        relay.start()

    async def _reach_backend(self, first: bytes) -> socket.socket:
        target = self._state.backend
        if target is None:
            raise ConnectionRefusedError("the endpoint has no backend at the moment")
        backend = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            backend.setblocking(False)
            backend.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(backend, (target.host, target.port))
            await self._loop.sock_sendall(backend, first)
        except BaseException:
            backend.close()
            raise
        return backend


def _tls_context(state: EndpointState) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # as PostgreSQL: no client resumes a session, and a ticket costs every handshake
    context.load_cert_chain(state.certificate, state.key)
    return context
