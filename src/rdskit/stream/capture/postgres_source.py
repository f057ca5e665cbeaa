"""PostgreSQL as a source: a logical slot and a publication, both named after the consumer."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from rdskit.client import api
from rdskit.errors import ConfigError, FailoverError, MustRefetch
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import Lsn
from rdskit.kernel.replication import WalData
from rdskit.stream.capture.model import Passed
from rdskit.stream.capture.pgoutput import PREFIX, Decoder, read_relation
from rdskit.stream.capture.postgres_values import SCALARS, ServerType
from rdskit.stream.capture.snapshot import Chunk, Seen, chunk_query
from rdskit.stream.capture.source import lost
from rdskit.stream.capture.tables import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.client.api import Database
    from rdskit.kernel.positions import Position
    from rdskit.kernel.replication import LogicalReplication
    from rdskit.stream.capture.model import Event, Stored, Table

_TIMEOUT: Final = 30.0  # seconds for the answer to a replication command; a new slot waits for running transactions
_SLOT_TIMEOUT: Final = 300.0
_FAILOVER_SLOTS: Final = 17_00_00
#: What the text of values looks like; `postgres_values` reads these formats.
_SETTINGS: Final = (
    "set datestyle = 'ISO, YMD'",
    "set intervalstyle = 'iso_8601'",
    "set timezone = 'UTC'",
    "set bytea_output = 'hex'",
    "set extra_float_digits = 1",
)
_SLOT: Final = """
select active, wal_status::text as status, confirmed_flush_lsn::text as confirmed, plugin::text as plugin,
       database::text as database
from pg_replication_slots where slot_name = :slot
"""
_TYPES: Final = """
select oid::int8 as oid, case when typtype = 'd' then typbasetype else 0 end::int8 as base,
       case when typcategory = 'A' then typelem else 0 end::int8 as element, typdelim::text as delimiter
