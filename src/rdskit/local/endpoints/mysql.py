"""The packets by which a MySQL or MariaDB session begins.

MySQL Source Code Documentation, "Connection Phase Packets" (``HandshakeV10``, ``SSLRequest``, ``HandshakeResponse41``)
and "Protocol::AuthSwitchRequest"; MariaDB's differ in what the last reserved bytes mean, which nobody looks at here.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, replace
from typing import Final, Self

HEADER: Final = 4  # bytes: the payload's length in three, and a sequence number
LONGEST_PAYLOAD: Final = 0xFFFFFF

_LOGIN_HEAD: Final = 32  # bytes, in an SSLRequest too: capabilities, packet size, character set, reserved


class Capability(enum.IntFlag):
    """What both sides of a connection can do, as far as it matters here."""

    CONNECT_WITH_DB = 1 << 3
    COMPRESS = 1 << 5
    PROTOCOL_41 = 1 << 9
    SSL = 1 << 11
    SECURE_CONNECTION = 1 << 15
    PLUGIN_AUTH = 1 << 19
    PLUGIN_AUTH_LENENC = 1 << 21
    ZSTD_COMPRESSION = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27


#: What is sent compressed cannot be looked at.
UNSUPPORTED: Final = Capability.COMPRESS | Capability.ZSTD_COMPRESSION


class Kind(enum.IntEnum):
    """The first byte of what a server sends before a session."""

    OK = 0x00
    MORE = 0x01
    SWITCH = 0xFE
    ERROR = 0xFF


class ProtocolError(ConnectionError):
    """The peer does not speak the protocol."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's first packet.

    Attributes:
        version: of the server; MariaDB's has its name.
        capabilities: of the server.
        scramble: the twenty bytes that make each login another one.
    """

    version: str
    capabilities: Capability
    scramble: bytes
    _payload: bytes
    _at: int

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From the payload of a ``HandshakeV10``.

        Raises:
            ProtocolError: it is none.
        """
        try:
            end = payload.index(b"\0")
            first, lower, upper = struct.unpack_from("<4x8sxH3xH", payload, end + 1)
            second = payload[end + 32 : end + 44]
        except (ValueError, struct.error) as error:
            raise ProtocolError("the backend does not greet as a MySQL server does") from error
        version = payload[1:end].decode(errors="replace")
        return cls(version, Capability(lower | upper << 16), first + second, payload, end + 14)

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB that greets."""
        return "mariadb" in self.version.lower()

    def without(self, unsupported: Capability) -> bytes:
        """The payload, with some capabilities taken out."""
        payload = bytearray(self._payload)
        kept = int(self.capabilities) & ~int(unsupported)  # of flags that have no name here too
        struct.pack_into("<H", payload, self._at, kept & 0xFFFF)
        struct.pack_into("<H", payload, self._at + 5, kept >> 16)
        return bytes(payload)


@dataclass(frozen=True, slots=True)
class Login:
    """A client's answer to the greeting, a ``HandshakeResponse41``.

    Attributes:
        capabilities: what the client wants to use.
        user: who logs in, in the client's character set.
        response: what its authentication plugin answers to the scramble.
        database: the first default database; meaningful with that capability only.
        plugin: the name of that authentication plugin.
    """

    capabilities: Capability
    user: bytes
    response: bytes
    database: bytes
    plugin: bytes
    _head: bytes
    _rest: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From its payload.

        Raises:
            ProtocolError: it is none.
        """
        capabilities = requested(payload)
        reader = _Reader(payload, _LOGIN_HEAD)
        user = reader.text()
        if capabilities & Capability.PLUGIN_AUTH_LENENC:
            response = reader.take(reader.length())
        elif capabilities & Capability.SECURE_CONNECTION:
            response = reader.take(reader.take(1)[0])
        else:
            response = reader.text()
        database = reader.text() if capabilities & Capability.CONNECT_WITH_DB else b""
        plugin = reader.text() if capabilities & Capability.PLUGIN_AUTH else b""
        return cls(capabilities, user, response, database, plugin, payload[4:_LOGIN_HEAD], reader.rest())

    def encode(self) -> bytes:
        """Its payload."""
        parts = [struct.pack("<I", self.capabilities), self._head, self.user, b"\0"]
        if self.capabilities & Capability.PLUGIN_AUTH_LENENC:
            parts += [_length(len(self.response)), self.response]
        elif self.capabilities & Capability.SECURE_CONNECTION:
            parts += [bytes([len(self.response)]), self.response]
        else:
            parts += [self.response, b"\0"]
        if self.capabilities & Capability.CONNECT_WITH_DB:
            parts += [self.database, b"\0"]
        if self.capabilities & Capability.PLUGIN_AUTH:
            parts += [self.plugin, b"\0"]
        return b"".join([*parts, self._rest])

    def authenticated_by(self, plugin: str, response: bytes) -> Self:
        """The same login by another plugin."""
        return replace(self, plugin=plugin.encode(), response=response)


