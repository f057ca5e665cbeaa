"""Negotiate a MySQL or MariaDB session: TLS on both sides or on none, login by token or by the backend's own method.

If the client encrypts its session, the endpoint encrypts the connection to the backend too. So the backend's own rules
about TLS hold (``REQUIRE SSL``, passwords that are sent under TLS only), and the packets after the login are relayed
unchanged.
"""

from __future__ import annotations

import functools
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints import aurora_statements, mysql, mysql_auth
from rdskit.local.endpoints.iam_users import IamUsers
from rdskit.local.endpoints.mysql import UNSUPPORTED, Capability, Greeting, Kind, Login
from rdskit.local.endpoints.mysql_statements import PLUGIN, StatementInspector, UserStatements
from rdskit.local.endpoints.negotiation import Negotiation

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.endpoints.iam_users import BackendSession
    from rdskit.local.endpoints.model import InternalAccount
    from rdskit.local.endpoints.wire import Wire

_LONGEST_PACKET: Final = 65536  # bytes, during the login; a token has about two thousand
_CLEAR_PASSWORD: Final = "mysql_clear_password"  # noqa: S105 - a plugin's name
# AuthMoreData of caching_sha2_password: the hash was in the server's cache, or the server needs the password itself.
_FAST_AUTH_SUCCESS: Final = b"\x01\x03"
_FULL_AUTHENTICATION: Final = b"\x01\x04"

_IS_IAM_USER: Final = "select count(*) > 0 from mysql.user where user = %s and authentication_string in (%s, %s)"


class PacketStream:
    """A connection as a sequence of packets.

    Client and server number the packets of one exchange in turn, modulo 256. Each connection has its own numbers: a
    login by token takes a different number of packets on the client's side and on the backend's.

    Args:
        wire: the connection.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._number = 0

    async def receive(self) -> bytes:
        """Read the next packet and return its payload."""
        header = await self.wire.read(mysql.HEADER)
        length = int.from_bytes(header[:3], "little")
        if length > _LONGEST_PACKET:
            raise mysql.ProtocolError(f"a packet of {length} bytes does not belong to a login")
        self._number = (header[3] + 1) % 256
        return await self.wire.read(length)

    async def send(self, payload: bytes) -> None:
        """Send a packet with the next number."""
        await self.wire.write(len(payload).to_bytes(3, "little") + bytes([self._number]) + payload)
        self._number = (self._number + 1) % 256


class MySQLNegotiation(Negotiation):
    """The start of a MySQL or MariaDB session."""

    async def run(self) -> bool:
        """Answer the client until its session can be relayed, and return whether it can."""
        # The server speaks first, and the greeting has the backend's version, capabilities and scramble: connect to the
        # backend before anything is known of the client.
        client, server = PacketStream(self.client), PacketStream(await self.reach_backend())
        first = await server.receive()
        # A server that is full or blocks the host sends an error instead of its greeting.
        if first[:1] == bytes([Kind.ERROR]):
            return await _refuse(client, first)
        greeting = Greeting.parse(first)
        await client.send(greeting.without(UNSUPPORTED))
        packet = await self._agree_on_tls(client, server)
        return await self._log_in(client, server, greeting, packet)

    async def _agree_on_tls(self, client: PacketStream, server: PacketStream) -> bytes:
        """Encrypt both sides if the client requests it, and return the login packet."""
        packet = await _receive_restricted(client)
        if not mysql.is_ssl_request(packet):
            return packet
        # The backend gets the same SSLRequest, so the numbers of both connections stay equal.
        await server.send(packet)
        await client.wire.start_tls(self.reception.tls, server_side=True)
        await server.wire.start_tls(_backend_tls(), server_side=False)
        return await _receive_restricted(client)

    async def _log_in(self, client: PacketStream, server: PacketStream, greeting: Greeting, packet: bytes) -> bool:
        login = Login.parse(packet)
        if self.reception.state.require_tls and not self.client.encrypted:
            return await _refuse(client, mysql.tls_required())
        if self.is_supervisor(login.user.decode(errors="replace")):
            return await _refuse(client, mysql.access_denied(login.user, self.peer, "the user belongs to RDS"))
        if await self.is_iam_user(login.user.decode(errors="replace")):
            admitted = await self._log_in_by_token(client, server, greeting, login)
        else:
            # The backend verifies the response itself, because the client answered the backend's own scramble. Further
            # packets of the authentication are relayed.
            await server.send(packet)
            admitted = True
        self.inspect = self._inspector(greeting, login)
        return admitted

    async def _log_in_by_token(
        self, client: PacketStream, server: PacketStream, greeting: Greeting, login: Login
    ) -> bool:
        reason = self.iam_refusal()
        if not reason and not login.capabilities & Capability.PLUGIN_AUTH:
            reason = "the client cannot send a token: it has no authentication plugins"
        reason = reason or await self.token_refusal(login.user.decode(errors="replace"), await _ask_for_token(client))
        if reason:
            return await _refuse(client, mysql.access_denied(login.user, self.peer, reason))
        answer = await self._authenticate(server, greeting, login)
        # Sent by number: in the client's exchange this packet follows the token.
        await client.send(answer)
        return answer[0] == Kind.OK

    async def _authenticate(self, server: PacketStream, greeting: Greeting, login: Login) -> bytes:
        """Log the user in with the internal password, and return the backend's final packet."""
        secret = self._secret
        plugin = mysql_auth.stored(secret, mariadb=greeting.is_mariadb).plugin
        response = mysql_auth.respond(plugin, secret, greeting.scramble)
        await server.send(login.authenticated_by(plugin, response).encode())
        while True:
            packet = await server.receive()
            if packet[:1] == bytes([Kind.SWITCH]):
                await server.send(mysql_auth.respond(*_switch(packet, secret)))
            elif packet == _FULL_AUTHENTICATION:
                # Safe in plain: iam_refusal() has refused unencrypted clients, so the backend's side has TLS too.
                await server.send(secret.encode() + b"\0")
            elif packet != _FAST_AUTH_SUCCESS:
                return packet

    def _inspector(self, greeting: Greeting, login: Login) -> StatementInspector | None:
        # An endpoint without an internal account relays everything unseen.
        if not self._secret:
            return None
        rewrite, marks = self._rewriting(mariadb=greeting.is_mariadb)
        attributes = bool(login.capabilities & Capability.QUERY_ATTRIBUTES)
        return StatementInspector(rewrite, attributes=attributes, marks=marks)

    def _rewriting(self, *, mariadb: bool) -> tuple[Callable[[bytes], bytes], tuple[bytes, ...]]:
        """Return the function that rewrites statements, and the words that such statements have."""
        users = UserStatements(mysql_auth.stored(self._secret, mariadb=mariadb), mariadb=mariadb)
        return users.rewrite, (PLUGIN,)

    @property
    def _secret(self) -> str:
        account = self.reception.state.account
        return account.iam_secret if account else ""


