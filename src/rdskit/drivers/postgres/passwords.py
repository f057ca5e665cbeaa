"""Guard PostgreSQL's logins to unverified servers: a request for the password in the clear is not answered.

asyncpg answers every request. Until the login is accepted, the server's messages pass through a `Guard`, one by one.
After that the transport calls asyncpg directly, or through `Frames`.
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
    """Sit between a transport and asyncpg's protocol until the login is accepted.

    Args:
        real: asyncpg's protocol, or `Frames` in front of it.
        refuse: called when the server asks for the password in the clear; the connection is aborted then.
    """

    def __init__(self, real: Any, refuse: Callable[[], None]) -> None:
        self.real = real
        self._refuse = refuse
        self._transport: Any = None
        self._unread = b""

    def connection_made(self, transport: Any) -> None:
        """Forward the event to asyncpg, which then sends its startup message."""
        self._transport = transport
        self.real.connection_made(transport)

    def set_transport(self, transport: Any) -> None:
        """Attach to a transport that is connected already."""
        self._transport = transport
        if isinstance(self.real, Frames):
            self.real.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        """Forward each complete message, unless it requests the password in the clear."""
        self._unread += data
        while len(self._unread) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._unread)
            if not _SHORTEST <= length <= _LONGEST:
                self._abort()
                return
            if len(self._unread) <= length:
                return
            message, self._unread = self._unread[: length + 1], self._unread[length + 1 :]
            code = _CODE.unpack_from(message, _HEADER.size)[0] if kind == b"R" and length >= 2 * _CODE.size else None
            if code == _CLEAR_PASSWORD:
                self._refuse()
                self._abort()
                return
            if code == _ACCEPTED:
                self._transport.set_protocol(self.real)
                self.real.data_received(message + self._unread)
                return
            self.real.data_received(message)

    def _abort(self) -> None:
        self._unread = b""
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Encrypted:
    """A transport that wraps the protocol that asyncpg sets on it; writes go to the real transport directly.

    Args:
        transport: the real one.
        wrap: returns the `Guard` or `Frames` in front of a protocol.
    """

    def __init__(self, transport: Any, wrap: Callable[[Any], Any]) -> None:
        self._transport = transport
        self._wrap = wrap
        self.write = transport.write
        self.writelines = transport.writelines

    def set_protocol(self, protocol: Any) -> None:
        """Wrap the protocol and set the wrapper on the real transport."""
        wrapped = self._wrap(protocol)
        wrapped.set_transport(self._transport)
        self._transport.set_protocol(wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
