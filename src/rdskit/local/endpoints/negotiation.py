"""Negotiate a client's session until it can be relayed; each protocol has its own subclass."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.local.endpoints.relay import abort, close
from rdskit.local.endpoints.wire import Wire

if TYPE_CHECKING:
    import asyncio
    import ssl

    from rdskit.local.endpoints.forwarding import Inspect
    from rdskit.local.endpoints.iam_users import IamUsers
    from rdskit.local.endpoints.model import EndpointState
    from rdskit.local.endpoints.token_verification import TokenVerification

UNENCRYPTED = "IAM authentication needs TLS: connect with it, verifying the server's certificate"
NOT_ENABLED = "IAM authentication is not enabled for this DB instance: set EnableIAMDatabaseAuthentication"


@dataclass(frozen=True, slots=True)
class Reception:
    """The endpoint's state and services that one negotiation uses.

    Attributes:
        state: the endpoint's state when the client connected.
        tls: TLS context for the client's side.
        verification: verifies IAM tokens.
        users: looks up IAM users; None where there are none.
    """

    # A later Listener.apply() does not change a negotiation in progress: it finishes with the state that it began with.
    state: EndpointState
    tls: ssl.SSLContext
    verification: TokenVerification
    users: IamUsers | None


class Negotiation(ABC):
    """The start of one client's session.

    Args:
        loop: the loop that serves it.
        client: the client's connection.
        reception: the endpoint's state and services.

    Attributes:
        backend: the connection to the backend, once it exists.
        inspect: reads and may change the client's bytes during the session; None relays them as they are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Wire, reception: Reception) -> None:
        self._loop = loop
        self.client = client
        self.reception = reception
        self.backend: Wire | None = None
        self.inspect: Inspect | None = None

    @abstractmethod
    async def run(self) -> bool:
        """Answer the client until its session can be relayed.

        Returns:
            Whether there is a session. If not, the client has received an error.

        Raises:
            EOFError: the client or the backend closed its connection.
            OSError: a connection was refused or reset, or a TLS handshake failed.
        """

    def close(self) -> None:
        """Close both connections without a reset."""
        for wire in self._wires():
            close(wire.socket)

    def abort(self) -> None:
        """Reset both connections at once."""
        for wire in self._wires():
            abort(wire.socket)

    async def reach_backend(self) -> Wire:
        """Connect to the backend of this client."""
        target = self.reception.state.backend
        if target is None:
            raise ConnectionRefusedError("the endpoint has no backend at the moment")
        # Adopted before the connection attempt: if this task is cancelled, abort() closes the socket too.
        backend = self.adopt(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        backend.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.sock_connect(backend.socket, (target.host, target.port))
        return backend

    def adopt(self, connection: socket.socket) -> Wire:
        """Use a socket as the backend's connection and close it with the negotiation."""
        connection.setblocking(False)
        self.backend = Wire(self._loop, connection)
        return self.backend

    def is_supervisor(self, user: str) -> bool:
        """Return whether a user is the server's superuser, which cannot log in through an endpoint."""
        account = self.reception.state.account
        return account is not None and user == account.user

    async def is_iam_user(self, user: str) -> bool:
        """Return whether the backend has the user as an IAM user."""
        users = self.reception.users
        return users is not None and await users.includes(user)

    def iam_refusal(self) -> str:
        """Return why the client cannot log in with any token; empty if it can."""
        if not self.reception.state.iam:
            return NOT_ENABLED
        # Checked before the token is requested: a client must never send a token unencrypted.
        return "" if self.client.encrypted else UNENCRYPTED

    async def token_refusal(self, user: str, token: str) -> str:
        """Return why the token is refused; empty if it is accepted."""
        return await self.reception.verification.refusal(self.reception.state.name, user, token)

    @property
    def peer(self) -> str:
        """The client's IP address."""
        return str(self.client.socket.getpeername()[0])

    def _wires(self) -> list[Wire]:
        return [self.client, *([self.backend] if self.backend else [])]
