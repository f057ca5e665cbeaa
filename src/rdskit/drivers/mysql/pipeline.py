"""One MySQL or MariaDB connection that carries the reads of many tasks.

Each read is one COM_STMT_EXECUTE packet. The server answers in the order in which it was asked, and numbers the packets
of each answer from 1. Whatever else arrives ends the connection, so that no answer can reach another caller. Source:
MariaDB documentation, "COM_STMT_EXECUTE" and "Result set packets".

asyncmy logs in, prepares statements and runs each for the first time, while no read is under way. Then its functions
write the arguments and read the rows, so the values are those of the pooled path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncmy import connection as asyncmy_connection
from asyncmy.errors import MySQLError, raise_mysql_exception
from asyncmy.protocol import _parse_cached_binary_result, pack_binary_params  # type: ignore[attr-defined]

from rdskit.drivers.mysql.failures import failed, number_of
from rdskit.drivers.mysql.statements import Prepared, Statements
from rdskit.kernel.failures import Failure
from rdskit.kernel.pipelining import Elsewhere, Read
from rdskit.kernel.ports import DriverError
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rdskit.drivers.mysql.session import PreparedSession
    from rdskit.kernel.endpoints import Endpoint

LARGEST_RESULT: Final = 256 << 10
"""Bytes of one result; a larger one goes to the pooled path."""

_log = logging.getLogger("rdskit.pipeline")
_LARGEST_REQUEST: Final = 32 << 10
_MOST_UNSENT: Final = 256 << 10  # bytes that wait for the network
_MOST_CHANGES: Final = 3  # of a result's columns: a parameter among them may be described by its value
_EXECUTE: Final = b"\x17"
_QUIT: Final = b"\x01\x00\x00\x00\x01"
_HEADER: Final = 4  # bytes: the length of a packet and its number
_ERROR, _LAST = 0xFF, 0xFE
_LONGEST_LAST: Final = 9  # bytes: a longer packet that begins so is a row
_PLAIN_STATEMENT: Any = asyncmy_connection.PreparedStatement
#: Unknown statement; must be prepared again; no such table, column or function: what the pool says about is current.
_OUTDATED: Final = frozenset({1243, 1615, 1054, 1146, 1305, 1317, 3024, 1969})
_HARMLESS: Final = frozenset({Failure.REFUSED, Failure.CONFLICT})


class _Learned(NamedTuple):
    """A statement that has run here with arguments of some types.

    Attributes:
        prepared: as the pooled path keeps it.
        header: what its packets begin with.
        columns: how many its result has.
        readers: asyncmy's codecs for these.
        packets: the packets that describe them; others mean that a table has changed.
    """

    prepared: Prepared
    header: bytes
    columns: int
    readers: tuple[Any, ...]
    packets: tuple[bytes, ...]


class MysqlPipeline(asyncio.Protocol):
    """One pipelined connection behind the port; see `Pipeline` for its attributes."""

    def __init__(self, session: PreparedSession, endpoint: Endpoint, reopen: Callable[[], Awaitable[Any]]) -> None:
        """Take over a session that is logged in, set up and idle.

        Args:
            session: asyncmy's connection and what is known of its server.
            endpoint: the host.
            reopen: opens another session, to cancel what runs on this one.
        """
        self.endpoint = endpoint
        self.role = session.role
        self.broken = False
        self.writable = True
        self.batch = 0
        self.answered = 0
        self.round_trip = math.inf
        self._session = session
        self._reopen = reopen
        self._raw: Any = session.raw
        self._transport: Any = self._raw._transport  # noqa: SLF001 - asyncmy has no way to give it up
        self._theirs: Any = self._raw._proto  # noqa: SLF001 - same
        self._two_marks = not self._raw._deprecate_eof  # noqa: SLF001 - columns end by a packet of their own
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskOwner(f"pipeline {endpoint}")
        self._statements = Statements(self._raw)
        self._learned: dict[tuple[Any, ...], _Learned] = {}
        self._refused: set[tuple[Any, ...]] = set()
        self._changes: Counter[tuple[Any, ...]] = Counter()
        self._pending: deque[tuple[Read, _Learned]] = deque()
        self._held: list[Read] = []  # sent when the statement that is being learned is known
        self._learning = False
        self._drained: asyncio.Future[None] | None = None
        self._out: list[bytes] = []
        self._buffer = bytearray()
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
        """Return how many reads were sent and are not answered, or wait to be sent."""
        return len(self._pending) + len(self._held) + self._learning

    @property
    def head(self) -> Read | None:
        """Return the read whose answer comes next."""
        return self._pending[0][0] if self._pending else None

    # -- statements ------------------------------------------------------------------------------------------------

    def knows(self, text: str) -> bool:  # noqa: ARG002 - a statement is learned by its first arguments
        """Return True: whether a statement can be pipelined shows when it has run once."""
        return True

    async def prepare(self, text: str) -> bool:  # noqa: ARG002 - same
        """Measure the network once; a statement is prepared for its first arguments, as these decide on its types."""
        if self.round_trip == math.inf and not self._learning:
            started = self._loop.time()
            with contextlib.suppress(DriverError):
                await self._alone(lambda: self._raw.ping(reconnect=False))
            self.round_trip = self._loop.time() - started
        return not self.broken

    async def _learn(self, key: tuple[Any, ...], args: Sequence[Any]) -> None:
        """Prepare a statement and run it once, for what asyncmy then knows of its columns."""
        try:
            await self._alone(lambda: self._run_first(key, args))
        except DriverError as error:
            _log.debug("a statement is not pipelined: %s", type(error.public).__name__)
            self._refused.add(key)

    async def _run_first(self, key: tuple[Any, ...], args: Sequence[Any]) -> None:
        if (before := self._statements.pop(key, None)) is not None:
            await before.statement.close()  # sends, and waits for no answer
        prepared = await self._statements.prepare(key)
        statement = prepared.statement
        if not await statement._execute_cursor(args, prepared):  # noqa: SLF001 - asyncmy's short way
            prepared.take(self._raw._result)  # noqa: SLF001 - where it leaves an answer otherwise
        prepared.rows = ()
        meta = getattr(statement, "_meta", None) if type(statement) is _PLAIN_STATEMENT else None
        if meta is None or key not in self._statements:
            self._refused.add(key)
            return
        header = statement._execute_header  # noqa: SLF001 - same
        self._learned[key] = _Learned(prepared, header, meta[0], meta[4], meta[6])

    async def _alone(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let asyncmy use the connection while no read is under way; reads that come while it does wait.

        Raises:
            DriverError: the server refused, or the connection was lost.
        """
        self._learning = True
        try:
            if self._pending:
                self._drained = self._loop.create_future()
                await self._drained
            self._transport.set_protocol(self._theirs)
            await work()
        except Exception as error:
            mapped = error if isinstance(error, DriverError) else self._failed(error)
            if mapped.failure not in _HARMLESS:
                self._lost()
            raise mapped from error
        except BaseException:
            self._lost()
            raise
        finally:
            self._learning = False
            self._transport.set_protocol(self)
            held, self._held = self._held, []
            for read in held:
                if not self.send(read):
                    read.refuse(Elsewhere("not learned"))

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self, read: Read) -> bool:
        """Send a read with what else this turn of the loop sends; False if it needs a pooled connection."""
        if self.broken:
            return False
        try:
            args = tuple(self._raw.arguments.bound(read.args))
        except DriverError:
            return False
        learned = self._known((read.text, *map(type, args)), args)
        if learned is None:
            return False
        if self._learning:
            self._held.append(read)
            return True
        packet = _packet(learned, args)
        if packet is not None:
            learned.prepared.used = True
            if not self._out:
                self._loop.call_soon(self._flush)
            self._out.append(packet)
            self._pending.append((read, learned))
        return packet is not None

    def _known(self, key: tuple[Any, ...], args: Sequence[Any]) -> _Learned | None:
        """Return what is known of a statement; begin to learn it where that is nothing."""
        learned = self._learned.get(key)
        if learned is not None and learned.prepared.statement._closed:  # noqa: SLF001 - asyncmy's; dropped as the oldest
            del self._learned[key]
            learned = None
        if learned is None and key not in self._refused and not self._learning:
            self._learning = True  # from now on, as the task begins later
            self._tasks.spawn(self._learn(key, args), "learn a statement")
        return learned

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.broken and out:
            self.batch = len(out)
            self._transport.write(b"".join(out))

    def pause_writing(self) -> None:
        """Hear that the network takes no more for now."""
        self.writable = False

    def resume_writing(self) -> None:
        """Hear that the network takes more again."""
        self.writable = True

    # -- receiving -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read the answers that have arrived; a partial one waits for its rest."""
        if self.broken:
            return
        buffer, pending, place = self._buffer, self._pending, 0
        buffer += data
        end = len(buffer)
        while place < end and not self.broken:
            if not pending:
                self._lost()
                return
            after = self._answer(*pending[0], place, end)
            if after == place:
                break
            place = after
        del buffer[:place]
        if len(buffer) > LARGEST_RESULT and pending and not self.broken:
            self._on_large(pending[0][0])
        elif not pending and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _answer(self, read: Read, learned: _Learned, place: int, end: int) -> int:
        """Take the answer to the oldest read if all of it has arrived; return where the next one begins."""
        buffer = self._buffer
        if end - place <= _HEADER:
            return place
        if buffer[place + 3] != 1:  # the number of an answer's first packet
            self._lost()
            return place
        if buffer[place + _HEADER] == _ERROR:
            return self._take_error(read, place, end)
        complete, reason = None, "another shape"
        if buffer[place + _HEADER] == learned.columns and buffer[place] == 1:
            start, marks = place + _HEADER + 1, not self._two_marks
            described = learned.columns + self._two_marks
            try:
                complete = _parse_cached_binary_result(
                    buffer, start, end, 2, described, learned.readers, marks, learned.packets
                )
            except Exception as error:  # noqa: BLE001 - the pooled path says what is wrong with a value
                reason = type(error).__name__
        if complete is None:
            return self._leave_to_pool(place, reason)
        after, _, rows, _, _, has_next = complete
        if has_next:
            self._lost()
            return place
        self._pending.popleft()
        self.answered += 1
        if not read.future.done():
            self._give(read, learned, rows)
        return int(after)

    def _give(self, read: Read, learned: _Learned, rows: Sequence[tuple[Any, ...]]) -> None:
        row = learned.prepared.shape.row
        try:
            found: Any = (row(rows[0]) if rows else None) if read.one else list(map(row, rows))
        except DriverError:  # a codec could not read a value
            read.refuse(Elsewhere("a codec"))
        else:
            read.future.set_result(found)

    def _take_error(self, read: Read, place: int, end: int) -> int:
        size = int.from_bytes(self._buffer[place : place + 3], "little")
        after = place + _HEADER + size
        if after > end:
            return place
        try:
            raise_mysql_exception(bytes(self._buffer[place + _HEADER : after]))
        except MySQLError as error:
            mapped = self._failed(error)
            mapped.__cause__ = error
            if mapped.failure not in _HARMLESS:
                self._lost()
                return place
            self._pending.popleft()
            self.answered += 1
            read.refuse(Elsewhere(str(number_of(error))) if number_of(error) in _OUTDATED else mapped)
        return after

    def _leave_to_pool(self, begin: int, reason: str) -> int:
        """Have the pool answer the oldest read if its answer is here, but was not understood.

        Args:
            begin: where the answer begins.
            reason: why it was not.

        Returns:
            Where the next answer begins; ``begin`` if a part of this one is still to come.
        """
        place, number, marks, end = begin, 0, 0, len(self._buffer)
        while place + _HEADER <= end:
            size = int.from_bytes(self._buffer[place : place + 3], "little")
            number = number + 1 & 0xFF
            after = place + _HEADER + size
            if after > end:
                return begin
            if self._buffer[place + 3] != number or size in {0, 0xFFFFFF}:
                self._lost()
                return begin
            first = self._buffer[place + _HEADER]
            if first == _ERROR:  # in the place of rows
                after = self._take_error(self._pending[0][0], place, end)
                return begin if after == place else after
            place = after
            if first == _LAST and (size < _LONGEST_LAST or not self._two_marks):
                marks += 1
                if not self._two_marks or marks > 1:
                    read, learned = self._pending.popleft()
                    self.answered += 1
                    self._forget(learned)
                    read.refuse(Elsewhere(reason))
                    return place
        return begin

    def _forget(self, learned: _Learned) -> None:
        for key in [key for key, kept in self._learned.items() if kept is learned]:
            del self._learned[key]
            self._changes[key] += 1
            if self._changes[key] >= _MOST_CHANGES:
                self._refused.add(key)

    def _failed(self, error: Exception) -> DriverError:
        return failed(error, self.endpoint, connected=self._raw.connected)

    def eof_received(self) -> None:
        """Hear that the server sends no more."""
        self._lost()

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end."""
        self._theirs.connection_lost(error)
        if not self._gone.done():
            self._gone.set_result(None)
        self._lost()

    def _lost(self) -> None:
        if not self.broken:
            self.broken = True
            if self._drained is not None and not self._drained.done():
                self._drained.set_exception(ConnectionResetError("the connection was lost"))
            self._on_end()

    # -- ending ----------------------------------------------------------------------------------------------------

    def reads(self) -> list[Read]:
        """Return the reads that are not answered and whose callers wait, the oldest first."""
        return [read for read in (*(sent for sent, _ in self._pending), *self._held) if not read.future.done()]

    def release(self) -> list[Read]:
        """Return the reads behind the head, and discard their answers when they arrive."""
        released = [read for read in self._held if not read.future.done()]
        self._held.clear()
        for place in range(1, len(self._pending)):
            read, learned = self._pending[place]
            if not read.future.done():
                released.append(read)
                unwanted: asyncio.Future[Any] = self._loop.create_future()
                unwanted.cancel()
                self._pending[place] = (Read(read.text, (), unwanted, read.due, one=read.one), learned)
        return released

    def end(self, *, cancel: bool = False) -> list[Read]:
        """End the connection at once and return the reads that were not answered."""
        reads = self.reads()
        if not self.broken:
            self._on_end = lambda: None  # the caller knows
            self._cancels = cancel
            self._lost()
        self._pending.clear()
        self._held.clear()
        return reads

    async def close(self, timeout: float) -> None:
        """Close the socket; before that, have the server kill what is to be canceled."""
        self.end(cancel=self._cancels)
        await self._tasks.close()
        try:
            if self._cancels and not self._gone.done():
                async with asyncio.timeout(timeout):
                    await self._kill()
            elif not self._gone.done() and not self._transport.is_closing():
                self._transport.write(_QUIT)
                self._transport.close()
                async with asyncio.timeout(timeout):
                    await asyncio.shield(self._gone)
        except (DriverError, OSError) as error:  # a passed deadline too
            _log.debug("a pipelined connection was dropped: %s", type(error).__name__)
        finally:
            self._transport.abort()

    async def _kill(self) -> None:
        other = await self._reopen()
        try:
            await other.kill(self._session)
        finally:
            other.raw.close()


def _packet(learned: _Learned, args: tuple[Any, ...]) -> bytes | None:
    """Return the packet that runs a statement; None if the pooled path is to send it, or to say why it cannot."""
    try:
        payload = learned.header + pack_binary_params(args, "utf8") if args else learned.header
    except Exception as error:  # noqa: BLE001 - see above
        _log.debug("an argument needs a pooled connection: %s", type(error).__name__)
        return None
    size = len(payload) + 1
    return None if size > _LARGEST_REQUEST else size.to_bytes(3, "little") + b"\x00" + _EXECUTE + payload
