"""Ports and messages of replication connections, which stream a server's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.kernel.positions import GtidPosition, GtidSet, Lsn


class System(NamedTuple):
    """A PostgreSQL server's response to IDENTIFY_SYSTEM.

    Attributes:
        identifier: identifies the database cluster's data.
        timeline: the current timeline, which each promotion changes.
        position: the flushed end of its log.
        database: the database of the connection.
    """

    identifier: str
    timeline: int
    position: Lsn
    database: str | None


class WalData(NamedTuple):
    """A message of PostgreSQL's output plugin.

    Attributes:
        start: the start of its record; 0 for messages that are not in the log, such as a table's description.
        end: the end of the log when it was sent; 0 in the same cases.
        data: the plugin's message.
    """

    start: int
    end: int
    data: bytes


class Keepalive(NamedTuple):
    """A keepalive message of PostgreSQL.

    Attributes:
        end: the end of the log; an idle consumer may confirm it.
        wants_reply: the server closes the connection unless it receives a status soon.
    """

    end: int
    wants_reply: bool


class BinlogFile(NamedTuple):
    """A position in the binary log of MySQL or MariaDB: a file and the offset of an event in it."""

    name: str
    offset: int


class LogicalReplication(Protocol):
    """A PostgreSQL replication connection. Every method raises ``DriverError``."""

    async def command(self, text: str, timeout: float | None) -> list[dict[str, str | None]]:
        """Run a replication command or a simple query; return its rows as text."""
        ...

    async def identify(self, timeout: float | None) -> System:
        """Return the server's identity, and its current log position."""
        ...

    async def start(self, slot: str, position: Lsn, options: Mapping[str, str], timeout: float | None) -> None:
        """Start receiving a logical slot's changes.

        Args:
            slot: its name.
            position: where to start; the slot's confirmed position is used if that is later.
            options: the output plugin's options, such as ``proto_version``.
            timeout: seconds for the server's response.
        """
        ...

    async def receive(self) -> Sequence[WalData | Keepalive]:
        """Return all messages that have arrived, waiting for one if there is none."""
        ...

    def send_status(self, written: int, flushed: int, applied: int, *, wants_reply: bool = False) -> None:
        """Confirm positions to the server; the slot then keeps no log before ``flushed``."""
        ...

    async def close(self, timeout: float) -> None:
        """Close the connection; abort it after ``timeout`` seconds."""
        ...


class BinlogReplication(Protocol):
    """A MySQL or MariaDB connection that receives the binary log. Every method raises ``DriverError``."""

    async def start(
        self, position: BinlogFile | GtidSet | GtidPosition, *, server_id: int, heartbeat: float, timeout: float | None
    ) -> None:
        """Register as a replica and start receiving events.

        Args:
            position: where to start: a file, or the transactions that the receiver has already.
            server_id: a number that no other replica of the server uses.
            heartbeat: seconds without events after which the server sends a heartbeat event.
            timeout: seconds for the server's response.
        """
        ...

    async def receive(self) -> bytes:
        """Return the next event as the server sent it: header, body and checksum."""
        ...

    async def close(self, timeout: float) -> None:
        """Close the connection; abort it after ``timeout`` seconds."""
        ...
