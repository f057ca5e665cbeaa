"""Serve one endpoint: listen, negotiate with each client, and relay to the current backend."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.link_faults import FullQueue, LinkFaults
from rdskit.local.endpoints.negotiation import Reception
from rdskit.local.endpoints.protocols import NEGOTIATIONS, iam_users
from rdskit.local.endpoints.relay import Relay
from rdskit.local.endpoints.wire import accepted

if TYPE_CHECKING:
    from rdskit.local.endpoints.forwarding import Inspect
    from rdskit.local.endpoints.iam_users import IamUsers
    from rdskit.local.endpoints.model import EndpointState
    from rdskit.local.endpoints.token_verification import TokenVerification
    from rdskit.local.endpoints.wire import Wire

_log = logging.getLogger(__name__)

_BACKLOG: Final = 512
_ACCEPT_PAUSE: Final = 0.5  # seconds
_NEGOTIATION_TIMEOUT: Final = 60.0  # seconds, the default of PostgreSQL's authentication_timeout
_MOST_NEGOTIATIONS: Final = 256  # clients that are not logged in yet; a further one replaces the oldest


class Listener:
    """One endpoint: its listening socket and its clients' connections.

    Args:
        loop: the loop that serves it.
        state: the endpoint's first state.
        verification: verifies IAM tokens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, state: EndpointState, verification: TokenVerification) -> None:
        self._loop = loop
        self._verification = verification
        self._users: IamUsers | None = None
        self._state = replace(state, backend=None)  # so that apply() below finds every part changed
        self._socket: socket.socket | None = None
        self._turns = itertools.count()
        self._faults = LinkFaults()
        self._queue: FullQueue | None = None
        self._relays: set[Relay] = set()
        self._held: set[Relay] = set()  # cut during a black hole; reset when Link.holds ends
        self._negotiations: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._tls = _tls_context(state)
        self.apply(state)

    def apply(self, state: EndpointState) -> None:
        """Change the endpoint's state; existing connections stay as they are.

        Raises:
            OSError: the address is taken.
        """
        if (state.certificate, state.key) != (self._state.certificate, self._state.key):
            self._tls = _tls_context(state)
        self._change_state(state)
        # In a black hole the socket keeps listening even without a backend: a closed one would answer with a reset.
        if state.backend is None and not state.link.blackhole:
            self._refuse()
        elif self._socket is None:
            self._listen()
        self._fill_queue(state)

    def cut(self) -> None:
        """Reset every connection, including those in negotiation; during a black hole, when that ends."""
        if self._state.link.blackhole:
            # A reset would pass the black hole. The client sees a silent connection until _release().
            self._held |= self._relays
            self._relays.clear()
            return
        # Copies: the callbacks of ended tasks and relays remove these from the collections.
        for task in tuple(self._negotiations):
            task.cancel()
        for relay in tuple(self._relays):
            relay.cut()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._refuse()
        self._release()
        for task in tuple(self._negotiations):
            task.cancel()
        for relay in tuple(self._relays):
            relay.cut()
        if self._users is not None:
            self._users.close()

    def _change_state(self, state: EndpointState) -> None:
        backend_changed = (state.backend, state.account) != (self._state.backend, self._state.account)
        before, self._state = self._state.link, state
        if backend_changed:
            self._replace_iam_users()
        self._faults.become(state.link)
        if not state.link.holds:
            self._release()
        if state.link.blackhole != before.blackhole:
            for relay in tuple(self._relays):
                (relay.pause if state.link.blackhole else relay.resume)()

    def _release(self) -> None:
        """Reset the connections that were cut during a black hole."""
        for relay in tuple(self._held):
            relay.cut()

    def _fill_queue(self, state: EndpointState) -> None:
        if state.link.blackhole and self._queue is None and self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._queue = FullQueue(self._socket, state.address)
        elif not state.link.blackhole and self._queue is not None:
            self._queue.close()
            self._queue = None
            if self._socket is not None:
                # listen(2) on a listening socket only changes its backlog.
                self._socket.listen(_BACKLOG)
                self._loop.add_reader(self._socket, self._accept, self._socket)

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # The address opens again after a stop although old connections are still in TIME_WAIT.
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
        # A closed listening socket refuses at once; the kernel resets the clients in its queue.
        if self._queue is not None:
            self._queue.close()
            self._queue = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _accept(self, listener: socket.socket) -> None:
        # Bounded: a flood of clients must not keep the loop from its other connections.
        for _ in range(_BACKLOG):
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Most likely EMFILE. The socket stays readable, so without a pause the loop would spin. The client
                # waits in the queue until descriptors are free again.
                _log.warning("endpoint %s cannot accept a connection: %s", self._state.name, error)
                self._loop.remove_reader(listener)
                self._loop.call_later(_ACCEPT_PAUSE, self._accept_again, listener)
                return
            if len(self._negotiations) >= _MOST_NEGOTIATIONS:
                # A client that connects and sends nothing must not keep others out.
                next(iter(self._negotiations)).cancel()
            task = self._loop.create_task(self._serve(client))
            self._negotiations[task] = None
            task.add_done_callback(lambda done: self._negotiations.pop(done, None))

    def _accept_again(self, listener: socket.socket) -> None:
        # During the pause the endpoint may have closed this socket, or a black hole may have begun.
        if listener is self._socket and self._queue is None:
            self._loop.add_reader(listener, self._accept, listener)

    async def _serve(self, client: socket.socket) -> None:
        reception = Reception(self._next_state(), self._tls, self._verification, self._users)
        wire = accepted(self._loop, client, self._faults)
        negotiation = NEGOTIATIONS[self._state.protocol](self._loop, wire, reception)
        try:
            async with asyncio.timeout(_NEGOTIATION_TIMEOUT):
                agreed = await negotiation.run()
        except (OSError, EOFError) as error:
            _log.debug("endpoint %s: a session ended before it began: %s", self._state.name, error)
            negotiation.abort()
            return
        except BaseException:  # cancellation by cut(), close() or a newer client
            negotiation.abort()
            raise
        if agreed and negotiation.backend is not None:
            self._relay(negotiation.client, negotiation.backend, negotiation.inspect)
        else:
            negotiation.close()

    def _next_state(self) -> EndpointState:
        """Return the state with the next backend in turn."""
        state = self._state
        turn = next(self._turns) % (1 + len(state.others))
        if not turn:
            return state
        backend = state.others[turn - 1]
        return replace(state, backend=backend.address, socket=backend.socket)

    def _relay(self, client: Wire, backend: Wire, inspect: Inspect | None) -> None:
        relay = Relay(self._loop, client.socket, backend.socket, self._forget, self._faults, inspect)
        self._relays.add(relay)
        # A black hole may have begun during the last write of the negotiation: resume() starts the relay later.
        if not self._state.link.blackhole:
            relay.start()

    def _forget(self, relay: Relay) -> None:
        self._relays.discard(relay)
        self._held.discard(relay)

    def _replace_iam_users(self) -> None:
        # The kept session leads to the old backend, where the account and the users may differ.
        if self._users is not None:
            self._users.close()
        self._users = iam_users(self._loop, self._state)


def _tls_context(state: EndpointState) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # as PostgreSQL does: no client resumes a session, and tickets cost time in every handshake
    context.load_cert_chain(state.certificate, state.key)
    return context
