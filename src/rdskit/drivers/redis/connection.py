"""One connection to a Redis or Valkey server, pipelined over all tasks.

Replies come in the order of the commands (RESP2), so a reply belongs to the oldest request that waits. A caller that
gives up leaves its place in the queue; the reply that comes later is dropped. So a cancelled call costs nothing, and
nothing is ever read by the wrong caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

from rdskit.kernel.key_value import Command, KeyValueRefused, KeyValueUnreachable
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GIVE_UP: Final = 6  # silences after which the connection is replaced
_INCOMPLETE: Final = object()


# The types of hiredis say a tuple of one word.
_packed: Callable[[Command], bytes] = cast("Any", hiredis.pack_command)


class _Request:
    __slots__ = ("answer", "replies", "sent_at", "wanted")

    def __init__(self, answer: asyncio.Future[Any], wanted: int, sent_at: float) -> None:
        self.answer = answer
        self.wanted = wanted  # replies; 0 for the single reply of a single command
        self.replies: list[Any] = []
        self.sent_at = sent_at


class Connection(asyncio.Protocol):
    """The protocol of one connection.

    Args:
        timeout: seconds after which a request that was not answered fails; its reply is dropped when it comes.
        on_silence: called once when the server has left a request without an answer for `SILENCE` seconds.

    Attributes:
        lost: resolved when the connection has ended.
        sent: number of requests sent.
    """

    def __init__(self, silence: float, on_silence: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = silence
        self._silence = silence
        self._on_silence = on_silence
        self._silent = False
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._waiting: deque[_Request] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.sent = 0

    # -- requests --------------------------------------------------------------------------------------------------

    def request(self, command: Command) -> asyncio.Future[Any]:
        """Send one command; the future gets its reply, or raises `KeyValueRefused`."""
        return self._send(_packed(command), 0)

    def pipeline(self, commands: Sequence[Command]) -> asyncio.Future[Any]:
        """Send several commands; the future gets all replies, errors among them."""
        return self._send(b"".join(map(_packed, commands)), len(commands))

    def _send(self, packed: bytes, wanted: int) -> asyncio.Future[Any]:
        answer = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(KeyValueUnreachable("the connection to the cache is lost"))
            return answer
        self.sent += 1
        self._waiting.append(_Request(answer, wanted, self._loop.time()))
        # What all tasks send in one turn of the loop goes out in one system call.
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout / 2, self._look_at_clock)
        return answer

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None:
            self._transport.write(b"".join(outgoing))

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- called by the loop ----------------------------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                self._answered(reply)
        except (hiredis.ProtocolError, IndexError):  # no Redis speaks at the other end
            self.abort()

    def _answered(self, reply: Any) -> None:
        request = self._waiting[0]
        self._silent = False
        if isinstance(reply, hiredis.ReplyError):
            reply = KeyValueRefused(str(reply))
        if request.wanted:
            request.replies.append(reply)
            if len(request.replies) < request.wanted:
                return
            reply = request.replies
        self._waiting.popleft()
        if request.answer.done():  # the caller has given up
            return
        if isinstance(reply, KeyValueRefused):
            request.answer.set_exception(reply)
        else:
            request.answer.set_result(reply)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for request in self._waiting:
            _fail(request.answer, "the connection to the cache was lost")
        self._waiting.clear()
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)

    def _look_at_clock(self) -> None:
        """Fail the requests that wait too long; the loop calls it while there are any.

        The loop hands received data to ``data_received`` before it runs timers, so a loop that was blocked does not
        take a reply that lies in the socket for one that is late.
        """
        self._timer = None
        if not self._waiting:
            return
        now = self._loop.time()
        for request in self._waiting:
            if now - request.sent_at < self.timeout:
                break
            _fail(request.answer, f"the cache did not answer within {self.timeout:g} s")
        silence = now - self._waiting[0].sent_at
        if silence >= self._silence and not self._silent:
            self._silent = True
            self._on_silence()
        if silence >= self._silence * _GIVE_UP:
            self.abort()
        else:
            self._timer = self._loop.call_later(self.timeout / 2, self._look_at_clock)


def _fail(answer: asyncio.Future[Any], reason: str) -> None:
    if not answer.done():
        answer.set_exception(KeyValueUnreachable(reason))
        answer.exception()  # a caller that was cancelled never asks for it
