"""Request TLS in the protocol of each kind of server, before the handshake."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from rdskit.kernel.server_words import escaped
from rdskit.kernel.targets import Engine
from rdskit.operate.observe.diagnosis import Obstacle

if TYPE_CHECKING:
    import asyncio

    from rdskit.kernel.endpoints import Endpoint

# PostgreSQL documentation, "Frontend/Backend Protocol", section "SSL Session Encryption": the client sends SSLRequest,
# and the server answers one byte, ``S`` or ``N``.
_POSTGRES_REQUEST: Final = struct.pack("!ii", 8, 80877103)

# MySQL Source Code Documentation, "Connection Phase Packets": the server greets with a HandshakeV10, or with an error
# packet, and the client answers with an SSLRequest: capabilities, packet size, character set, 23 reserved bytes.
_PROTOCOL_41: Final = 1 << 9
_SSL: Final = 1 << 11
_SECURE_CONNECTION: Final = 1 << 15
_PLUGIN_AUTH: Final = 1 << 19
_MYSQL_REQUEST: Final = struct.pack(
    "<IIIB23x", 32 | 1 << 24, _PROTOCOL_41 | _SSL | _SECURE_CONNECTION | _PLUGIN_AUTH, 1 << 24, 45
)
_HANDSHAKE_V10: Final = 10
_ERROR: Final = 0xFF
_LONGEST_GREETING: Final = 4096  # bytes; real ones have about a hundred

_NOT_OFFERED: Final = "every RDS instance does: check that this is one; a local server without TLS needs tls='off'"


async def ask_for_tls(
    endpoint: Endpoint, engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Bring a new connection to the start of the TLS handshake.

    Args:
        endpoint: the server.
        engine: the expected engine.
        reader: the connection's reader.
        writer: the connection's writer.

    Raises:
        Obstacle: the server has no TLS, refuses the connection, or speaks another protocol.
    """
    try:
        if engine is Engine.POSTGRES:
            await _ask_postgres(endpoint, reader, writer)
        else:
            await _ask_mysql(endpoint, reader, writer)
    except (ConnectionError, EOFError) as error:  # EOFError: a packet ends in the middle
        raise _of_another_kind(endpoint, "hung up", engine) from error


async def _ask_postgres(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POSTGRES_REQUEST)
    answer = await reader.readexactly(1)
    if answer == b"N":
        raise Obstacle(f"{endpoint} does not offer TLS", _NOT_OFFERED)
    if answer != b"S":
        raise _of_another_kind(endpoint, f"answered {answer!r}", Engine.POSTGRES)


async def _ask_mysql(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = int.from_bytes((await reader.readexactly(4))[:3], "little")
    if not 0 < size <= _LONGEST_GREETING:
        raise _of_another_kind(endpoint, f"sent {size:,} bytes as its first packet", Engine.MYSQL)
    greeting = await reader.readexactly(size)
    if greeting[0] == _ERROR:
        raise _refused_before_login(endpoint, greeting)
    try:
        if greeting[0] != _HANDSHAKE_V10:
            raise _of_another_kind(endpoint, f"greeted with {greeting[:1]!r}", Engine.MYSQL)
        (capabilities,) = struct.unpack_from("<H", greeting, greeting.index(b"\0", 1) + 14)
    except (ValueError, struct.error) as error:
        raise _of_another_kind(endpoint, "sent half a greeting", Engine.MYSQL) from error
    if not capabilities & _SSL:
        raise Obstacle(f"{endpoint} does not offer TLS", _NOT_OFFERED)
    writer.write(_MYSQL_REQUEST)


def _refused_before_login(endpoint: Endpoint, packet: bytes) -> Obstacle:
    """Return the obstacle for an error packet in place of the greeting.

    The server sends one before the login: for too many connections, or for a client host that it does not allow.
    """
    number = int.from_bytes(packet[1:3], "little")
    words = escaped(packet[3:].decode(errors="replace"))
    return Obstacle(
        f"{endpoint} refuses the connection: {words} ({number})",
        "check max_connections and the open connections, or which client hosts the server allows",
    )


def _of_another_kind(endpoint: Endpoint, behavior: str, engine: Engine) -> Obstacle:
    kind = "PostgreSQL" if engine is Engine.POSTGRES else "MySQL or MariaDB"
    return Obstacle(
        f"{endpoint} {behavior} when asked for TLS", f"check that a {kind} server listens there, and no other program"
    )
