"""Receive the binary log of MySQL or MariaDB as a replica.

Sources: MySQL source, ``libbinlogevents`` and "COM_BINLOG_DUMP_GTID" of the protocol documentation; MariaDB
documentation, "Replication Protocol": a replica that sends ``@slave_connect_state`` and no file name starts by GTID.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants.COMMAND import COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID, COM_REGISTER_SLAVE

from rdskit.drivers.mysql.failures import failed, timed_out
from rdskit.errors import FailoverError, StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import GtidPosition, GtidSet
from rdskit.kernel.replication import BinlogFile

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rdskit.drivers.mysql.session import PreparedSession
    from rdskit.kernel.endpoints import Endpoint

_BY_GTID: Final = 4  # BINLOG_THROUGH_GTID
_FIRST_EVENT: Final = 4  # offset: a binary log file begins with four magic bytes
_EOF: Final = 0xFE


class BinlogConnection:
    """A connection that receives the binary log.

    Attributes:
        endpoint: the host.
    """

    def __init__(self, session: PreparedSession, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._raw = session.raw
        self._is_mariadb = session.flavor.is_mariadb

    async def start(
        self, position: BinlogFile | GtidSet | GtidPosition, *, server_id: int, heartbeat: float, timeout: float | None
    ) -> None:
        """Register as a replica and start receiving events."""
        await self._within(self._start(position, server_id, heartbeat), timeout)

    async def receive(self) -> bytes:
        """Return the next event as the server sent it: header, body and checksum."""
        data: bytes = await self._within(self._next(), None)
        if data[0] == _EOF:
            lost = FailoverError(f"{self.endpoint} ended the binary log: connect again to go on")
            raise DriverError(Failure.LOST, lost)
        return data[1:]

    async def close(self, timeout: float) -> None:  # noqa: ARG002 - the port's; the server is not awaited here
        """Drop the socket: a server that is sending its log reads no quit message."""
        self._raw.close()

    async def _start(self, position: BinlogFile | GtidSet | GtidPosition, server_id: int, heartbeat: float) -> None:
        raw = self._raw
        await raw.query(self._settings(position, heartbeat))
        registration = struct.pack("<IBBBHII", server_id, 0, 0, 0, 0, 0, 0)  # no host, user or password to report
        await raw._execute_command(COM_REGISTER_SLAVE, registration)  # noqa: SLF001 - asyncmy has no call for it
        await raw._read_ok_packet()  # noqa: SLF001 - same
        if isinstance(position, GtidSet):
            await raw._execute_command(COM_BINLOG_DUMP_GTID, _dump_by_gtid(position, server_id))  # noqa: SLF001 - same
            return
        name, offset = position if isinstance(position, BinlogFile) else ("", _FIRST_EVENT)
        dump = struct.pack("<IHI", offset, 0, server_id) + name.encode()
        await raw._execute_command(COM_BINLOG_DUMP, dump)  # noqa: SLF001 - same

    def _settings(self, position: BinlogFile | GtidSet | GtidPosition, heartbeat: float) -> str:
        """Return the SET statement of a replica: without its variables the server sends events without checksums."""
        settings = {
            "master_binlog_checksum": "@@global.binlog_checksum",
            "master_heartbeat_period": str(int(heartbeat * 1e9)),
        }
        if self._is_mariadb:
            settings["mariadb_slave_capability"] = "4"  # it understands GTID events
            if isinstance(position, GtidPosition):
                settings["slave_connect_state"] = f"'{position}'"
        else:
            settings["source_binlog_checksum"] = settings["master_binlog_checksum"]
            settings["source_heartbeat_period"] = settings["master_heartbeat_period"]
            settings["slave_uuid"] = settings["replica_uuid"] = f"'{uuid.uuid4()}'"
        return "set " + ", ".join(f"@{name} = {value}" for name, value in settings.items())

    async def _next(self) -> bytes:
        packet = await self._raw.read_packet()
        return bytes(packet.get_all_data())

    async def _within(self, call: Coroutine[Any, Any, Any], timeout: float | None) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return await call
        except TimeoutError:
            self._raw.close()
            raise timed_out(self.endpoint) from None
        except Exception as error:
            raise failed(error, self.endpoint, connected=self._raw.connected) from error


def _dump_by_gtid(known: GtidSet, server_id: int) -> bytes:
    """Return the payload of COM_BINLOG_DUMP_GTID."""
    encoded = _encode_gtid_set(known)
    head = struct.pack("<HII", _BY_GTID, server_id, 0)  # no file name
    return head + struct.pack("<QI", _FIRST_EVENT, len(encoded)) + encoded


def _encode_gtid_set(known: GtidSet) -> bytes:
    """Encode a GTID set: each source's UUID and its intervals, whose ends are exclusive on the wire."""
    parts = [struct.pack("<Q", len(known.intervals))]
    for source, intervals in known.intervals.items():
        if ":" in source:
            message = f"GTIDs with a tag ({source}) cannot be sent: begin at a file and offset"
            raise DriverError(Failure.REFUSED, StatementError(message))
        parts.append(uuid.UUID(source).bytes + struct.pack("<Q", len(intervals)))
        parts.extend(struct.pack("<QQ", first, last + 1) for first, last in intervals)
    return b"".join(parts)
