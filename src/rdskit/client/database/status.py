"""Define the statistics and health of a database."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rdskit.client.pool import Retired
from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.pool import Pool, PoolStats


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters and sizes at one moment. Counters never decrease, unless a host gets a new pool.

    Attributes:
        writer: the writer's pool. After a failover it is another host's, with counters of its own.
        readers: the readers' pools, by identifier.
        reads_by_reader: reads that each reader has answered, with rows or with an error of the statement. Lost,
            timed-out and cancelled reads are not counted.
        reads_sent_to_writer: reads that a reader might have served, but that went to the writer: no reader was fresh
            enough, or the chosen one failed.
        failures: how often the writer failed: a call or an idle connection was lost, a write was refused because the
            host is read-only, or the host did not answer.
        retries_left: how many more retries the retry budget allows now.
    """

    writer: PoolStats
    readers: dict[str, PoolStats]
    reads_by_reader: dict[str, int]
    reads_sent_to_writer: int
    failures: int
    retries_left: int


@dataclass(frozen=True, slots=True)
class HostHealth:
    """The result of one host's health check.

    Attributes:
        name: the host's identifier; ``writer`` for the writer.
        endpoint: as ``name:port``.
        latency: seconds for a round trip, including the wait for a connection; None without an answer.
        pool: statistics of its pool after the check.
        problem: why there was no answer, or None.
    """

    name: str
    endpoint: str
    latency: float | None
    pool: PoolStats
    problem: str | None = None

    @property
    def reachable(self) -> bool:
        """Whether it has answered."""
        return self.problem is None

    @classmethod
    async def of(cls, name: str, pool: Pool, timeout: float) -> HostHealth:
        """Ping one host, for ``timeout`` seconds at most."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            lease = await pool.acquire(Deadline.after(timeout))
            try:
                await lease.connection.ping(timeout)
            finally:
                lease.give_back()
        except (RdskitError, DriverError, Retired) as error:
            # `Retired` has no text; its name says that the pool was closed during the check.
            return cls(name, str(pool.endpoint), None, pool.stats(), str(error) or type(error).__name__)
        return cls(name, str(pool.endpoint), loop.time() - started, pool.stats())


@dataclass(frozen=True, slots=True)
class Health:
    """The health of all hosts, for a load balancer's check and for operators."""

    writer: HostHealth
    readers: tuple[HostHealth, ...]

    @property
    def ok(self) -> bool:
        """Whether the application can write; a load balancer should use this."""
        return self.writer.reachable

    @property
    def status(self) -> str:
        """``ok``; ``degraded`` if a reader does not answer; ``down`` if the writer does not."""
        if not self.ok:
            return "down"
        return "ok" if all(reader.reachable for reader in self.readers) else "degraded"

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values, for JSON."""
        return {"status": self.status, **asdict(self)}
