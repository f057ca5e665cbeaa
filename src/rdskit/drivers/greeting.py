"""Detect which protocol a server speaks by its first bytes.

A MySQL or MariaDB server sends its greeting before the client sends anything. A PostgreSQL server waits, and answers an
SSLRequest with one byte. Sources: MySQL "Protocol::HandshakeV10"; PostgreSQL manual, "Message Flow", "SSL Session
Encryption".
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint

DETECTION_TIMEOUT: Final = 1.0
"""Seconds for connecting and one answer: a healthy server needs one round trip."""

_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
_GREETING_SIZE: Final = 128  # bytes to read, among them the version in MySQL's greeting
_HEADER: Final = 4  # bytes of MySQL's packet header; the fourth is the packet's number
_VERSION_10: Final = 10
_REFUSAL: Final = 0xFF  # MySQL refuses before it greets, as with "too many connections"
_NAMES: Final = {Engine.POSTGRES: "PostgreSQL", Engine.MYSQL: "MySQL", Engine.MARIADB: "MariaDB"}
_SCHEMES: Final = {Engine.POSTGRES: "postgresql", Engine.MYSQL: "mysql", Engine.MARIADB: "mariadb"}


async def engine_at(endpoint: Endpoint, timeout: float = DETECTION_TIMEOUT) -> Engine | None:
    """Connect and return the engine that answers; None if no known engine does.

    MySQL counts this as an interrupted connection (``Aborted_connects``, and towards ``max_connect_errors``). So call
    it only after a regular connection attempt has failed.

    Args:
        endpoint: the server.
        timeout: seconds for connecting and the answer together.
    """
    with contextlib.suppress(OSError):  # a timeout among them
        async with asyncio.timeout(timeout):
            reader, writer = await _open_stream(endpoint)
            try:
                writer.write(_SSL_REQUEST)
                return engine_of(await reader.read(_GREETING_SIZE))
            finally:
                writer.transport.abort()
    return None


def engine_of(answer: bytes) -> Engine | None:
    """Return the engine whose server begins with these bytes; None if they fit none."""
    if answer in {b"S", b"N"}:
        return Engine.POSTGRES
    if len(answer) <= _HEADER or answer[3] != 0 or answer[_HEADER] not in {_VERSION_10, _REFUSAL}:
        return None
    return Engine.MARIADB if b"mariadb" in answer.lower() else Engine.MYSQL


def other_protocol(found: Engine | None, wanted: Engine, endpoint: Endpoint) -> DriverError | None:
    """Return the error for a server that speaks another protocol than the target asks for; None if it does not.

    Args:
        found: the engine that answered, if any.
        wanted: the target's engine; MySQL and MariaDB speak one protocol.
        endpoint: the server.
    """
    if found is None or (found is Engine.POSTGRES) == (wanted is Engine.POSTGRES):
        return None
    message = (
        f"{endpoint} does not speak the protocol of {_NAMES[wanted]}: this looks like {_NAMES[found]}, so write "
        f"{_SCHEMES[found]}://… in the target, or correct the engine in its secret"
    )
    return DriverError(Failure.REFUSED, ConfigError(message))


async def _open_stream(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not endpoint.is_unix_socket:
        return await asyncio.open_connection(*endpoint)
    path = f"{endpoint.host}/.s.PGSQL.{endpoint.port}" if endpoint.port else endpoint.host
    return await asyncio.open_unix_connection(path)