from pg_type where oid = any(cast(:oids as oid[]))
"""
_PUBLISHED: Final = """
select schemaname::text as schema, tablename::text as name from pg_publication_tables where pubname = :name
"""
_OBJECT_IN_USE: Final = "55006"
_PATIENCE: Final = 60.0  # seconds for the server to notice that the last reader of a slot has died
_PAUSE: Final = 0.1


class PostgresSource:
    """Reads a slot.

    Args:
        db: the database; statements go to the writer.
        name: of the consumer; None for a temporary slot, which ends with the connection.
        tables: that are captured.
    """

    needs_slot: Final = True

    def __init__(self, db: Database, name: str | None, tables: Sequence[Table]) -> None:
        self._db = db
        self._slot = object_name(name or uuid.uuid4().hex[:12])
        self._is_temporary = name is None
        self._tables = tables
        self._wal: LogicalReplication | None = None
        self._is_streaming = False
        self._stack = contextlib.AsyncExitStack()
        self._decoder = Decoder({}, 0)
        self._types: dict[int, ServerType] = {}
        self._in_transaction = False
        self._confirmed = 0

    async def system(self) -> str:
        """Return what identifies the server's data."""
        return (await (await self._idle()).identify(_TIMEOUT)).identifier

    async def begin(self, at: Position | None) -> Position:
        """Create publication and slot; return where it begins.

        Args:
            at: where to begin; None for now.

        Raises:
            MustRefetch: the server no longer has the log of ``at``: PostgreSQL keeps it for a slot only.
        """
        await self._publish()
        found = await self._db.fetch_one(_SLOT, slot=self._slot)
        if at is not None:
            if found is None or Lsn.parse(found["confirmed"]) > cast("Lsn", at):
                raise MustRefetch(
                    f"the log behind {at} is not kept, because there was no slot {self._slot!r} before it: begin with "
                    "start='snapshot'"
                )
            self._confirmed = int(cast("Lsn", at))
            return at
        if found is not None and not self._is_temporary:
            await self._db.execute("select pg_drop_replication_slot(:slot)", slot=self._slot)
        wal = await self._idle()
        if self._is_temporary:
            return await self._create(wal, "TEMPORARY ", "")
        version = await self._db.fetch_value("select current_setting('server_version_num')::int")
        return await self._create(wal, "", ", FAILOVER true" if version >= _FAILOVER_SLOTS else "")

    async def _create(self, wal: LogicalReplication, kind: str, options: str) -> Position:
        text = f"CREATE_REPLICATION_SLOT {self._slot} {kind}LOGICAL pgoutput (SNAPSHOT 'nothing'{options})"
        (row,) = await wal.command(text, _SLOT_TIMEOUT)
        begin = Lsn.parse(row["consistent_point"] or "0/0", (await wal.identify(_TIMEOUT)).timeline)
        self._confirmed = int(begin)
        return begin

    async def resume(self, stored: Stored) -> None:
        """Verify that the server has the same data as at the checkpoint.

        Raises:
            MustRefetch: changes are lost.
        """
        if stored.system != await self.system():
            raise lost(self._slot, "the server is another one than the one it was created on")
        self._confirmed = int(cast("Lsn", stored.confirmed or stored.position))

    async def _verify(self) -> None:
        """Verify that the slot is the one that was left, after a short loss of the connection too."""
        found = await self._db.fetch_one(_SLOT, slot=self._slot)
        if found is None:
            raise lost(self._slot, "the slot was dropped, or did not exist on the server that took over")
        if found["status"] == "lost":
            raise lost(self._slot, "the server has removed log that the slot needed (max_slot_wal_keep_size)")
        if Lsn.parse(found["confirmed"]) > self._confirmed:
            confirmed = Lsn(self._confirmed)
            why = f"the slot was recreated or read by others: it is at {found['confirmed']}, beyond {confirmed}"
            raise lost(self._slot, why)
        published = await self._published()
        if not published >= {(table.schema, table.name) for table in self._tables}:
            raise lost(self._slot, "its publication was dropped, or a table of it was dropped and created again")

    async def connect(self, position: Position) -> None:
        """Open a connection and receive what follows a position.

        Raises:
            MustRefetch: the server's log ends before the position, or the slot is another one.
            ConfigError: another process reads the slot.
            DriverError: the connection failed.
        """
        wal = await self._idle()
        system = await wal.identify(_TIMEOUT)
        (recovery,) = await wal.command("select pg_is_in_recovery()", _TIMEOUT)
        if recovery["pg_is_in_recovery"] == "t":
            await self.close()
            raise FailoverError("the host is a standby: the writer has moved")
        if cast("Lsn", position) > system.position:
            raise lost(self._slot, f"the server's log ends at {system.position}, before the checkpoint {position}")
        await self._verify()
        for setting in _SETTINGS:
            await wal.command(setting, _TIMEOUT)
        by_name = {(table.schema, table.name): table for table in self._tables}
        self._decoder = Decoder(by_name, system.timeline)
        options = {"proto_version": "1", "publication_names": f'"{self._slot}"', "messages": "true"}
        end = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            try:
                await wal.start(self._slot, cast("Lsn", position), options, _TIMEOUT)
            except DriverError as error:
                if getattr(error.public, "sqlstate", None) != _OBJECT_IN_USE:
                    raise
                if asyncio.get_running_loop().time() > end:
                    raise ConfigError(
                        f"slot {self._slot!r} is read by another process: stop it, or give this consumer another name"
                    ) from error
                await asyncio.sleep(_PAUSE)
            else:
                break
        self._is_streaming = True
        self._in_transaction = False

    async def _idle(self) -> LogicalReplication:
        """Return a connection that does not stream yet."""
        if self._wal is None or self._is_streaming:
            await self.close()
            connection = await self._stack.enter_async_context(api.replication(self._db))
            self._wal = cast("LogicalReplication", connection)
        return self._wal

    async def receive(self) -> list[Event]:
        """Return the events that have arrived, waiting for some if there are none."""
        assert self._wal is not None
        events: list[Event] = []
        while not events:
            for message in await self._wal.receive():
                if isinstance(message, WalData):
                    data = message.data
                    if data[0] == 82:  # noqa: PLR2004 - R
                        relation = read_relation(data)
                        await self._learn(relation.types)
                        self._decoder.describe(relation, self._types)
                        continue
                    self._decoder.take(data, events)
                    if data[0] in b"BC":
                        self._in_transaction = data[0] == 66  # noqa: PLR2004 - B
                else:
                    if not self._in_transaction:
                        events.append(Passed(Lsn(message.end, self._decoder.timeline)))
                    if message.wants_reply:
                        self.confirm(None)
        return events

    def confirm(self, position: Position | None) -> None:
        """Tell the server how far it may forget its log; None repeats the last, as a sign of life."""
        if position is not None:
            self._confirmed = max(self._confirmed, int(cast("Lsn", position)))
        if self._wal is not None and self._is_streaming:
            self._wal.send_status(self._confirmed, self._confirmed, self._confirmed)

    async def close(self) -> None:
        """Close the connection."""
        self._wal, self._is_streaming = None, False
        await self._stack.aclose()

    async def chunk(self, table: Table, after: tuple[Any, ...] | None, limit: int, marks: tuple[str, str]) -> Chunk:
        """Read the next rows of a table, with the snapshot that shows them."""
        low, high = marks
        query, params = chunk_query(table, quoted(table, '"'), '"', after, limit)
        async with self._db.transaction(isolation="repeatable read", read_only=True) as tx:
            seen = Seen.parse(await tx.fetch_value("select pg_current_snapshot()::text"))
            rows = await tx.fetch_all(query, params)
        await self._db.execute("select pg_logical_emit_message(true, :prefix, :mark)", prefix=PREFIX, mark=high)
        return Chunk(table, rows, low, high, seen, len(rows) < limit)

    async def drop(self) -> None:
        """Drop slot and publication."""
        if not self._is_temporary:
            await self._db.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = :slot",
                slot=self._slot,
            )
        await self._db.execute(f'drop publication if exists "{self._slot}"')

    async def _learn(self, oids: Iterable[int]) -> None:
        """Ask what the types are that are not built in, and those that they consist of."""
        unknown = {oid for oid in oids if oid not in SCALARS and oid not in self._types}
        while unknown:
            found = await self._db.fetch_all(_TYPES, oids=list(unknown))
            # A type that was dropped since then is read as text.
            self._types |= dict.fromkeys(unknown, ServerType(0, 0, ","))
            self._types |= {row["oid"]: ServerType(row["base"], row["element"], row["delimiter"]) for row in found}
            parts = {part for row in found for part in (row["base"], row["element"]) if part}
            unknown = {part for part in parts if part not in SCALARS and part not in self._types}

    async def _publish(self) -> None:
        """Create the publication, or have it contain the tables."""
        listed = ", ".join(quoted(table, '"') for table in self._tables)
        if await self._db.fetch_one("select 1 from pg_publication where pubname = :name", name=self._slot) is None:
            options = "with (publish_via_partition_root = true)"
            await self._db.execute(f'create publication "{self._slot}" for table {listed} {options}')
        elif await self._published() != {(table.schema, table.name) for table in self._tables}:
            await self._db.execute(f'alter publication "{self._slot}" set table {listed}')

    async def _published(self) -> set[tuple[str, str]]:
        rows = await self._db.fetch_all(_PUBLISHED, name=self._slot)
        return {(row["schema"], row["name"]) for row in rows}


def object_name(name: str) -> str:
    """Return the name of a consumer's slot and publication."""
    return f"rdskit_{name}"
