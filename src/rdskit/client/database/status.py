"""What a database says of itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.client.pool import Retired
from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.pool import Pool, PoolStats


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters and sizes at one moment.

    Attributes:
        writer: the writer's pool.
        readers: the readers' pools, by identifier.
        reads_by_reader: reads that each reader has served.
        reads_sent_to_writer: reads that no reader was fresh enough for.
        failures: signs that the writer failed: calls and idle connections that were lost.
    """

    writer: PoolStats
    readers: dict[str, PoolStats]
    reads_by_reader: dict[str, int]
    reads_sent_to_writer: int
    failures: int


@dataclass(frozen=True, slots=True)
class HostHealth:
    """One host's sign of life.

    Attributes:
        latency: seconds for a round trip, waiting for a connection included; None when there was no answer.
        problem: why there was none.
    """

    name: str
    endpoint: str
    latency: float | None
    problem: str | None = None

    @classmethod
    async def of(cls, name: str, pool: Pool, timeout: float) -> HostHealth:
        """Ask one host, for ``timeout`` seconds at most."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            lease = await pool.acquire(Deadline.after(timeout))
            try:
                await lease.connection.ping(timeout)
            finally:
                lease.give_back()
        except (RdskitError, DriverError, Retired) as error:
            return cls(name, str(pool.endpoint), None, str(error))
        return cls(name, str(pool.endpoint), loop.time() - started)


@dataclass(frozen=True, slots=True)
class Health:
    """Signs of life of all hosts."""

    writer: HostHealth
    readers: tuple[HostHealth, ...]

    @property
    def ok(self) -> bool:
        """Whether the application can write."""
        return self.writer.problem is None
