"""Forward bytes from one socket to another with as few copies as possible.

Readiness callbacks of the event loop read and write the sockets, TLS included: OpenSSL works on the socket itself. So a
message costs one read and one write, without a copy through an asyncio stream.
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

    #: Gets the bytes that were read and returns the bytes to write, which may be none yet.
    Inspect = Callable[[memoryview], memoryview]

_BUFFER_SIZE: Final = 256 * 1024
_TLS_RECORD: Final = 16 * 1024  # the largest plaintext of a record (RFC 8446, 5.1), and so of one SSL_read
_MOST_LATE: Final = 8 * 1024**2  # delayed bytes; while more wait, nothing is read from the server
_READS_IN_A_ROW: Final = 32  # then the loop serves the other connections
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# One buffer for all connections: a callback reads into it, and writes or copies the content before it returns.
_buffer = bytearray(_BUFFER_SIZE)
_view = memoryview(_buffer)


class Forwarding:
    """One direction of a relay: write to ``target`` what ``source`` sends, and read no faster than that.

    Args:
        loop: the loop that serves it.
        source: non-blocking.
        target: non-blocking.
        ended: called when either socket ends, with whether that was a failure.
        inspect: reads and may change the forwarded bytes.
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
        """Forward from now on."""
        # OpenSSL may hold bytes that it read during the negotiation: no readiness event would announce these.
        self._loop.add_reader(self._source, self._on_readable)
        self._on_readable()

    def resume(self) -> None:
        """Continue forwarding after :meth:`stop`."""
        if self._left:
            self._loop.add_writer(self._target, self._on_writable)
        else:
            self.start()

    def stop(self) -> None:
        """Forward nothing until :meth:`resume`."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)

    def _on_readable(self) -> None:
        try:
            for _ in range(_READS_IN_A_ROW):
                if not self._may_move():
                    # Subclasses that refuse room call start() when there is room again.
                    self._loop.remove_reader(self._source)
                    return
                if not self._move():
                    return
        except _NOT_NOW:
            return
        except OSError:
            self._ended(True)
            return
        # OpenSSL decrypts whole records: bytes in its buffer make no readiness event, so the loop must call again.
        if _read_ahead(self._source):
            self._loop.call_soon(self._on_readable_again)

    def _may_move(self) -> bool:
        """Return whether there is room for more bytes."""
        return True

    def _on_readable_again(self) -> None:
        # Between call_soon() and this call the relay may have closed, or a write may have filled the target.
        if self._source.fileno() >= 0 and not self._left:
            self._on_readable()

    def _move(self) -> bool:
        """Forward one piece and return whether another may be read at once."""
        count = self._source.recv_into(_buffer)
        if not count:
            self._ended(False)
            return False
        data = _view[:count] if self._inspect is None else self._inspect(_view[:count])
        sent = self._send(data) if data else 0
        if sent < len(data):
            # The shared buffer is overwritten by the next callback: keep a copy. OpenSSL accepts a repeated write from
            # another address, as CPython sets SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER.
            self._left = memoryview(bytes(data[sent:]))
            # Backpressure: the source is not read again before the target has taken everything.
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._on_writable)
            return False
        # A full record is usually one of several. After a shorter one another recv would only raise "would block".
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
    """The direction from a backend to its client, with the injected latency.

    Args:
        loop: the loop that serves it.
        source: the backend's connection.
        target: the client's connection.
        ended: called when either socket ends, after all delayed bytes were delivered.
        faults: the injected network faults.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        target: socket.socket,
        ended: Callable[[bool], None],
        faults: LinkFaults,
    ) -> None:
        super().__init__(loop, source, target, self._end)
        self._end_now = ended
        self._faults = faults
        self._late: deque[tuple[float, memoryview]] = deque()  # due time and bytes, in order of arrival
        self._waiting = 0  # bytes in self._late
        # Whether the backend's end was a failure. It is reported after the delayed bytes that came before it.
        self._ending: bool | None = None

    def resume(self) -> None:
        """Continue after :meth:`stop`, with the bytes that have become due first."""
        super().resume()
        if self._late:
            self._deliver()

    @override
    def _may_move(self) -> bool:
        return self._waiting < _MOST_LATE

    @override
    def _send(self, data: memoryview) -> int:
        delay = self._faults.link.latency
        # While earlier bytes wait, later ones must wait behind them, even if the latency has ended.
        if not delay and not self._late:
            return super()._send(data)
        due = self._loop.time() + delay
        self._late.append((due, memoryview(bytes(data))))
        self._waiting += len(data)
        # One timer at a time: _deliver() sets the next one.
        if len(self._late) == 1:
            self._loop.call_at(due, self._deliver)
        return len(data)

    def _deliver(self) -> None:
        # A timer may fire after the relay was closed, or during a black hole. resume() delivers after the latter.
        if self._target.fileno() < 0 or self._faults.link.blackhole:
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
            self.start()  # reading stopped if too many bytes waited

    def _await_client(self) -> None:
        """Stop reading from the backend until the client has room again."""
        self._loop.remove_reader(self._source)
        self._loop.add_writer(self._target, self._deliver)

    def _end(self, failed: bool) -> None:  # noqa: FBT001 - a callback's one argument
        self._loop.remove_reader(self._source)
        if self._late:
            self._ending = failed
        else:
            self._end_now(failed)


def _read_ahead(connection: socket.socket) -> bool:
    """Return whether TLS holds decrypted bytes that no readiness event will announce."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
