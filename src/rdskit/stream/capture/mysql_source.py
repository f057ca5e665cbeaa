"""MySQL and MariaDB as a source: the binary log, from a GTID on."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any, Final, cast

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import GtidPosition, GtidSet
from rdskit.stream.capture.binlog import Decoder
from rdskit.stream.capture.binlog_tables import Collations
from rdskit.stream.capture.checkpoints import Checkpoints
from rdskit.stream.capture.snapshot import Chunk, chunk_query
from rdskit.stream.capture.source import lost
from rdskit.stream.capture.tables import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.api import Database
    from rdskit.kernel.positions import Position
    from rdskit.kernel.replication import BinlogReplication
    from rdskit.stream.capture.model import Event, Stored, Table

_TIMEOUT: Final = 30.0  # seconds for the answer to a command
_HEARTBEAT: Final = 5.0  # seconds
_MISSING_LOG: Final = 1236  # ER_MASTER_FATAL_ERROR_READING_BINLOG: purged, or GTIDs that the server never had
_SERVER_IDS: Final = (1 << 30, (1 << 32) - 1)
_BATCH: Final = 500  # events at once


class MysqlSource:
    """Reads the binary log.

    Args:
        db: the database; statements go to the writer.
        name: of the consumer.
        tables: that are captured.
    """

    needs_slot: Final = False

    def __init__(self, db: Database, name: str | None, tables: Sequence[Table]) -> None:
        self._db = db
        self._name = name or "(no name)"
        self._tables = {(table.schema, table.name): table for table in tables}
        self._marks = Checkpoints(db, self._name)
        self._stack = contextlib.AsyncExitStack()
        self._binlog: BinlogReplication | None = None
        self._decoder: Decoder | None = None
        self._is_mariadb: bool | None = None
        self._collations: Collations | None = None

    async def system(self) -> str:
        """Return nothing: GTIDs tell which data they are of."""
        return ""

    async def begin(self, at: Position | None) -> Position:
        """Return where to begin."""
        if at is not None:
            await self._require(at)
            return at
        return await self._now()

    async def resume(self, stored: Stored) -> None:
        """Verify that the log from a checkpoint on is there.

        Raises:
            MustRefetch: changes are lost.
        """
        assert stored.position is not None
        await self._require(stored.position)

    async def _now(self) -> Position:
        if await self._mariadb():
            return GtidPosition.parse(await self._db.fetch_value("select @@global.gtid_binlog_pos"))
        return GtidSet.parse(await self._db.fetch_value("select @@global.gtid_executed"))

    async def _require(self, position: Position) -> None:
        """MariaDB says itself what is missing, when the log is asked for."""
        now = await self._now()
        if type(now) is not type(position):
            raise ConfigError(f"{position} is no position of this server: give one that a change of it had")
        if not now.covers(position):
            raise lost(self._name, f"the server has come to {now}, and the checkpoint is beyond that: {position}")
        if not await self._mariadb():
            purged = GtidSet.parse(await self._db.fetch_value("select @@global.gtid_purged"))
            if not position.covers(purged):
                raise lost(self._name, "the server has purged binary logs that were not read")

    async def _mariadb(self) -> bool:
        if self._is_mariadb is None:
            self._is_mariadb = "mariadb" in (await self._db.fetch_value("select version()")).lower()
        return self._is_mariadb

    async def connect(self, position: Position) -> None:
        """Open a connection and receive what follows a position.

        Raises:
            MustRefetch: the server does not have the log from there on.
            DriverError: the connection failed.
        """
        await self.close()
        await self._require(position)
        if self._collations is None:
            rows = await self._db.fetch_all("select id, character_set_name from information_schema.collations")
            self._collations = Collations({row[0]: row[1] for row in rows if row[0] is not None})
        schema = await self._db.fetch_value("select database()")
        known = cast("GtidSet | GtidPosition", position)
        self._decoder = Decoder(self._tables, schema, self._collations, known)
        binlog = cast("BinlogReplication", await self._stack.enter_async_context(api.replication(self._db)))
        number = random.randint(*_SERVER_IDS)  # noqa: S311 - no secret
        await binlog.start(known, server_id=number, heartbeat=_HEARTBEAT, timeout=_TIMEOUT)
        self._binlog = binlog

    async def receive(self) -> list[Event]:
        """Return the events of a transaction, or a part of it."""
        binlog, decoder = self._binlog, self._decoder
        if binlog is None or decoder is None:
            raise ConnectionResetError("the connection was closed")
        events: list[Event] = []
        try:
            while not events or not (decoder.is_between or len(events) >= _BATCH):
                decoder.take(await binlog.receive(), events)
        except DriverError as error:
            if getattr(error.public, "errno", None) == _MISSING_LOG:
                raise lost(
                    self._name, f"the server does not have the binary log from its checkpoint on: {error}"
                ) from error
            raise
        return events

    def confirm(self, position: Position | None) -> None:
        """Do nothing: the server keeps its log for a time, not for a consumer."""

    async def close(self) -> None:
        """Close the connection."""
        self._binlog = None
        await self._stack.aclose()

    async def chunk(self, table: Table, after: tuple[Any, ...] | None, limit: int, marks: tuple[str, str]) -> Chunk:
        """Read the next rows of a table between two marks."""
        low, high = marks
        query, params = chunk_query(table, quoted(table, "`"), "`", after, limit)
        await self._marks.mark(low)
        rows = await self._db.fetch_all(query, params)
        await self._marks.mark(high)
        return Chunk(table, rows, low, high, None, len(rows) < limit)

    async def drop(self) -> None:
        """Do nothing: the server knows no consumers."""
