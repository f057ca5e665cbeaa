"""The stream that an application iterates over."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from rdskit.client import api
from rdskit.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    FailoverError,
    QueryTimeout,
    RdskitError,
    TLSError,
)
from rdskit.kernel.backoff import Backoff
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import Position
from rdskit.kernel.sql import Dialect
from rdskit.kernel.topology import EpochReason
from rdskit.runtime.tasks import TaskOwner
from rdskit.stream.capture.checkpoints import Checkpoints
from rdskit.stream.capture.checks import refuse_unfit
from rdskit.stream.capture.delivery import Delivery
from rdskit.stream.capture.model import Checkpoint, Stored
from rdskit.stream.capture.mysql_source import MysqlSource
from rdskit.stream.capture.postgres_source import PostgresSource
from rdskit.stream.capture.snapshot import Snapshot
from rdskit.stream.capture.source import lost
from rdskit.stream.capture.tables import describe_tables

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from types import TracebackType
    from typing import Self

    from rdskit.client.api import Database
    from rdskit.stream.capture.delivery import Delivered
    from rdskit.stream.capture.model import Kind, Table
    from rdskit.stream.capture.source import Source

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_CHUNK: Final = 1000  # rows of a snapshot that are read at once
_RECONNECT: Final = Backoff(base=0.2, cap=5.0)
_PASSING: Final = frozenset({Failure.LOST, Failure.UNWELL, Failure.READ_ONLY})
_LOGIN: Final = (AuthenticationError, TLSError)

_log = logging.getLogger("rdskit.stream")


class Change:
    """One row that was changed.

    Attributes:
        kind: ``read``, ``insert``, ``update``, ``delete`` or ``truncate``.
        table: the name as it stands in ``tables=``.
        old: the row before. On PostgreSQL only the columns of the replica identity, and for an update only where these
            have changed; the whole row with ``replica identity full``.
        new: the row after.
        transaction: the id of its transaction; empty for a row that was read by the snapshot.
        committed_at: when the transaction was committed; None for a row that was read by the snapshot.
        position: everything up to it was delivered, for ``start=`` of another consumer.
        is_last: the last change of its transaction.
    """

    __slots__ = ("_before", "_end", "_stream", "committed_at", "kind", "new", "old", "position", "table", "transaction")

    def __init__(self, stream: Stream, delivered: Delivered) -> None:
        self._stream = stream
        self.kind: Kind = delivered.kind
        self.table: str = delivered.table.given
        self.old: Any = delivered.old  # a Row, or None: which of the two, the kind tells
        self.new: Any = delivered.new
        self.transaction: str = delivered.transaction
        self.committed_at: dt.datetime | None = delivered.committed_at
        self.position: Position = delivered.position
        self._before = delivered.before
        self._end = delivered.end

    @property
    def is_last(self) -> bool:
        """Whether it is the last change of its transaction."""
        return self._end is not None

    async def done(self) -> None:
        """Store that this change and all before it are processed.

        The checkpoint moves at the end of a transaction: in the middle of one, the call stores what precedes it. After
        a crash the stream goes on behind the last checkpoint, so at most one transaction comes again if the consumer
        calls this for the last change of each.

        Raises:
            MustRefetch: the consumer was dropped.
            RdskitError: the checkpoint could not be stored.
        """
        await self._stream.done(self._end or self._before)

    def __repr__(self) -> str:
        return f"<Change {self.kind} {self.table} transaction={self.transaction!r}>"


class Changes:
    """What was committed, in the order of the commits; made by `changes`.

    Iterate over it once. It is closed when the loop ends; ``async with`` or `aclose` closes it at once.
    """

    def __init__(self, stream: Stream) -> None:
        # The stream knows nothing of the generator: a loop that is left drops the last reference, and asyncio ends it.
        self._generator = stream.run()

    def __aiter__(self) -> AsyncIterator[Change]:
        """Return the iterator."""
        return self._generator

    async def __aenter__(self) -> Self:
        """Return the stream; the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; slot and checkpoint stay, so that the stream can be continued."""
        await self._generator.aclose()


class Stream:
    """The state of a stream, and the tasks beside it.

    Args:
        db: the database.
        name: of the consumer, or None.
        tables: as the caller spelled them.
        start: where a new consumer begins.
        heartbeat: seconds between two signs of life.
    """

    def __init__(
        self, db: Database, name: str | None, tables: tuple[str, ...], start: str | Position, heartbeat: float
    ) -> None:
        self._db = api.routed(db, lambda _statement, _scope: api.Route.WRITER)
        self._name = name
        self._given = tables
        self._start = start
        self._heartbeat = heartbeat
        self._checkpoints = None if name is None else Checkpoints(self._db, name)
        self._saving = asyncio.Lock()
        self._tasks = TaskOwner("changes")
        self._source: Source | None = None
        self._delivery: Delivery | None = None
        self._snapshot: Snapshot | None = None
        self._saved = 0
        self._done_number = 0
        self._marks = 0
        self._failure: Exception | None = None

    async def run(self) -> AsyncGenerator[Change, None]:
        """Yield the changes."""
        try:
            source, tables, stored = await self._prepare()
            self._source = source
            assert stored.position is not None
            self._snapshot = Snapshot(tables, stored.snapshot) if stored.snapshot else None
            self._delivery = delivery = Delivery(Checkpoint(0, stored.position, stored.snapshot), self._snapshot)
            self._tasks.spawn(self._beat(), "heartbeat")
            self._tasks.spawn(self._follow(), "topology")
            while True:
                try:
                    await source.connect(delivery.reached.position)
                    source.confirm(None)
                    while True:
                        await self._read_on(source)
                        for delivered in delivery.take(await source.receive()):
                            yield Change(self, delivered)
                except (DriverError, FailoverError, ConnectError, OSError) as error:
                    await self._recover(error)
        finally:
            await self._tasks.close()
            if self._source is not None:
                await self._source.close()

    async def _prepare(self) -> tuple[Source, list[Table], Stored]:
        """Return the source, what it captures and where it goes on."""
        described = await describe_tables(self._db, self._given)
        tables = [each.table for each in described]
        stored = None if self._checkpoints is None else await self._checkpoints.load()
        is_postgres = api.dialect_of(self._db) is Dialect.POSTGRES
        source: Source = (PostgresSource if is_postgres else MysqlSource)(self._db, self._name, tables)
        self._source = source
        try:
            if stored is not None and stored.position is not None:
                if set(stored.tables) != set(self._given):
                    raise ConfigError(
                        f"consumer {self._name!r} was begun with the tables {', '.join(stored.tables)}: keep them, or "
                        "use another name"
                    )
                await source.resume(stored)
                return source, tables, stored
            await refuse_unfit(self._db, described, snapshot=self._start == "snapshot")
            return source, tables, await self._begin(source, tables, is_new=stored is None)
        except DriverError as error:
            raise error.public from error

    async def _begin(self, source: Source, tables: Sequence[Table], *, is_new: bool) -> Stored:
        system = await source.system()
        if is_new and self._checkpoints is not None:
            # Before the slot: one that a killed process leaves behind belongs to a consumer without a position.
            await self._checkpoints.create(self._given, system)
        at = self._start if isinstance(self._start, Position) else None
        position = await source.begin(at)
        snapshot = Snapshot.begin(tables) if self._start == "snapshot" else ""
        if self._checkpoints is not None:
            await self._checkpoints.save(position, position if source.needs_slot else None, snapshot)
        return Stored(position, position, snapshot, self._given, system)

    async def _read_on(self, source: Source) -> None:
        """Read the next chunk of the snapshot, unless one is under way."""
        wanted = None if self._snapshot is None else self._snapshot.wanted()
        if self._snapshot is None or wanted is None:
            return
        self._marks += 1
        stem = f"{id(self):x}.{asyncio.get_running_loop().time():.6f}.{self._marks}"
        self._snapshot.read(await source.chunk(*wanted, _CHUNK, (f"{stem}.low", f"{stem}.high")))

    async def _recover(self, error: Exception) -> None:
        """Wait until the writer answers again, after the connection to it was lost.

        Raises:
            RdskitError: it was not lost; the server refused.
        """
        assert self._source is not None
        assert self._delivery is not None
        if self._failure is not None:
            raise self._failure
        public = error.public if isinstance(error, DriverError) else error
        is_lost = error.failure in _PASSING if isinstance(error, DriverError) else not isinstance(error, _LOGIN)
        if not is_lost:
            raise public from error
        await self._source.close()
        if self._name is None and self._source.needs_slot:
            raise lost("a stream without a name", "its connection was lost, and with it its temporary slot") from error
        self._delivery.reconnected()
        if self._snapshot is not None:
            self._snapshot.reconnected()
        _log.warning("the connection of change stream %s was lost: %s", self._name or "(no name)", public)
        attempt = 1
        while True:
            await asyncio.sleep(_RECONNECT.delay(attempt, random.random()))  # noqa: S311 - jitter
            attempt += 1
            try:
                await self._db.fetch_value("select 1")  # the client looks for the writer
            except _LOGIN:
                raise
            except (FailoverError, ConnectError, QueryTimeout) as away:
                _log.warning("the writer of change stream %s is away: %s", self._name or "(no name)", away)
            else:
                return

    async def done(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint that the consumer has reached."""
        self._done_number = max(self._done_number, checkpoint.number)
        await self._save(checkpoint)

    async def _save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint unless a later one is stored, and then let the server forget its log."""
        source = self._source
        assert source is not None
        async with self._saving:
            if checkpoint.number <= self._saved:
                return
            if self._checkpoints is not None:
                confirmed = checkpoint.position if source.needs_slot else None
                await self._checkpoints.save(checkpoint.position, confirmed, checkpoint.snapshot)
            self._saved = checkpoint.number
        source.confirm(checkpoint.position)

    async def _beat(self) -> None:
        """Send signs of life, and store how far an idle stream has come: the server keeps no old log for it."""
        while True:
            await asyncio.sleep(self._heartbeat)
            assert self._source is not None
            assert self._delivery is not None
            try:
                if self._done_number >= self._delivery.handed:
                    await self._save(self._delivery.reached)
                self._source.confirm(None)
            except (FailoverError, ConnectError, QueryTimeout) as error:
                _log.warning("the checkpoint of change stream %s waits: %s", self._name or "(no name)", error)
            except RdskitError as error:
                self._failure = error
                await self._source.close()
                return

    async def _follow(self) -> None:
        """Drop the connection when the writer is another host: the old one may be alive, and send nothing any more."""
        first = True
        async for epoch in api.epochs(self._db):
            if not first and epoch.reason is EpochReason.MOVED and self._source is not None:
                await self._source.close()
            first = False


def changes(
    db: Database,
    *,
    tables: Sequence[str],
    name: str | None = None,
    start: Literal["snapshot", "now"] | Position = "now",
    heartbeat: float = 10.0,
) -> Changes:
    """Return the stream of what is committed in some tables.

    Args:
        db: the database; its user needs what ``rdskit changes check`` lists.
        tables: their names, ``orders`` or ``sales.orders``. Changes carry them as they are spelled here.
        name: of the consumer, under which its checkpoint is stored: lower-case letters, digits and ``_``. Without one
            the stream begins now, stores nothing, and ends with `MustRefetch` where the server cannot continue it.
        start: where a consumer without a checkpoint begins: ``snapshot`` reads all rows as ``read`` changes first,
            ``now`` leaves them out, and a position goes on behind it.
        heartbeat: seconds between two signs of life; as often, an idle stream stores how far it has come.

    Raises:
        ConfigError: an argument is wrong. What the database refuses is raised when the iteration begins.
    """
    given: Any = tables
    if isinstance(given, str) or not given or not all(isinstance(table, str) and table for table in given):
        raise ConfigError(f"tables={tables!r} is no list of names: write tables=['orders']")
    if name is not None and not _NAME.fullmatch(str(name)):
        raise ConfigError(f"name={name!r} is no name of a consumer: lower-case letters, digits and _, at most 48")
    if not isinstance(start, Position) and start not in {"snapshot", "now"}:
        raise ConfigError(f"start={start!r} is unknown: 'snapshot', 'now' or a position")
    if name is None and start != "now":
        raise ConfigError("start= needs name=, under which the checkpoint is stored")
    if not heartbeat > 0:
        raise ConfigError(f"heartbeat={heartbeat!r} is no number of seconds above 0")
    return Changes(Stream(db, name, tuple(dict.fromkeys(tables)), start, heartbeat))
