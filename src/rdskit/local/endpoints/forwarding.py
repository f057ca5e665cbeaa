"""Moving bytes from one connection to another, as directly as Python allows.

The sockets are read and written by the event loop's readiness callbacks, TLS included: OpenSSL works on the socket
itself, so a message costs one read and one write and no copy through a stream or a second buffer.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import TYPE_CHECKING, Final

from rdskit.kernel.typing import override

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from rdskit.local.endpoints.link_faults import LinkFaults

    #: Is given what was read and returns what is to be written instead, which may be nothing yet.
    Inspect = Callable[[memoryview], memoryview]

_BUFFER_SIZE: Final = 256 * 1024
_TLS_RECORD: Final = 16 * 1024
_MOST_LATE: Final = 8 * 1024**2  # bytes that wait for their time; while more does, nothing is read from the server
_READS_IN_A_ROW: Final = 32  # then the other connections have their turn
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# One buffer for all: a callback reads into it and has written or copied its content before it returns.
_buffer = bytearray(_BUFFER_SIZE)
_view = memoryview(_buffer)


class Forwarding:
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

    def resume(self) -> None:
        """Go on after :meth:`stop`."""
        if self._left:
            self._loop.add_writer(self._target, self._on_writable)
        else:
            self.start()

    def stop(self) -> None:
        """Move nothing any more."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)

    def _on_readable(self) -> None:
        try:
            for _ in range(_READS_IN_A_ROW):
                if not self._may_move():
                    self._loop.remove_reader(self._source)  # whatever makes room starts this again
                    return
                if not self._move():
                    return
        except _NOT_NOW:
            return
        except OSError:
            self._ended(True)
            return
        if _read_ahead(self._source):
            self._loop.call_soon(self._on_readable_again)

    def _may_move(self) -> bool:
        """Return whether there is room for what would be read."""
        return True

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


class Answers(Forwarding):
    """The way from a backend to its client, by a passage that may make answers late.

    Args:
        loop: the loop that serves it.
        source: the backend's connection.
        target: the client's.
        ended: called at the end of either, when all that came before it has been delivered.
        passage: tells how late.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        target: socket.socket,
        ended: Callable[[bool], None],
        passage: LinkFaults,
    ) -> None:
        super().__init__(loop, source, target, self._end)
        self._end_now = ended
        self._passage = passage
        self._late: deque[tuple[float, memoryview]] = deque()
        self._waiting = 0  # bytes in it
        self._ending: bool | None = (
            None  # whether the backend's end was a failure; it is told after what came before it
        )

    def resume(self) -> None:
        """Deliver what has become due first."""
        super().resume()
        if self._late:
            self._deliver()

    @override
    def _may_move(self) -> bool:
        return self._waiting < _MOST_LATE

    @override
    def _send(self, data: memoryview) -> int:
        delay = self._passage.link.latency
        if not delay and not self._late:
            return super()._send(data)
        due = self._loop.time() + delay
        self._late.append((due, memoryview(bytes(data))))
        self._waiting += len(data)
        if len(self._late) == 1:
            self._loop.call_at(due, self._deliver)
        return len(data)

    def _deliver(self) -> None:
        if self._target.fileno() < 0 or self._passage.link.blackhole:
            return
        self._loop.remove_writer(self._target)
        try:
            while self._late and self._late[0][0] <= self._loop.time():
                due, data = self._late.popleft()
                left = data[super()._send(data) :]
                self._waiting -= len(data) - len(left)
                if left:
                    self._late.appendleft((due, left))
                    self._await_client()
                    return
        except OSError:
            self._end_now(True)
            return
        if self._late:
            self._loop.call_at(self._late[0][0], self._deliver)
        elif self._ending is not None:
            self._end_now(self._ending)
        elif self._source.fileno() >= 0:
            self.start()

    def _await_client(self) -> None:
        """A client that does not read is sent no more than it has room for."""
        self._loop.remove_reader(self._source)
        self._loop.add_writer(self._target, self._deliver)

    def _end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._loop.remove_reader(self._source)
        if self._late:
            self._ending = failed
        else:
            self._end_now(failed)


def _read_ahead(connection: socket.socket) -> bool:
    """Whether TLS holds decrypted bytes that no readiness of the socket will announce."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
