"""PostgreSQL replication connections: asyncpg logs in, then rdskit's own protocol uses its socket.

asyncpg supports neither CopyBothResponse nor a walsender, which has no extended query protocol. Its login is reused
because it handles TLS, SCRAM and errors. Sources: PostgreSQL manual, "Streaming Replication Protocol" and "Message
Formats".
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from asyncpg import PostgresError

from rdskit.errors import FailoverError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import Lsn
from rdskit.kernel.replication import Keepalive, System, WalData

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.kernel.endpoints import Endpoint

_HEADER: Final = struct.Struct("!cI")
_WAL_DATA: Final = struct.Struct("!cQQq")
_KEEPALIVE: Final = struct.Struct("!cQqB")
_STATUS: Final = struct.Struct("!cQQQqB")
_HIGH: Final = 4 << 20  # bytes in the buffer at which reading from the socket pauses, until they are taken
_Message = tuple[bytes, bytes]


class _Wire(asyncio.Protocol):
    """Split received bytes into messages and buffer them."""

    def __init__(self, transport: Any, before: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._before = before  # asyncpg's protocol: it must see connection_lost, or it warns of an open connection
        self._rest = b""
        self._messages: deque[_Message] = deque()
        self._size = 0
        self._paused = False
        self._arrived = asyncio.Event()
        self.lost: Exception | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Split the bytes into messages; pause reading when too many are buffered."""
        data, place = self._rest + data, 0
        while len(data) - place >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, place)
            end = place + 1 + length
            if end > len(data):
                break
            self._messages.append((kind, data[place + _HEADER.size : end]))
            self._size += length
            place = end
        self._rest = data[place:]
        if self._size > _HIGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._messages:
            self._arrived.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Record the end of the connection and wake the reader."""
        self.lost = error or ConnectionResetError("the server closed the connection")
        self._arrived.set()
        self._before.connection_lost(error)
        if not self.ended.done():
            self.ended.set_result(None)

    async def take(self) -> list[_Message]:
        """Return all buffered messages, waiting for one if there is none.

        Raises:
            Exception: the connection was lost, and no message is buffered any more.
        """
        while not self._messages:
            if self.lost is not None:
                raise self.lost
            self._arrived.clear()
            await self._arrived.wait()
        taken = list(self._messages)
        self._messages.clear()
        self._size = 0
        if self._paused and self.lost is None:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def put_back(self, messages: Sequence[_Message]) -> None:
        """Put messages back in front of the buffer."""
        self._messages.extendleft(reversed(messages))

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send one message with its header."""
        self._transport.write(_HEADER.pack(kind, len(payload) + 4) + payload)


