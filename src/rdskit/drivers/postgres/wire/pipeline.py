"""One PostgreSQL connection that carries the reads of many tasks.

Each read is Bind, Execute and Sync, so that an error affects its own read only. The server answers in the order of the
requests, and ends each response by ReadyForQuery. Responses are matched by their order. Any unexpected message ends the
connection, so that no response can reach another caller. Source: PostgreSQL manual, "Extended Query" and "Pipelining".
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.drivers.postgres.failures import mapped
from rdskit.drivers.postgres.wire import messages
from rdskit.drivers.postgres.wire.decoding import shape_of
from rdskit.drivers.postgres.wire.encoding import LARGEST_REQUEST, bind_of
from rdskit.errors import FailoverError
from rdskit.kernel.failures import Failure
from rdskit.kernel.pipelining import Elsewhere, Read
from rdskit.kernel.ports import DriverError
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rdskit.drivers.postgres.wire.decoding import Reading
    from rdskit.drivers.postgres.wire.encoding import Writing
    from rdskit.kernel.endpoints import Endpoint

LARGEST_RESULT: Final = 256 << 10
"""Bytes of one result; a larger one goes to the pooled path."""

_log = logging.getLogger("rdskit.pipeline")
_MOST_STATEMENTS: Final = 256
_MOST_UNSENT: Final = 256 << 10  # bytes that wait for the network
_length: Final = struct.Struct("!I").unpack_from
_HEADER: Final = 5
_SHORTEST: Final = 4

# The kinds of messages, as numbers: the parser compares one for each message.
_BIND_COMPLETE, _DATA_ROW, _COMPLETE, _SUSPENDED, _READY, _ERROR = b"2DCsZE"
_ASIDE: Final = frozenset(b"NSA")  # notices, settings and notifications arrive at any time
_IDLE: Final = ord("I")
# The stage of the response to a read.
_BEGINNING, _ROWS, _ENDED = range(3)
#: Errors for which the read goes to the pool: the statement may be out of date, or was cancelled for another read.
_OUTDATED: Final = frozenset({"0A000", "26000", "42P05", "XX000", "57014"})
_HARMLESS: Final = frozenset({Failure.REFUSED, Failure.CONFLICT})


class _Prepared(NamedTuple):
    """A statement that the server has prepared for this connection."""

    name: bytes
    bind: Callable[[Any, bool], bytes]
    row: Callable[[bytes, int], Any]


class _Step:
    """An internal request among the reads: it prepares a statement, or drops one."""

    def __init__(self, expected: bytes, answer: asyncio.Future[dict[int, bytes]] | None) -> None:
        self.expected = expected
        self.answer = answer
        self.taken: dict[int, bytes] = {}

    def finish(self, error: Exception | None) -> None:
        if self.answer is None or self.answer.done():
            return
        if error is None:
            self.answer.set_result(self.taken)
        else:
            self.answer.set_exception(error)


class PostgresPipeline(asyncio.Protocol):
    """Implement the port with one pipelined connection; see `Pipeline` for its attributes."""

    def __init__(
        self,
        raw: Any,
        endpoint: Endpoint,
        readings: Mapping[int, Reading],
        writings: Mapping[int, Writing],
    ) -> None:
        """Use the socket of a connection that is logged in and idle.

        Args:
            raw: asyncpg's connection.
            endpoint: the host.
            readings: by type oid, the decoders of columns.
            writings: by type oid, the encoders of arguments.
        """
        self.endpoint = endpoint
        self.broken = False
        self.writable = True
        self.batch = 0
        self.answered = 0
        self.round_trip = math.inf
        self._raw = raw
        self._before = raw._protocol  # noqa: SLF001 - must see connection_lost, or asyncpg warns of an open connection
        self._transport: Any = raw._transport  # noqa: SLF001 - asyncpg has no way to detach it
        self._readings = readings
        self._writings = writings
        standby = getattr(raw.get_settings(), "in_hot_standby", "off")
        self.role = Role.READER if standby == "on" else Role.WRITER
        self._loop = asyncio.get_running_loop()
        self._statements: dict[str, _Prepared] = {}
        self._made = 0
        self._pending: deque[Read | _Step] = deque()
        self._out: list[bytes] = []
        self._rest = b""
        self._begin()
        self._cancels = False
        self._gone = self._loop.create_future()
        self._on_end: Callable[[], None] = lambda: None
        self._on_large: Callable[[Read], None] = lambda _: None
        self._transport.set_write_buffer_limits(high=_MOST_UNSENT)
        self._transport.set_protocol(self)

    def watch(self, on_end: Callable[[], None], on_large: Callable[[Read], None]) -> None:
        """Set what is called when the connection has ended, and when a result is too large."""
        self._on_end, self._on_large = on_end, on_large

    @property
    def in_flight(self) -> int:
        """Return how many requests were sent and are not answered."""
        return len(self._pending)

    @property
    def head(self) -> Read | None:
        """Return the read whose answer comes next."""
        head = self._pending[0] if self._pending else None
        return head if isinstance(head, Read) else None

    # -- sending ---------------------------------------------------------------------------------------------------

    def knows(self, text: str) -> bool:
        """Return whether a statement is prepared."""
        return text in self._statements

    async def prepare(self, text: str) -> bool:
        """Prepare a statement; return whether all of its types can be pipelined."""
        if len(text) > LARGEST_REQUEST or self.broken:
            return False
        self._made += 1
        name = b"p%d" % self._made
        taken: asyncio.Future[dict[int, bytes]] = self._loop.create_future()
        self._request(messages.parse_and_describe(name, text), _Step(b"1tTn", taken))
        asked_at = self._loop.time()
        answer = await taken
        self.round_trip = min(self.round_trip, self._loop.time() - asked_at)
        described = answer.get(ord("T"))
        shape = None if described is None else shape_of(messages.columns(described), self._readings)
        oids = messages.parameter_types(answer[ord("t")])
        bind = None if shape is None else bind_of(name, oids, shape.formats, self._writings)
        if shape is None or bind is None or self.broken:
            self._drop(name)
            return False
        while len(self._statements) >= _MOST_STATEMENTS:
            self.forget(next(iter(self._statements)))
        self.forget(text)
        self._statements[text] = _Prepared(name, bind, shape.row)
        return True

    def forget(self, text: str) -> None:
        """Drop a prepared statement; reads of it that are under way are answered before that."""
        if (prepared := self._statements.pop(text, None)) is not None:
            self._drop(prepared.name)

    def _drop(self, name: bytes) -> None:
        if not self.broken:
            self._request(messages.close_statement(name), _Step(b"3", None))

    def send(self, read: Read) -> bool:
        """Send a read with this loop turn's other requests; return False if an argument needs a pooled connection."""
        prepared = self._statements.get(read.text)
        if prepared is None:
            return False
        try:
            request = prepared.bind(read.args, read.one)
        except Exception as error:  # noqa: BLE001 - the pooled path converts the argument, or raises the right error
            _log.debug("an argument needs a pooled connection: %s", type(error).__name__)
            return False
        read.row = prepared.row
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(request)
        self._pending.append(read)
        return True

    def _request(self, request: bytes, step: _Step) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(request)
        self._pending.append(step)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.broken and out:
            self.batch = len(out)
            self._transport.write(b"".join(out))

    def pause_writing(self) -> None:
        """Record that the network accepts no more data for now."""
        self.writable = False

    def resume_writing(self) -> None:
        """Record that the network accepts data again."""
        self.writable = True

    # -- receiving -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Reset the state for the next response."""
        self._stage = _BEGINNING
        self._row: Callable[[bytes, int], Any] | None = None
        self._rows: list[Any] = []
        self._size = 0
        self._error: Exception | None = None

    def data_received(self, data: bytes) -> None:  # noqa: C901, PLR0912 - the hot path of each message, so in one piece
        """Parse the received messages; a partial one is kept until its rest arrives."""
        if self._rest:
            data = self._rest + data
        place, end = 0, len(data)
        pending = self._pending
        while place + _HEADER <= end:
            if self.broken:
                return
            kind = data[place]
            (length,) = _length(data, place + 1)
            after = place + 1 + length
            if after > end:
                if length > LARGEST_RESULT:
                    self._too_large(kind)
                    return
                break
            if length < _SHORTEST:
                self._protocol_violation()
                return
            head = pending[0] if pending else None
            if type(head) is not Read or kind == _ERROR or kind in _ASIDE:
                self._take(kind, data[place + _HEADER : after], head)
            elif kind == _DATA_ROW and self._stage == _ROWS:
                self._size += length
                if self._row is not None:
                    try:
                        self._rows.append(self._row(data, place + 7))
                    except Exception as error:  # noqa: BLE001 - the pooled path raises the right error
                        self._row, self._error = None, error
                    if self._size > LARGEST_RESULT:
                        self._too_large(kind)
                        return
            elif kind == _READY and self._stage == _ENDED and data[place + _HEADER] == _IDLE:
                pending.popleft()
                self.answered += 1
                future = head.future
                if self._error is not None:
                    self._fail(head, self._error)
                elif not future.done():
                    rows = self._rows
                    future.set_result((rows[0] if rows else None) if head.one else rows)
                self._begin()
            elif kind == _BIND_COMPLETE and self._stage == _BEGINNING:
                self._stage = _ROWS
                self._row = None if head.future.done() else head.row
            elif kind in {_COMPLETE, _SUSPENDED} and self._stage == _ROWS:
                self._stage = _ENDED
            else:
                self._protocol_violation()
                return
            place = after
        self._rest = data[place:]

    def _take(self, kind: int, payload: bytes, head: Read | _Step | None) -> None:
        """Handle a message that is not a normal part of a read's response."""
        if kind in _ASIDE:
            if kind == ord("S"):
                self._learn(*messages.parameter_status(payload))
        elif kind == _ERROR:
            self._refused(payload, head)
        elif isinstance(head, _Step):
            if kind == _READY and payload[0] == _IDLE:
                self._pending.popleft()
                head.finish(self._error)
                self._begin()
            elif kind in head.expected:
                head.taken[kind] = payload
            else:
                self._protocol_violation()
        else:
            self._protocol_violation()

    def _learn(self, name: str, value: str) -> None:
        if name == "in_hot_standby":
            self.role = Role.READER if value == "on" else Role.WRITER
            self._lost()  # a promoted or restarted host needs a new connection
        elif name == "client_encoding":
            self._protocol_violation()

    def _refused(self, payload: bytes, head: Read | _Step | None) -> None:
        error = messages.server_error(payload)
        text = head.text if isinstance(head, Read) else "prepare"
        driver_error = mapped(error, text, self.endpoint)
        driver_error.__cause__ = error
        if head is None or driver_error.failure not in _HARMLESS:
            self._lost()
            return
        self._error = driver_error
        self._stage = _ENDED
        if isinstance(head, Read):
            sqlstate = str(error.sqlstate)
            if sqlstate in _OUTDATED or sqlstate.startswith("42"):
                self.forget(head.text)
                self._error = Elsewhere(sqlstate)

    def _fail(self, read: Read, error: Exception) -> None:
        read.refuse(error if isinstance(error, DriverError | Elsewhere) else Elsewhere(type(error).__name__))

    def _too_large(self, kind: int) -> None:
        head = self.head
        if kind != _DATA_ROW or head is None:
            self._protocol_violation()
        else:
            self._on_large(head)

    def _protocol_violation(self) -> None:
        """End the connection over a message that the protocol does not allow at this point."""
        self._lost()

    def connection_lost(self, error: Exception | None) -> None:
        """Record the end of the connection."""
        self._before.connection_lost(error)
        if not self._gone.done():
            self._gone.set_result(None)
        self._lost()

    def _lost(self) -> None:
        if not self.broken:
            self.broken = True
            lost = DriverError(Failure.LOST, FailoverError(f"connection to {self.endpoint} was lost"))
            for each in self._pending:
                if isinstance(each, _Step):
                    each.finish(lost)
            self._on_end()

    # -- ending ----------------------------------------------------------------------------------------------------

    def reads(self) -> list[Read]:
        """Return the reads that are not answered and whose callers wait, the oldest first."""
        return [each for each in self._pending if isinstance(each, Read) and not each.future.done()]

    def release(self) -> list[Read]:
        """Return the reads after the head, and discard their responses when they arrive."""
        released: list[Read] = []
        for place in range(1, len(self._pending)):
            read = self._pending[place]
            if isinstance(read, Read) and not read.future.done():
                released.append(read)
                self._pending[place] = self._discarded(read)
        return released

    def _discarded(self, read: Read) -> Read:
        unwanted = self._loop.create_future()
        unwanted.cancel()
        return Read(read.text, (), unwanted, read.due, one=read.one)

    def end(self, *, cancel: bool = False) -> list[Read]:
        """End the connection at once and return the reads that were not answered."""
        reads = self.reads()
        self._cancels = cancel
        if not self.broken:
            self._on_end = lambda: None  # the caller itself ends it
            self._lost()
        self._pending.clear()
        self._rest = b""
        return reads

    async def close(self, timeout: float) -> None:
        """Wait until the socket is closed; abort it after ``timeout`` seconds."""
        self.end(cancel=self._cancels)  # unless it was ended before
        try:
            if self._cancels and not self._gone.done():
                await self._raw.request_cancel()
                self._transport.abort()
            elif not self._gone.done():
                self._transport.write(messages.TERMINATE)
                self._transport.close()
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise
