"""PostgreSQL's logins to unverified servers: a request for the password in the clear gets no answer.

asyncpg answers whatever it is asked. What the server says until the login is accepted passes through a `Guard`, message
by message; after that the transport talks to asyncpg directly, or through `Frames`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from rdskit.drivers.postgres.framing import Frames

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER: Final = struct.Struct("!ci")
_CODE: Final = struct.Struct("!i")
_ACCEPTED: Final = 0  # AuthenticationOk
_CLEAR_PASSWORD: Final = 3  # AuthenticationCleartextPassword
_SHORTEST: Final = 4  # bytes: the length counts itself
_LONGEST: Final = 1 << 20  # bytes of a message before the login

REFUSAL: Final = (
    "the server asks for the password in the clear, and its certificate is not verified: pass tls='verify-full', the "
    "default, or cleartext_password=True"
)


class Guard:
    """Stands between a transport and asyncpg's protocol until the login is accepted.

    Args:
        real: asyncpg's protocol, or `Frames` in front of it.
        refuse: called when the server asks for the password in the clear; the connection is cut then.
    """

    def __init__(self, real: Any, refuse: Callable[[], None]) -> None:
        self.real = real
        self._refuse = refuse
        self._transport: Any = None
        self._unread = b""

    def connection_made(self, transport: Any) -> None:
        """Tell asyncpg, which then introduces itself."""
        self._transport = transport
        self.real.connection_made(transport)

    def see(self, transport: Any) -> None:
        """Take the place of a protocol that knows the transport already."""
        self._transport = transport
        if isinstance(self.real, Frames):
            self.real.see(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on each message that is complete and is no request for the password."""
        self._unread += data
        while len(self._unread) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._unread)
            if not _SHORTEST <= length <= _LONGEST:
                self._cut()
                return
            if len(self._unread) <= length:
                return
            message, self._unread = self._unread[: length + 1], self._unread[length + 1 :]
            code = _CODE.unpack_from(message, _HEADER.size)[0] if kind == b"R" and length >= 2 * _CODE.size else None
            if code == _CLEAR_PASSWORD:
                self._refuse()
                self._cut()
                return
            if code == _ACCEPTED:
                self._transport.set_protocol(self.real)
                self.real.data_received(message + self._unread)
                return
            self.real.data_received(message)

    def _cut(self) -> None:
        self._unread = b""
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Encrypted:
    """A transport on which asyncpg's protocol is wrapped; writing costs what it costs without.

    Args:
        transport: the real one.
        wrap: gives the `Guard` or `Frames` that stands in front of a protocol.
    """

    def __init__(self, transport: Any, wrap: Callable[[Any], Any]) -> None:
        self._transport = transport
        self._wrap = wrap
        self.write = transport.write
        self.writelines = transport.writelines

    def set_protocol(self, protocol: Any) -> None:
        """Set what stands in front of the protocol."""
        wrapped = self._wrap(protocol)
        wrapped.see(self._transport)
        self._transport.set_protocol(wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
