"""The database object that an application talks to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rdskit.client.database.context import session_context
from rdskit.client.database.executor import writer_is_elsewhere
from rdskit.client.database.session import Session
from rdskit.client.database.status import Health, HostHealth, Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.database.context import SessionContext
    from rdskit.kernel.topology import Topology

_HEALTH_TIMEOUT = 2.0  # seconds for one host's sign of life


class Database(Session):
    """A cluster with its pools. Made by ``rdskit.connect``; safe for use by many tasks of one event loop.

    All methods that talk to the server take ``timeout=``: seconds for the whole call, waiting for a connection and
    retries included; None for no limit. Parameters are keywords, or one mapping as second argument.
    """

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._shared = context.shared
        self._readers = context.shared.readers

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
        written = self._shared.nothing_written()
        seen = self._tokens.read(after)
        if seen is None and not self._cluster.takes_writes:
            raise writer_is_elsewhere(self._cluster.writer.endpoint)
        if seen is None or not (self._readers is None or self._readers.can_tell(seen)):
            written.lost_track()
        else:
            written.position = seen
        session = Session(session_context(self._shared, written))
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
            reads_sent_to_writer=self._readers.sent_to_writer if self._readers else 0,
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
            await self._shared.owner.close()
            await self._cluster.close()