class _Reader:
    """Reads the fields of a payload one after the other."""

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload = payload
        self._at = at

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._payload):
            raise ProtocolError("the client's login ends too early")
        self._at += count
        return self._payload[self._at - count : self._at]

    def text(self) -> bytes:
        """Up to a zero byte; where the payload ends without one, up to there."""
        end = self._payload.find(b"\0", self._at)
        value = self._payload[self._at : end if end >= 0 else None]
        self._at = min(self._at + len(value) + 1, len(self._payload))
        return value

    def length(self) -> int:
        """A length-encoded integer."""
        first = self.take(1)[0]
        size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        return first if size is None else int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        return self._payload[self._at :]


def requested(payload: bytes) -> Capability:
    """The capabilities in a client's first packet, be it an ``SSLRequest`` or its login.

    Raises:
        ProtocolError: it is neither, or of a protocol older than 4.1.
    """
    if len(payload) < _LOGIN_HEAD:
        raise ProtocolError("the client answered the greeting with something else than a login")
    capabilities = Capability(int.from_bytes(payload[:4], "little"))
    if not capabilities & Capability.PROTOCOL_41:
        raise ProtocolError("the client speaks a protocol older than 4.1")
    return capabilities


def is_ssl_request(payload: bytes) -> bool:
    """Whether a client's first packet asks for TLS."""
    return len(payload) == _LOGIN_HEAD and bool(requested(payload) & Capability.SSL)


def restrict(payload: bytes, unsupported: Capability) -> bytes:
    """A client's first packet, with some capabilities taken out."""
    return struct.pack("<I", int(requested(payload)) & ~int(unsupported)) + payload[4:]


def switch_to(plugin: str) -> bytes:
    """The payload that asks a client to authenticate by another plugin."""
    return bytes([Kind.SWITCH]) + plugin.encode() + b"\0"


def parse_switch(payload: bytes) -> tuple[str, bytes]:
    """The plugin that a server asks for, and its scramble."""
    name, _, scramble = payload[1:].partition(b"\0")
    return name.decode(errors="replace"), scramble[:20]


def error(errno: int, sqlstate: str, message: str) -> bytes:
    """The payload of an error."""
    return struct.pack("<BH", Kind.ERROR, errno) + f"#{sqlstate}{message}".encode()


def access_denied(user: bytes, client: str, reason: str) -> bytes:
    """The error of a refused login, with its reason; ``client`` is its address."""
    name = user.decode(errors="replace")
    return error(1045, "28000", f"Access denied for user '{name}'@'{client}' (using password: YES): {reason}")


def tls_required() -> bytes:
    """The error of a server with ``require_secure_transport`` to a session in the clear."""
    message = "Connections using insecure transport are prohibited while --require_secure_transport=ON."
    return error(3159, "HY000", message)


def _length(value: int) -> bytes:
    if value < 0xFB:  # noqa: PLR2004 - from there on the first byte tells how many follow
        return bytes([value])
    return b"\xfc" + struct.pack("<H", value)
