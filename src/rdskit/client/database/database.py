"""The database object that an application talks to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rdskit.client.database.capacity import check_budget
from rdskit.client.database.executor import Executor, writer_is_elsewhere
from rdskit.client.database.observed import ObservedExecutor
from rdskit.client.database.session import Session
from rdskit.client.database.status import Health, HostHealth, Stats
from rdskit.client.failover import Cluster
from rdskit.client.replicas import NothingWritten, Readers, Routines, Tokens, Written
from rdskit.client.transactions import Fences
from rdskit.errors import ConfigError
from rdskit.kernel.sql import StatementCache
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import Observers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.database.options import Options
    from rdskit.client.database.resolve import Resolved
    from rdskit.kernel.topology import Topology
    from rdskit.runtime.tasks import TaskOwner

_HEALTH_TIMEOUT = 2.0  # seconds for one host's sign of life


class Database(Session):
    """A cluster with its pools. Made by ``rdskit.connect``; safe for use by many tasks of one event loop.

    All methods that talk to the server take ``timeout=``: seconds for the whole call, waiting for a connection and
    retries included; None for no limit. Parameters are keywords, or one mapping as second argument.
    """

    def __init__(self, resolved: Resolved, options: Options, owner: TaskOwner) -> None:
        cluster = Cluster(
            resolved.source,
            resolved.access,
            options.limits,
            readers=options.readers != "off",
            observers=Observers(options.observers),
        )
        super().__init__(
            str(resolved.target),
            cluster,
            StatementCache(resolved.dialect, options.readable),
            Written(owner),
            Tokens(resolved.source.cluster, options.token_key),
            options.timeout,
            Fences(),
        )
        self._options = options
        self._tasks = owner
        self._readers: Readers | None = None
        self._routines = Routines(cluster, self._statements, owner)

    async def _start(self) -> None:
        await self._cluster.start(Deadline.after(min(self._timeout or 30.0, self._options.limits.connect_timeout * 2)))
        if not self._cluster.takes_writes:
            self._become_reader()
        await check_budget(self._cluster, self._options.limits, self._options.processes)
        if self._options.readers != "off":
            self._readers = Readers(self._cluster, self._tasks, self._options.spill)
        self._executor = self._executor_for(self._written)

    def _become_reader(self) -> None:
        """The target is for reading: there is nothing to write, and so nothing to wait for."""
        if self._options.consistency == "strong":
            raise ConfigError(
                f"consistency='strong' reads from the writer, and {self._name} leads to readers only: connect by the "
                "cluster's own endpoint, or choose 'session' or 'eventual'"
            )
        self._hears_of_writes(NothingWritten(self._tasks))

    def _executor_for(self, written: Written) -> Executor:
        executor = ObservedExecutor if self._cluster.observers else Executor
        return executor(self._cluster, self._readers, written, self._routines, self._options.consistency)

    @contextlib.asynccontextmanager
    async def session(self, *, after: str | None = None) -> AsyncIterator[Session]:
        """Narrow "read your writes" to one user or one request: ``async with db.session() as s``.

        Reads through the session wait for its own writes, and not for those of the whole application, so that more of
        them are answered by readers. It uses the connections of the database and costs nothing to open.

        Args:
            after: a ``token()`` whose writes all of its reads shall see too.

        Raises:
            ConfigError: the token is not one of ours, or of another cluster.
            StaleReadError: it has expired, and this database leads to readers only.
        """
        self._require_open()
        written = type(self._written)(self._tasks)
        seen = self._tokens.read(after)
        if seen is None and not self._cluster.takes_writes:
            raise writer_is_elsewhere(self._cluster.writer.endpoint)
        if seen is None or not (self._readers is None or self._readers.can_tell(seen)):
            written.lost_track()
        else:
            written.position = seen
        session = Session(
            self._name, self._cluster, self._statements, written, self._tokens, self._timeout, self._fences
        )
        session._executor = self._executor_for(written)  # noqa: SLF001 - ours to begin with
        try:
            yield session
        finally:
            await session.close()

    # -- what it is and how it does --------------------------------------------------------------------------------

    async def topology(self) -> Topology:
        """The hosts of the cluster as they were last seen; just after connecting, once they have been looked up."""
        self._require_open()
        return await self._cluster.settled()

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
            HostHealth.of("writer" if self._cluster.takes_writes else "entry", self._cluster.writer, _HEALTH_TIMEOUT),
            *(HostHealth.of(name, pool, _HEALTH_TIMEOUT) for name, pool in self._cluster.readers.items()),
        )
        return Health(writer=writer, readers=tuple(readers))

    async def close(self) -> None:
        """Close all connections; calls under way get a moment to end. May be called twice."""
        if self._refusal is None:
            self._refusal = f"the database {self._name} is closed; open it again with rdskit.connect"
            await self._tasks.close()
            await self._cluster.close()


async def open_database(resolved: Resolved, options: Options, owner: TaskOwner) -> Database:
    """Make a database and prove that its writer can be used; whatever was begun is closed again when it cannot."""
    database = Database(resolved, options, owner)
    try:
        await database._start()  # noqa: SLF001 - the second half of construction, for which __init__ cannot wait
    except BaseException:
        await database.close()
        raise
    return database
