"""What replication connections send: a server's log, as it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.kernel.positions import GtidPosition, GtidSet, Lsn


class System(NamedTuple):
    """A PostgreSQL server's answer to IDENTIFY_SYSTEM.

    Attributes:
        identifier: tells this cluster's data from that of any other.
        timeline: the current timeline, which each promotion makes a new one.
        position: where its log is flushed to.
        database: the database of the connection.
    """

    identifier: str
    timeline: int
    position: Lsn
    database: str | None


class WalData(NamedTuple):
    """A message of PostgreSQL's output plugin.

    Attributes:
        start: where its record begins; 0 for what is not in the log, such as a table's description.
        end: where the log ended when it was sent; 0 in the same cases.
        data: the message, as the plugin wrote it.
    """

    start: int
    end: int
    data: bytes


class Keepalive(NamedTuple):
    """PostgreSQL's sign of life.

    Attributes:
        end: where the log ends; an idle consumer may confirm that.
        wants_reply: the server closes the connection unless it gets a status soon.
    """

    end: int
    wants_reply: bool


class BinlogFile(NamedTuple):
    """A place in MySQL's or MariaDB's binary log: a file and the offset of an event in it."""

    name: str
    offset: int


class LogicalReplication(Protocol):
    """A PostgreSQL replication connection. Every method raises ``DriverError``."""

    async def command(self, text: str, timeout: float | None) -> list[dict[str, str | None]]:
        """Run a replication command or a simple query; return its rows as text."""
        ...

    async def identify(self, timeout: float | None) -> System:
        """Return which server this is, and where its log is."""
        ...

    async def start(self, slot: str, position: Lsn, options: Mapping[str, str], timeout: float | None) -> None:
        """Begin to receive a logical slot's changes.

        Args:
            slot: its name.
            position: where to begin; what the slot has confirmed counts if that is later.
            options: of the output plugin, such as ``proto_version``.
            timeout: seconds for the server's answer.
        """
        ...

    async def receive(self) -> Sequence[WalData | Keepalive]:
        """Return all messages that have arrived, waiting for one if there is none."""
        ...

    def send_status(self, written: int, flushed: int, applied: int, *, wants_reply: bool = False) -> None:
        """Confirm positions; the slot keeps no log before ``flushed``."""
        ...

    async def close(self, timeout: float) -> None:
        """Close the connection; drop the socket after ``timeout`` seconds."""
        ...


class BinlogReplication(Protocol):
    """A MySQL or MariaDB connection that receives the binary log. Every method raises ``DriverError``."""

    async def start(
        self, position: BinlogFile | GtidSet | GtidPosition, *, server_id: int, heartbeat: float, timeout: float | None
    ) -> None:
        """Register as a replica and begin to receive events.

        Args:
            position: where to begin: a file, or the transactions that are known already.
            server_id: a number that no other replica of the server has.
            heartbeat: seconds without events after which the server sends a heartbeat event.
            timeout: seconds for the server's answer.
        """
        ...

    async def receive(self) -> bytes:
        """Return the next event as the server sent it: header, body and checksum."""
        ...

    async def close(self, timeout: float) -> None:
        """Close the connection; drop the socket after ``timeout`` seconds."""
        ...