class AuroraMySQLNegotiation(MySQLNegotiation):
    """The start of a session with an instance of an Aurora MySQL cluster."""

    def _rewriting(self, *, mariadb: bool) -> tuple[Callable[[bytes], bytes], tuple[bytes, ...]]:
        users, marks = super()._rewriting(mariadb=mariadb)
        return lambda sql: aurora_statements.rewrite(users(sql)), (*marks, *aurora_statements.MARKS)


def iam_users(loop: asyncio.AbstractEventLoop, backend: Endpoint, account: InternalAccount) -> IamUsers:
    """Return the lookup of a backend's IAM users."""
    # Both hashes, because the greeting, which would show the product, is not known here.
    hashes = [mysql_auth.stored(account.iam_secret, mariadb=mariadb).hash for mariadb in (True, False)]
    return IamUsers(loop, partial(_log_in, backend, account), _IS_IAM_USER, *hashes)


def _log_in(backend: Endpoint, account: InternalAccount) -> BackendSession:
    from rdskit.local.engines.mysql.sql import MySQLSession  # noqa: PLC0415 - drivers are slow to load
    from rdskit.local.engines.session import Account  # noqa: PLC0415 - as above

    return MySQLSession.open(backend, Account(account.user, account.password), timeout=5.0)


async def _ask_for_token(client: PacketStream) -> str:
    # RDS requests the same plugin: it sends the token as it is. Command-line clients need --enable-cleartext-plugin.
    await client.send(mysql.switch_to(_CLEAR_PASSWORD))
    return (await client.receive()).rstrip(b"\0").decode(errors="replace")


async def _receive_restricted(client: PacketStream) -> bytes:
    return mysql.restrict(await client.receive(), UNSUPPORTED)


async def _refuse(client: PacketStream, error: bytes) -> bool:
    await client.send(error)
    return False


def _switch(packet: bytes, secret: str) -> tuple[str, str, bytes]:
    plugin, scramble = mysql.parse_switch(packet)
    return plugin, secret, scramble


@functools.cache
def _backend_tls() -> ssl.SSLContext:
    # No verification: the backend is a server of the same local RDS on the loopback network, and TLS only satisfies its
    # rules.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
