"""Check PostgreSQL's message framing on connections to unverified hosts: a length below 4 closes the connection.

A message's length includes its own four bytes. asyncpg 0.31 does not check that. On a length of -1 it reads the same
bytes forever, within one call that no deadline and no signal can interrupt, and the whole process hangs.
"""

from __future__ import annotations

import struct
from typing import Any, Final

_HEADER: Final = 5  # bytes: the type of a message and its length
_SHORTEST: Final = 4
_length: Final = struct.Struct("!i").unpack_from


class Frames:
    """Sit between a transport and asyncpg's protocol, and check the length of each message.

    That costs time for each message, so it is left out for verified servers and for servers on this machine.

    Args:
        real: asyncpg's protocol.
    """

    def __init__(self, real: Any) -> None:
        self.real = real
        self._take = real.data_received
        self._transport: Any = None
        self._head = b""  # the start of a message whose length has not arrived; asyncpg has these bytes too
        self._ahead = 0  # bytes of the current message that have not arrived

    def connection_made(self, transport: Any) -> None:
        """Forward the event to asyncpg, which then sends its startup message."""
        self._transport = transport
        self.real.connection_made(transport)

    def set_transport(self, transport: Any) -> None:
        """Attach to a transport that is connected already."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Forward the bytes to asyncpg, unless a length in them is impossible."""
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
