"""Moving bytes between a client and a backend, as directly as Python allows.

The sockets are read and written by the event loop's readiness callbacks, TLS included: OpenSSL works on the socket
itself, so a message costs one read and one write and no copy through a stream or a second buffer.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    #: Is given what was read and returns what is to be written instead, which may be nothing yet.
    Inspect = Callable[[memoryview], memoryview]

_BUFFER_SIZE: Final = 256 * 1024
_TLS_RECORD: Final = 16 * 1024
_READS_IN_A_ROW: Final = 32  # then the other connections have their turn
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# One buffer for all: a callback reads into it and has written or copied its content before it returns.
_buffer = bytearray(_BUFFER_SIZE)
_view = memoryview(_buffer)


class Direction:
    """One way through a relay: what ``source`` sends is written to ``target``; it is read no faster than that.

    Args:
        loop: the loop that serves it.
        source: non-blocking.
        target: non-blocking.
        ended: called at the end of either, with whether it was a failure.
        inspect: sees and may change what is moved.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        target: socket.socket,
        ended: Callable[[bool], None],
        inspect: Inspect | None = None,
    ) -> None:
        self._loop = loop
        self._source = source
        self._target = target
        self._ended = ended
        self._inspect = inspect
        self._left = memoryview(b"")

    def start(self) -> None:
        """Begin; TLS may have read ahead already."""
        self._loop.add_reader(self._source, self._on_readable)
        self._on_readable()

    def stop(self) -> None:
        """Move nothing any more."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)

    def _on_readable(self) -> None:
        try:
            for _ in range(_READS_IN_A_ROW):
                if not self._move():
                    return
        except _NOT_NOW:
            return
        except OSError:
            self._ended(True)
            return
        if _read_ahead(self._source):
            self._loop.call_soon(self._on_readable_again)

    def _on_readable_again(self) -> None:
        if self._source.fileno() >= 0 and not self._left:
            self._on_readable()

    def _move(self) -> bool:
        """Move one piece; whether there may be more to move at once."""
        count = self._source.recv_into(_buffer)
        if not count:
            self._ended(False)
            return False
        data = _view[:count] if self._inspect is None else self._inspect(_view[:count])
        sent = self._send(data) if data else 0
        if sent < len(data):
            self._left = memoryview(bytes(data[sent:]))
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._on_writable)
            return False
        return count >= _TLS_RECORD or _read_ahead(self._source)

    def _on_writable(self) -> None:
        try:
            self._left = self._left[self._send(self._left) :]
        except OSError:
            self._ended(True)
            return
        if not self._left:
            self._loop.remove_writer(self._target)
            self.start()

    def _send(self, data: memoryview) -> int:
        try:
            return self._target.send(data)
        except _NOT_NOW:
            return 0


class Relay:
    """A client's connection and the backend connection behind it.

    Args:
        client: non-blocking, negotiated.
        backend: non-blocking, connected.
        closed: called once, when both are closed.
        inspect: sees and may change what the client sends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        backend: socket.socket,
        closed: Callable[[Relay], None],
        inspect: Inspect | None = None,
    ) -> None:
        self._sockets = (client, backend)
        self._closed = closed
        self._directions = (
            Direction(loop, client, backend, self._on_end, inspect),
            Direction(loop, backend, client, self._on_end),
        )

    def start(self) -> None:
        """Begin to relay."""
        for direction in self._directions:
            if self._sockets[0].fileno() >= 0:
                direction.start()

    def cut(self) -> None:
        """End both connections with a TCP reset."""
        self._close(reset=True)

    def _on_end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._close(reset=failed)

    def _close(self, *, reset: bool) -> None:
        if self._sockets[0].fileno() < 0:
            return
        for direction in self._directions:
            direction.stop()
        for each in self._sockets:
            (abort if reset else close)(each)
        self._closed(self)


def close(connection: socket.socket) -> None:
    """Close in order: a TLS peer is told, so that it can tell the end from a cut."""
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection.unwrap()
        except (OSError, ValueError):  # it has gone already, or its own goodbye is not there yet: nothing to wait for
            connection.close()
            return
    connection.close()


def abort(connection: socket.socket) -> None:
    """Close with a TCP reset: the peer knows at once, and nothing more is sent."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        connection.close()


def _read_ahead(connection: socket.socket) -> bool:
    """Whether TLS holds decrypted bytes that no readiness of the socket will announce."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
