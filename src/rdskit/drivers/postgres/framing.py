"""PostgreSQL's framing on connections to unverified hosts: a length below 4 ends the connection.

The length of a message counts its own four bytes. asyncpg 0.31 does not check that: on a length of -1 it reads the
same bytes for ever, within one call that no deadline and no signal interrupts, and the whole process stands still.
"""

from __future__ import annotations

import struct
from typing import Any, Final

_HEADER: Final = 5  # bytes: the type of a message and its length
_SHORTEST: Final = 4
_length: Final = struct.Struct("!i").unpack_from


class Frames:
    """Stands between a transport and asyncpg's protocol, and looks at the length of each message.

    That costs time for each message, so verified servers and those on this machine are spared it.

    Args:
        real: asyncpg's protocol.
    """

    def __init__(self, real: Any) -> None:
        self.real = real
        self._take = real.data_received
        self._transport: Any = None
        self._head = b""  # the beginning of a message whose length has not arrived; asyncpg has these bytes too
        self._ahead = 0  # bytes of the present message that are still to come

    def connection_made(self, transport: Any) -> None:
        """Tell asyncpg, which then introduces itself."""
        self._transport = transport
        self.real.connection_made(transport)

    def see(self, transport: Any) -> None:
        """Take the place of a protocol that knows the transport already."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived, unless a length in it is impossible."""
        text = self._head + data if self._head else data
        end, place = len(text), self._ahead
        while place + _HEADER <= end:
            (length,) = _length(text, place + 1)
            if length < _SHORTEST:
                self._transport.abort()
                return
            place += length + 1
        self._head, self._ahead = (text[place:], 0) if place < end else (b"", place - end)
        self._take(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)
