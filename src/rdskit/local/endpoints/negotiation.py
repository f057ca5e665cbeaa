"""What comes before a session can be relayed; each protocol has its own way to get there."""

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
    """What a negotiation needs to know and whom it can ask.

    Attributes:
        state: of the endpoint, at the moment when the client came.
        tls: for the client's side.
        judgement: tells good tokens from bad ones.
        users: tells who needs one; None where nobody does.
    """

    state: EndpointState
    tls: ssl.SSLContext
    judgement: TokenVerification
    users: IamUsers | None


class Negotiation(ABC):
    """The opening of one client's session.

    Args:
        loop: the loop that serves it.
        client: its connection.
        reception: what the endpoint knows.

    Attributes:
        backend: the connection behind it, once there is one.
        inspect: looks at what the client sends during the session; None relays it unseen.
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
            Whether there is a session; otherwise the client was told why not.

        Raises:
            EOFError: the client or the backend has gone.
            OSError: a connection was refused or reset, or a TLS handshake failed.
        """

    def close(self) -> None:
        """End both connections in order."""
        for wire in self._wires():
            close(wire.socket)

    def abort(self) -> None:
        """Reset both connections."""
        for wire in self._wires():
            abort(wire.socket)

    async def reach_backend(self) -> Wire:
        """Connect to the backend of the moment."""
        target = self.reception.state.backend
        if target is None:
            raise ConnectionRefusedError("the endpoint has no backend at the moment")
        backend = self.adopt(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        backend.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.sock_connect(backend.socket, (target.host, target.port))
        return backend

    def adopt(self, connection: socket.socket) -> Wire:
        """Take a socket as the backend's; it ends with the negotiation."""
        connection.setblocking(False)
        self.backend = Wire(self._loop, connection)
        return self.backend

    def is_supervisor(self, user: str) -> bool:
        """Return whether a user is the server's own superuser, which has no business at an endpoint."""
        account = self.reception.state.account
        return account is not None and user == account.user

    async def is_iam_user(self, user: str) -> bool:
        """Whether the backend knows the user as one that logs in with a token."""
        users = self.reception.users
        return users is not None and await users.includes(user)

    def iam_refusal(self) -> str:
        """Why no token of this client would be good enough; empty if one may be."""
        if not self.reception.state.iam:
            return NOT_ENABLED
        return "" if self.client.encrypted else UNENCRYPTED

    async def token_refusal(self, user: str, token: str) -> str:
        """Why the token is refused; empty if it is not."""
        return await self.reception.judgement.refusal(self.reception.state.name, user, token)

    @property
    def peer(self) -> str:
        """The client's IP address."""
        return str(self.client.socket.getpeername()[0])

    def _wires(self) -> list[Wire]:
        return [self.client, *([self.backend] if self.backend else [])]
