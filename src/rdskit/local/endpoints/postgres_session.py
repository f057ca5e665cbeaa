"""Negotiate a PostgreSQL session: TLS, a cancel request, or a login by token or by the backend's own method."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints import postgres
from rdskit.local.endpoints.iam_users import IamUsers
from rdskit.local.endpoints.negotiation import Negotiation
from rdskit.local.endpoints.postgres import Request, Startup

if TYPE_CHECKING:
    import asyncio

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.endpoints.iam_users import BackendSession
    from rdskit.local.endpoints.model import InternalAccount
    from rdskit.local.endpoints.wire import Wire

_LONGEST_PASSWORD: Final = 65536  # bytes; a token with a session token has about two thousand
_LONGEST_SOCKET_PATH: Final = 107  # sun_path of unix(7), without its last zero byte
_CLIENT_HELLO: Final = 16384  # bytes of one TLS record

# 'USAGE' counts only roles whose privileges the user inherits. The master user may grant rds_iam without being an IAM
# user. A superuser counts as a member of every role, so superusers are excluded.
_IS_IAM_USER: Final = """
select count(*) from pg_roles u, pg_roles i
where u.rolname = $1 and not u.rolsuper and i.rolname = 'rds_iam' and pg_has_role(u.oid, i.oid, 'USAGE')
"""


class PostgresNegotiation(Negotiation):
    """The start of a PostgreSQL session."""

    async def run(self) -> bool:
        """Answer the client until its session can be relayed, and return whether it can."""
        # A client may ask for GSSAPI encryption first, then for TLS, and then start (libpq: gssencmode=prefer).
        while True:
            greeting = await self.client.read(postgres.GREETING.size)
            request, rest = postgres.classify(greeting)
            if request is Request.TLS and not self.client.encrypted:
                await self.client.write(b"S")  # a single byte, without type and length
                await self.client.start_tls(self.reception.tls, server_side=True)
            elif request is Request.GSS:
                await self.client.write(b"N")
            # A second SSLRequest inside TLS is refused below.
            elif request in (Request.STARTUP, Request.CANCEL):
                packet = greeting + await self.client.read(rest)
                return await (self._start(packet) if request is Request.STARTUP else self._relay_packet(packet))
            else:
                return await self._refuse_request(request)

    async def _start(self, packet: bytes) -> bool:
        startup = Startup.parse(packet[postgres.GREETING.size :])
        # TLS first: an unencrypted session is refused in the same way for every user.
        if self.reception.state.require_tls and not self.client.encrypted:
            return await self._refuse(postgres.tls_required(startup, self.peer))
        if self.is_supervisor(startup.user):
            return await self._refuse(postgres.superuser_refused(startup, self.peer))
        if await self.is_iam_user(startup.user):
            return await self._log_in_by_token(startup, packet)
        return await self._relay_packet(packet)

    async def _relay_packet(self, packet: bytes) -> bool:
        # The backend gets the startup packet unchanged and authenticates the client itself. Its BackendKeyData reaches
        # the client unchanged too, so a cancel request needs no translation. Behind an endpoint with several backends
        # a cancel request takes its own turn, and may reach another backend.
        backend = await self.reach_backend()
        await backend.write(packet)
        return True

    async def _log_in_by_token(self, startup: Startup, packet: bytes) -> bool:
        reason = self.iam_refusal()
        if reason and not self.client.encrypted:
            return await self._refuse(postgres.unencrypted_iam(startup, self.peer, reason))
        reason = reason or await self.token_refusal(startup.user, await self._ask_for_token())
        if reason:
            return await self._refuse(postgres.token_refused(startup, reason))
        # The private socket accepts IAM users by trust. The backend itself sends AuthenticationOk to the client, which
        # has answered a password request already.
        backend = await self._reach_socket()
        await backend.write(packet)
        return True

    async def _ask_for_token(self) -> str:
        await self.client.write(postgres.PASSWORD_PLEASE)
        kind, length = postgres.MESSAGE.unpack(await self.client.read(postgres.MESSAGE.size))
        if kind != b"p" or not 4 < length < _LONGEST_PASSWORD:  # noqa: PLR2004 - the length counts its own four bytes
            raise ConnectionAbortedError("the client did not answer with a password message")
        return (await self.client.read(length - 4)).rstrip(b"\0").decode(errors="replace")

    async def _reach_socket(self) -> Wire:
        state = self.reception.state
        if state.backend is None or not state.socket:
            raise ConnectionRefusedError("the endpoint has no backend at the moment")
        backend = self.adopt(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        await _connect(self._loop, backend.socket, Path(state.socket), f".s.PGSQL.{state.backend.port}")
        return backend

    async def _refuse_request(self, request: Request) -> bool:
        if request is Request.DIRECT_TLS:
            # Closing a socket with unread bytes sends a reset, which may overtake the alert.
            await self.client.read_some(_CLIENT_HELLO)
            await self.client.write(postgres.NO_DIRECT_TLS)
        return False

    async def _refuse(self, error: bytes) -> bool:
        await self.client.write(error)
        return False


def iam_users(loop: asyncio.AbstractEventLoop, backend: Endpoint, account: InternalAccount) -> IamUsers:
    """Return the lookup of a backend's IAM users."""
    return IamUsers(loop, partial(_log_in, backend, account), _IS_IAM_USER)


def _log_in(backend: Endpoint, account: InternalAccount) -> BackendSession:
    # Most endpoint processes of tests never need it, and it takes a tenth of a second to load.
    from rdskit.local.engines.postgres.sql import SUPERVISOR, PostgresSession  # noqa: PLC0415 - see above
    from rdskit.local.engines.session import Account  # noqa: PLC0415 - see above

    login = Account(account.user, account.password)
    return PostgresSession.open(backend, login, account.database, timeout=5.0, settings=SUPERVISOR)


async def _connect(loop: asyncio.AbstractEventLoop, connection: socket.socket, directory: Path, name: str) -> None:
    if len(os.fsencode(directory / name)) <= _LONGEST_SOCKET_PATH:
        await loop.sock_connect(connection, str(directory / name))
        return
    # Linux: a longer path can be shortened through an open descriptor of its directory.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        await loop.sock_connect(connection, f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)