class WalConnection:
    """A PostgreSQL replication connection.

    Attributes:
        endpoint: the host.
    """

    def __init__(self, raw: Any, endpoint: Endpoint, mapped: Callable[[Exception, str, object], DriverError]) -> None:
        """Replace the protocol of a connection that is logged in and idle.

        Args:
            raw: asyncpg's connection.
            endpoint: the host.
            mapped: returns the ``DriverError`` for an error of asyncpg's.
        """
        self.endpoint = endpoint
        self._mapped = mapped
        self._raw = raw
        self._transport: Any = raw._transport  # noqa: SLF001 - asyncpg has no way to detach it
        self._wire = _Wire(self._transport, raw._protocol)  # noqa: SLF001 - same
        self._transport.set_protocol(self._wire)

    async def command(self, text: str, timeout: float | None) -> list[dict[str, str | None]]:
        """Run a replication command or a simple query; return its rows as text."""
        rows: list[dict[str, str | None]] = []
        names: list[str] = []
        for kind, payload in await self._answer(text, timeout, b"Z"):
            if kind == b"T":
                names = _column_names(payload)
            elif kind == b"D":
                rows.append(dict(zip(names, _values(payload), strict=True)))
        return rows

    async def identify(self, timeout: float | None) -> System:
        """Return the server's identity, and its current log position."""
        (row,) = await self.command("IDENTIFY_SYSTEM", timeout)
        timeline = int(row["timeline"] or 0)
        return System(row["systemid"] or "", timeline, Lsn.parse(row["xlogpos"] or "0/0", timeline), row["dbname"])

    async def start(self, slot: str, position: Lsn, options: Mapping[str, str], timeout: float | None) -> None:
        """Start receiving a logical slot's changes."""
        listed = ", ".join(f"{name} {_literal(value)}" for name, value in options.items())
        given = f" ({listed})" if listed else ""
        await self._answer(f"START_REPLICATION SLOT {_identifier(slot)} LOGICAL {position}{given}", timeout, b"W")

    async def receive(self) -> Sequence[WalData | Keepalive]:
        """Return all messages that have arrived, waiting for one if there is none."""
        received: list[WalData | Keepalive] = []
        while not received:
            messages = await self._take("receive")
            for index, (kind, payload) in enumerate(messages):
                if kind == b"d":
                    received.append(_copied(payload))
                elif kind in b"Ec":  # an error, or the server's CopyDone when it shuts down
                    if received:
                        self._wire.put_back(messages[index:])
                        break
                    raise self._failure(kind, payload, "receive")
        return received

    def send_status(self, written: int, flushed: int, applied: int, *, wants_reply: bool = False) -> None:
        """Confirm positions to the server; the slot then keeps no log before ``flushed``."""
        self._wire.send(b"d", _STATUS.pack(b"r", written, flushed, applied, 0, wants_reply))

    async def close(self, timeout: float) -> None:
        """Close the connection; abort it after ``timeout`` seconds."""
        try:
            if self._wire.lost is None:
                self._wire.send(b"X", b"")
                self._transport.close()
                async with asyncio.timeout(timeout):
                    await asyncio.shield(self._wire.ended)
        except TimeoutError:
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise

    async def _answer(self, text: str, timeout: float | None, last: bytes) -> list[_Message]:
        """Send a simple query and return the messages up to the end of its answer."""
        self._wire.send(b"Q", text.encode() + b"\0")
        answer: list[_Message] = []
        error: DriverError | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    messages = await self._take(text)
                    for index, (kind, payload) in enumerate(messages):
                        answer.append((kind, payload))
                        if kind == b"E":
                            error = self._failure(kind, payload, text)
                        if kind in {last, b"Z"}:
                            self._wire.put_back(messages[index + 1 :])
                            if error is not None:
                                raise error
                            return answer
        except TimeoutError as late:
            self._transport.abort()
            raise self._mapped(late, text, self.endpoint) from late

    async def _take(self, text: str) -> list[_Message]:
        try:
            return await self._wire.take()
        except OSError as error:
            raise self._mapped(error, text, self.endpoint) from error

    def _failure(self, kind: bytes, payload: bytes, text: str) -> DriverError:
        if kind == b"c":
            lost = FailoverError(f"{self.endpoint} ended the replication: connect again to go on")
            return DriverError(Failure.LOST, lost)
        fields = {part[:1].decode(): part[1:].decode(errors="replace") for part in payload.split(b"\0") if part}
        error = PostgresError.new(fields)
        mapped = self._mapped(error, text, self.endpoint)
        mapped.__cause__ = error
        return mapped


def _copied(payload: bytes) -> WalData | Keepalive:
    if payload[:1] == b"w":
        _, start, end, _ = _WAL_DATA.unpack_from(payload)
        return WalData(start, end, payload[_WAL_DATA.size :])
    _, end, _, wants_reply = _KEEPALIVE.unpack_from(payload)
    return Keepalive(end, bool(wants_reply))


def _column_names(payload: bytes) -> list[str]:
    (count,) = struct.unpack_from("!H", payload)
    names, place = [], 2
    for _ in range(count):
        end = payload.index(b"\0", place)
        names.append(payload[place:end].decode())
        place = end + 1 + 18  # table, column, type, size, modifier, format
    return names


def _values(payload: bytes) -> list[str | None]:
    (count,) = struct.unpack_from("!H", payload)
    values: list[str | None] = []
    place = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", payload, place)
        place += 4
        values.append(None if length < 0 else payload[place : place + length].decode())
        place += max(length, 0)
    return values


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
