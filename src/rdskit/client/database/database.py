"""The database object that an application talks to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.capacity import check_budget
from rdskit.client.database.executor import Executor
from rdskit.client.database.inheritance import belongs_to_this_process
from rdskit.client.database.observed import ObservedExecutor
from rdskit.client.database.queries import DEFAULT, Queries
from rdskit.client.database.status import Health, HostHealth, Stats
from rdskit.client.failover import Cluster
from rdskit.client.pool import holding
from rdskit.client.replicas import Readers, Written
from rdskit.client.transactions import Transaction, begin, begin_text, repeat
from rdskit.errors import ConfigError
from rdskit.kernel.sql import StatementCache
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import Observers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from rdskit.client.database.options import Options
    from rdskit.client.database.resolve import Resolved
    from rdskit.client.statements import Source
    from rdskit.kernel.ports import Result
    from rdskit.kernel.sql.insert import OnConflict
    from rdskit.kernel.topology import Topology
    from rdskit.runtime.tasks import TaskOwner

T = TypeVar("T")
_HEALTH_TIMEOUT = 2.0  # seconds for one host's sign of life


class Database(Queries):
    """A cluster with its pools. Made by ``rdskit.connect``; safe for use by many tasks of one event loop.

    All methods that talk to the server take ``timeout=``: seconds for the whole call, waiting for a connection and
    retries included; None for no limit. Parameters are keywords, or one mapping as second argument.
    """

    def __init__(self, resolved: Resolved, options: Options, owner: TaskOwner) -> None:
        self._options = options
        self._timeout = options.timeout
        self._tasks = owner
        self._statements = StatementCache(resolved.dialect)
        self._cluster = Cluster(
            resolved.source,
            resolved.access,
            options.limits,
            readers=options.readers == "auto",
            observers=Observers(options.observers),
        )
        self._written = Written(owner)
        self._name = str(resolved.target)
        self._readers: Readers | None = None
        self._executor: Executor
        self._refusal: str | None = None
        belongs_to_this_process(self)

    async def _start(self) -> None:
        await self._cluster.start(Deadline.after(min(self._timeout or 30.0, self._options.limits.connect_timeout * 2)))
        await check_budget(self._cluster, self._options.limits, self._options.processes)
        self._readers = Readers(self._cluster, self._tasks) if self._options.readers == "auto" else None
        executor = ObservedExecutor if self._cluster.observers else Executor
        self._executor = executor(self._cluster, self._readers, self._written, self._options.consistency)

    def __repr__(self) -> str:
        return f"<rdskit.Database {self._name}{' (closed)' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether it can be used no more."""
        return self._refusal is not None

    def leave_to_parent(self) -> None:
        """Be of no use in this process, which was forked from the one that opened it; called by the fork itself."""
        self._refusal = self._refusal or (
            f"the database {self._name} was opened by the process that this one was forked from, and its connections "
            "belong there: connect anew after the fork"
        )

    # -- many rows -------------------------------------------------------------------------------------------------

    async def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        timeout: float | None = DEFAULT,
    ) -> Result:
        """Insert many rows, all or none: by COPY on PostgreSQL, by statements of many rows on MySQL and MariaDB.

        Args:
            table: its name, with the schema in front where it needs one (``sales.orders``), in exact spelling.
            rows: mappings with the same keys, which are the columns: any iterable or async iterable, read while the
                rows are sent. If it can be read again, the whole insert is repeated after a failover.
            on_conflict: what happens to a row that is there already: ``"ignore"`` keeps it, ``"update"`` overwrites its
                given columns; None refuses the whole insert.
            key: the columns of the unique key that tells a row that is there; by default the primary key for
                ``"update"`` and any unique key for ``"ignore"``. MySQL and MariaDB look at every unique key in any
                case; there it only says which columns are not overwritten.
            timeout: seconds for the whole call. Without it, the timeout of ``connect`` counts for each portion that
                the server is sent, and the time that ``rows`` take does not count.

        Returns:
            How many rows were inserted or updated.

        Raises:
            ConfigError: a row has other keys than the first one; nothing was inserted.
            IntegrityError: a constraint refused a row; nothing was inserted.
            OutcomeUnknown: the connection was lost while the insert was committed.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_rows(table, rows, on_conflict, key)

        return await self._send(send, rows, timeout)

    async def execute_many(self, sql: str, sets: Source, *, timeout: float | None = DEFAULT) -> Result:
        """Run a statement for each parameter set, all in one transaction; pipelined on PostgreSQL.

        Args:
            sql: one statement with ``:name`` parameters that gives no rows.
            sets: mappings of its parameters: any iterable or async iterable, read while they are sent.
            timeout: as for ``insert_many``.

        Returns:
            How many rows it matched in all.
        """

        async def send(tx: Transaction) -> Result:
            return await tx.send_sets(sql, sets)

        return await self._send(send, sets, timeout)

    async def _send(
        self, send: Callable[[Transaction], Coroutine[Any, Any, Result]], source: Source, timeout: float | None
    ) -> Result:
        limit = None if timeout is DEFAULT else timeout
        if isinstance(source, Collection):  # what can be read once only is sent once only
            return await self.run(send, timeout=limit)
        async with self.transaction(timeout=limit) as tx:
            return await send(tx)

    # -- transactions ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction on the writer; it commits when the block ends, and rolls back when it raises.

        Args:
            isolation: ``read committed``, ``repeatable read``, ``serializable``; None for the server's default.
            read_only: refuse writes.
            deferrable: wait for a snapshot that cannot fail; needs serializable and read_only.
            timeout: seconds for the whole transaction; each statement has the timeout of ``connect`` besides.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent.
            FailoverError: the connection was lost before that; nothing was changed.
        """
        self._require_open()
        text = begin_text(isolation, read_only=read_only, deferrable=deferrable)
        deadline = Deadline.after(timeout)
        patience = Deadline.after(deadline.bounded(self._timeout) if self._timeout is not None else timeout)
        lease, transaction = await begin(self._cluster, self._statements, text, deadline, self._timeout, patience)
        try:
            with holding(lease.lender):
                yield transaction
            await transaction.commit()
        except BaseException as error:
            try:
                if isinstance(error, Exception):
                    await transaction.rollback()
            finally:  # a cancellation that arrives during the rollback must not keep the connection
                lease.dirty = lease.dirty or lease.connection.in_transaction
                if transaction.may_have_committed:
                    self._written.lost_track()
                lease.give_back()
            raise
        if transaction.writes and self._cluster.readers:
            self._written.wrote(lease)
        else:
            lease.give_back()

    async def run(
        self,
        closure: Callable[..., Awaitable[T]],
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        isolation: str | None = None,
        timeout: float | None = DEFAULT,
    ) -> T:
        """Run ``closure(tx, *args, **kwargs)`` in a transaction, as a whole again after a conflict or a failover.

        Args:
            closure: an async function; it may run several times, so it must do nothing outside the transaction that
                cannot be repeated.
            args: its positional arguments after the transaction.
            kwargs: its keyword arguments.
            isolation: as for ``transaction``.
            timeout: seconds for all attempts together.

        Returns:
            What the closure returned in the attempt that committed.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent; it is not run again.
            RdskitError: the last attempt's error, once the deadline has passed.
        """
        deadline = Deadline.after(self._timeout if timeout is DEFAULT else timeout)

        def attempt() -> contextlib.AbstractAsyncContextManager[Transaction]:
            return self.transaction(isolation=isolation, timeout=deadline.remaining())

        return await repeat(attempt, closure, args, kwargs or {}, deadline, self._cluster.retries)

    # -- what it is and how it does --------------------------------------------------------------------------------

    async def topology(self) -> Topology:
        """The hosts of the cluster as they were last seen."""
        self._require_open()
        return self._cluster.topology

    def stats(self) -> Stats:
        """Counters and sizes of every pool, and how reads were spread."""
        served = {reader.identifier: reader.served for reader in self._readers.known()} if self._readers else {}
        return Stats(
            writer=self._cluster.writer.stats(),
            readers={name: pool.stats() for name, pool in self._cluster.readers.items()},
            reads_by_reader=served,
            reads_sent_to_writer=self._readers.spilled if self._readers else 0,
            failures=self._cluster.failures,
            retries_left=self._cluster.retries.budget.retries_left,
        )

    async def health(self) -> Health:
        """Ask every host for a sign of life; never raises for a host that gives none."""
        self._require_open()
        writer, *readers = await asyncio.gather(
            HostHealth.of("writer", self._cluster.writer, _HEALTH_TIMEOUT),
            *(HostHealth.of(name, pool, _HEALTH_TIMEOUT) for name, pool in self._cluster.readers.items()),
        )
        return Health(writer=writer, readers=tuple(readers))

    async def close(self) -> None:
        """Close all connections; calls under way get a moment to end. May be called twice."""
        if self._refusal is None:
            self._refusal = f"the database {self._name} is closed; open it again with rdskit.connect"
            await self._tasks.close()
            await self._cluster.close()

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise ConfigError(self._refusal)


async def open_database(resolved: Resolved, options: Options, owner: TaskOwner) -> Database:
    """Make a database and prove that its writer can be used; whatever was begun is closed again when it cannot."""
    database = Database(resolved, options, owner)
    try:
        await database._start()  # noqa: SLF001 - the second half of construction, for which __init__ cannot wait
    except BaseException:
        await database.close()
        raise
    return database
