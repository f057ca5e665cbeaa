"""Serve HTTP for the gateway: one thread per connection, with a limit for every resource of a client.

No client can keep others out. When all connections are in use, the server closes the connection that has been silent
longest: first one between two requests, then one inside a request. It never closes one whose request is being answered.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from rdskit.local.control.http.aws_errors import Answer, Fault, render
from rdskit.local.control.http.messages import Head, Limits, MalformedRequestError, chunk_size, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Request", "Server"]

_log = logging.getLogger(__name__)

_PIECE: Final = 64 * 1024  # bytes of one recv
_MOMENT: Final = 0.05  # seconds
_TOO_LARGE: Final = "RequestEntityTooLargeException"


@dataclass(frozen=True, slots=True)
class Request:
    """A completely received HTTP request.

    Attributes:
        head: request line and headers.
        body: the whole body, without the framing of chunks.
    """

    head: Head
    body: bytes


class Server:
    """The HTTP server of a gateway.

    Args:
        answer: answers one request; called in the connection's thread.
        listener: bound and listening; the caller closes it.
        limits: limits for clients.
    """

    def __init__(
        self, answer: Callable[[Request], Answer], listener: socket.socket, limits: Limits | None = None
    ) -> None:
        self._answer = answer
        self._listener = listener
        self._limits = limits or Limits()
        self._bodies = _Allowance(self._limits.bodies)
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()  # guarded by the lock

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve in threads for the duration of the block."""
        # Closing one end of the pair wakes the selector: closing the listener in another thread would not.
        stopping, stop = socket.socketpair()
        thread = threading.Thread(target=self._accept, args=(stopping,), name="http", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.close()
            thread.join()
            stopping.close()
            with self._lock:
                for each in self._connections:
                    each.shut_down()

    def _accept(self, stopping: socket.socket) -> None:
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(stopping, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if stopping in ready:
                    return
                try:
                    client, _ = self._listener.accept()
                except BlockingIOError:  # the client left the queue between select() and accept()
                    continue
                except OSError as error:  # out of descriptors: closing a silent connection frees one
                    _log.warning("cannot accept a connection: %s", error)
                    self._make_room()
                    time.sleep(_MOMENT)
                    continue
                self._admit(client)

    def _admit(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            full = len(self._connections) >= self._limits.connections
        # This is the only thread that adds connections, so the count cannot grow in between.
        if full and not self._make_room():
            _refuse(client)
            return
        connection = _Connection(client, self._limits, self._bodies)
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._serve, args=(connection,), name="http connection", daemon=True).start()

    def _make_room(self) -> bool:
        """Close the connection that has been silent longest, and return whether there was one."""
        with self._lock:
            silent = [each for each in self._connections if not each.answering]
            if not silent:
                return False
            # False sorts first: connections between two requests before those inside a request.
            chosen = min(silent, key=lambda each: (each.receiving, each.since))
            self._connections.discard(chosen)
            # Inside the lock: its thread cannot close the socket, so its descriptor is not one of another connection
            # yet.
            chosen.shut_down()
        return True

    def _serve(self, connection: _Connection) -> None:
        try:
            connection.serve(self._answer)
        except (OSError, EOFError) as error:
            _log.debug("a connection ended: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class _Allowance:
    """The memory for all bodies together.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self._left = total
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        with self._lock:
            if size > self._left:
                raise MalformedRequestError(
                    "too many requests with large bodies at a time", status=503, code="ServiceUnavailable"
                )
            self._left -= size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


@dataclass(eq=False, slots=True)
class _Connection:
    """One client's connection, used by its own thread.

    The thread that accepts connections reads the attributes below without a lock: a stale value only makes it close a
    connection that has just become busy.

    Attributes:
        since: when its current state began, by the monotonic clock.
        receiving: whether it is inside a request.
        answering: whether a request is being answered.
    """

    client: socket.socket
    limits: Limits
    bodies: _Allowance
    since: float = field(default_factory=time.monotonic)
    receiving: bool = False
    answering: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _deadline: float = 0.0
    _held: int = 0

    def serve(self, answer: Callable[[Request], Answer]) -> None:
        """Answer requests until the client or a limit ends the connection."""
        while True:
            self._set_state(receiving=False, answering=False, seconds=self.limits.idle_time)
            try:
                if not self._buffer:
                    self._fill()
                request = self._receive()
            except MalformedRequestError as error:
                self._send(render(Fault(error.code, str(error), error.status), None, ""), keep=False)
                self._drain()
                return
            # From here on the connection is safe from _make_room(): its request may change the state.
            self._set_state(receiving=False, answering=True, seconds=self.limits.answer_time)
            given = answer(request)
            keep, method = request.head.keeps_alive, request.head.method
            # The body is free before the answer is sent: a slow client must not hold memory.
            del request
            self._release()
            self._deadline = time.monotonic() + self.limits.answer_time
            self._send(given, keep=keep, method=method)
            if not keep:
                return

    def shut_down(self) -> None:
        """End the connection's thread; called in another thread."""
        # shutdown() wakes a blocked recv(). close() would not, and would free the descriptor for reuse.
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; called in its own thread."""
        self._release()
        self.client.close()

    def _release(self) -> None:
        self.bodies.give_back(self._held)
        self._held = 0

    def _set_state(self, *, receiving: bool, answering: bool, seconds: float) -> None:
        self.since = time.monotonic()
        self._deadline = self.since + seconds
        self.receiving, self.answering = receiving, answering

    def _receive(self) -> Request:
        self._set_state(receiving=True, answering=False, seconds=self.limits.head_time)
        head = self._head()
        self._deadline = time.monotonic() + self.limits.body_time
        if head.length is not None and head.length > self.limits.body:
            raise _too_large(self.limits.body)
        # A client may wait for this before it sends a large body (RFC 9110, 10.1.1).
        if head.headers.get("expect", "").lower() == "100-continue":
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._chunks() if head.length is None else self._take(head.length)
        return Request(head, body)

    def _head(self) -> Head:
        line = self._line()
        if not line:  # ignore an empty line before a request (RFC 9112, 2.2)
            line = self._line()
        fields: list[bytes] = []
        size = 0
        while field_line := self._line():
            fields.append(field_line)
            size += len(field_line)
            if size > self.limits.head or len(fields) > self.limits.fields:
                message = f"the headers are longer than {self.limits.head} bytes or {self.limits.fields} lines"
                raise MalformedRequestError(message, status=431)
        return parse_head(line, fields)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := chunk_size(self._line()):
            if len(body) + size > self.limits.body:
                raise _too_large(self.limits.body)
            body += self._take(size)
            if self._line():
                raise MalformedRequestError("a chunk of the body is longer than it says")
        lines = 0
        while self._line():  # trailers are ignored, but must be read (RFC 9112, 7.1.2)
            lines += 1
            if lines > self.limits.fields:
                raise MalformedRequestError("the body has too many trailers", status=431)
        return bytes(body)

    def _line(self) -> bytes:
        """Return the next line, without its line break."""
        searched = 0  # only new bytes are searched again: otherwise a client that sends single bytes costs n² time
        while (end := self._buffer.find(b"\n", searched, self.limits.line)) < 0:
            if len(self._buffer) >= self.limits.line:
                raise MalformedRequestError(f"a line is longer than {self.limits.line} bytes", status=431)
            searched = len(self._buffer)
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _fill(self) -> None:
        # One deadline for the whole head or body: a timeout per recv would let a client send a byte now and then for
        # ever.
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._late()
        self.client.settimeout(left)
        try:
            piece = self.client.recv(_PIECE)
        except TimeoutError:
            raise self._late() from None
        if not piece:
            if self.receiving:
                raise MalformedRequestError("the request ends in its middle")
            raise EOFError("the client has gone")
        # Counted on arrival: a client that announces a large body and sends little uses up nothing.
        self.bodies.take(len(piece))
        self._held += len(piece)
        self._buffer += piece

    def _late(self) -> Exception:
        if self.receiving:
            return MalformedRequestError("the request did not come in time", status=408, code="RequestTimeoutException")
        return EOFError("no request came in time")

    def _send(self, answer: Answer, *, keep: bool, method: str = "") -> None:
        self.client.settimeout(self.limits.answer_time)
        self.client.sendall(_encoded(answer, keep=keep, method=method))

    def _drain(self) -> None:
        """Read for a moment: closing with unread bytes sends a reset, which may overtake the answer."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
            self.client.settimeout(0.2)
            for _ in range(16):
                if not self.client.recv(_PIECE):
                    return


def _encoded(answer: Answer, *, keep: bool, method: str) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() not in ("content-length", "server")]
    lines += ["Server: rdskit", f"Content-Length: {len(answer.body)}"]
    lines += [] if keep else ["Connection: close"]
    # A line break in a header would split the response.
    if any("\r" in line or "\n" in line for line in lines):
        raise OSError("an answer's header has a line break")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", errors="replace")
    return head if method == "HEAD" else head + answer.body


def _too_large(limit: int) -> MalformedRequestError:
    return MalformedRequestError(f"the body is longer than {limit} bytes", status=413, code=_TOO_LARGE)


def _refuse(client: socket.socket) -> None:
    """Answer that there is no room, if the socket's buffer takes it, and close."""
    fault = Fault("ServiceUnavailable", "The local RDS has too many connections at the moment: try again.", 503)
    with contextlib.closing(client), contextlib.suppress(OSError):
        client.settimeout(_MOMENT)
        client.sendall(_encoded(render(fault, None, ""), keep=False, method=""))
        client.shutdown(socket.SHUT_WR)
        client.recv(_PIECE)  # closing with unread bytes sends a reset, which may overtake the answer
