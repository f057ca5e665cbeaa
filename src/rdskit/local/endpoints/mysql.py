"""Parse and build the packets of the connection phase of MySQL and MariaDB.

Source: MySQL Source Code Documentation, "Connection Phase Packets" (``HandshakeV10``, ``SSLRequest``,
``HandshakeResponse41``) and "Protocol::AuthSwitchRequest". MariaDB gives the last reserved bytes a meaning, but this
module copies them unread.
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
    """The capability flags that matter to an endpoint; others are passed on."""

    CONNECT_WITH_DB = 1 << 3
    COMPRESS = 1 << 5
    PROTOCOL_41 = 1 << 9
    SSL = 1 << 11
    SECURE_CONNECTION = 1 << 15
    PLUGIN_AUTH = 1 << 19
    PLUGIN_AUTH_LENENC = 1 << 21
    ZSTD_COMPRESSION = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27


#: Compressed packets cannot be inspected. The greeting offers no compression, so no client negotiates it.
UNSUPPORTED: Final = Capability.COMPRESS | Capability.ZSTD_COMPRESSION


class Kind(enum.IntEnum):
    """The first byte of a server's packet in the connection phase."""

    OK = 0x00
    MORE = 0x01  # AuthMoreData
    SWITCH = 0xFE  # AuthSwitchRequest
    ERROR = 0xFF


class ProtocolError(ConnectionError):
    """A peer that does not follow the protocol."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's first packet.

    Attributes:
        version: version of the server; that of MariaDB contains its name.
        capabilities: capabilities of the server.
        scramble: twenty random bytes that make each login's response different.
    """

    version: str
    capabilities: Capability
    scramble: bytes
    _payload: bytes
    _at: int

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse the payload of a ``HandshakeV10``.

        Raises:
            ProtocolError: the payload is something else.
        """
        try:
            # After the version: thread id (4), scramble (8), a zero, capabilities (2), character set (1), status (2),
            # capabilities (2), length of the scramble (1), reserved (10), and the other twelve bytes of the scramble.
            end = payload.index(b"\0")
            first, lower, upper = struct.unpack_from("<4x8sxH3xH", payload, end + 1)
            second = payload[end + 32 : end + 44]
        except (ValueError, struct.error) as error:
            raise ProtocolError("the backend does not greet as a MySQL server does") from error
        version = payload[1:end].decode(errors="replace")
        return cls(version, Capability(lower | upper << 16), first + second, payload, end + 14)

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB."""
        return "mariadb" in self.version.lower()

    def without(self, unsupported: Capability) -> bytes:
        """Return the payload without some capabilities."""
        # Everything else stays, above all the scramble: the backend itself verifies the client's response to it.
        payload = bytearray(self._payload)
        kept = int(self.capabilities) & ~int(unsupported)  # keeps flags without a name in Capability
        struct.pack_into("<H", payload, self._at, kept & 0xFFFF)
        struct.pack_into("<H", payload, self._at + 5, kept >> 16)
        return bytes(payload)


@dataclass(frozen=True, slots=True)
class Login:
    """A client's answer to the greeting: a ``HandshakeResponse41``.

    Attributes:
        capabilities: the capabilities that the client uses.
        user: name of the user, in the client's character set.
        response: the authentication plugin's response to the scramble.
        database: the first default database; sent with ``CONNECT_WITH_DB`` only.
        plugin: name of the authentication plugin.
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
        """Parse the payload of a ``HandshakeResponse41``.

        Raises:
            ProtocolError: the payload is something else.
        """
        capabilities = requested(payload)
        reader = _Reader(payload, _LOGIN_HEAD)
        user = reader.text()
        # The length of the response has one of three forms, by capability. encode() must write the same one.
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
        """Return the payload of this login."""
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
        # What follows, connection attributes for example, goes to the backend unread.
        return b"".join([*parts, self._rest])

    def authenticated_by(self, plugin: str, response: bytes) -> Self:
        """Return the same login with another plugin and its response."""
        return replace(self, plugin=plugin.encode(), response=response)


class _Reader:
    """Reads the fields of a payload in order."""

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload = payload
        self._at = at

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._payload):
            raise ProtocolError("the client's login ends too early")
        self._at += count
        return self._payload[self._at - count : self._at]

    def text(self) -> bytes:
        """Return the text up to a zero byte, or to the end of the payload."""
        # The last text of a packet may have no zero byte.
        end = self._payload.find(b"\0", self._at)
        value = self._payload[self._at : end if end >= 0 else None]
        self._at = min(self._at + len(value) + 1, len(self._payload))
        return value

    def length(self) -> int:
        """Return a length-encoded integer."""
        # 0xFC, 0xFD and 0xFE announce 2, 3 and 8 bytes. Smaller values stand for themselves.
        first = self.take(1)[0]
        size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        return first if size is None else int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        return self._payload[self._at :]


def requested(payload: bytes) -> Capability:
    """Return the capabilities in a client's first packet, an ``SSLRequest`` or a login.

    Raises:
        ProtocolError: the packet is neither, or of a protocol older than 4.1.
    """
    if len(payload) < _LOGIN_HEAD:
        raise ProtocolError("the client did not answer the greeting with a login")
    capabilities = Capability(int.from_bytes(payload[:4], "little"))
    if not capabilities & Capability.PROTOCOL_41:
        raise ProtocolError("the client speaks a protocol older than 4.1")
    return capabilities


def is_ssl_request(payload: bytes) -> bool:
    """Return whether a client's first packet requests TLS."""
    # An SSLRequest is the head of a login and nothing else. A login has at least the zero byte of the user's name.
    return len(payload) == _LOGIN_HEAD and bool(requested(payload) & Capability.SSL)


def restrict(payload: bytes, unsupported: Capability) -> bytes:
    """Return a client's first packet without some capabilities."""
    return struct.pack("<I", int(requested(payload)) & ~int(unsupported)) + payload[4:]


def switch_to(plugin: str) -> bytes:
    """Return the payload that requests authentication by another plugin."""
    return bytes([Kind.SWITCH]) + plugin.encode() + b"\0"


def parse_switch(payload: bytes) -> tuple[str, bytes]:
    """Return the plugin that a server requests, and its scramble."""
    name, _, scramble = payload[1:].partition(b"\0")
    return name.decode(errors="replace"), scramble[:20]  # a zero byte follows the scramble


def error(errno: int, sqlstate: str, message: str) -> bytes:
    """Return the payload of an error packet."""
    return struct.pack("<BH", Kind.ERROR, errno) + f"#{sqlstate}{message}".encode()


def access_denied(user: bytes, client: str, reason: str) -> bytes:
    """Return the error of a login refused for ``reason``; ``client`` is the client's address."""
    # ER_ACCESS_DENIED_ERROR with the server's text: drivers recognize the number, users the sentence.
    name = user.decode(errors="replace")
    return error(1045, "28000", f"Access denied for user '{name}'@'{client}' (using password: YES): {reason}")


def tls_required() -> bytes:
    """Return the error of a server with ``require_secure_transport`` for an unencrypted session."""
    # ER_SECURE_TRANSPORT_REQUIRED
    message = "Connections using insecure transport are prohibited while --require_secure_transport=ON."
    return error(3159, "HY000", message)


def _length(value: int) -> bytes:
    if value < 0xFB:  # noqa: PLR2004 - from 0xFB on the first byte announces how many follow
        return bytes([value])
    return b"\xfc" + struct.pack("<H", value)
