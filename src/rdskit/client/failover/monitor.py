"""Host monitoring: a writer that falls silent without ending its connections, as behind a black hole, is noticed.

Calls alone cannot tell: a long query is silent too. So a host is probed beside them, only while a call has waited for
longer than usual. Silence by itself ends no call; it has the other hosts asked. Only when one of them knows another
writer, or the silence lasts for too long, are connections cut.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from rdskit.client.failover.health import PROBE_INTERVAL, Health, HostVerdict
from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from rdskit.client.failover.control_connections import ControlConnections
    from rdskit.client.pool import Pool
    from rdskit.kernel.ports import Connection

_PROBE_TIMEOUT: Final = 2.0  # seconds for one probe; a slow answer is one
_log = logging.getLogger("rdskit.failover")


class Watched(Protocol):
    """Whose writer is watched."""

    writer: Pool

    def doubt(self) -> None:
        """Hear that the writer is late with an answer: others may know more."""
        ...

    def silenced(self) -> None:
        """Hear that the writer does not answer."""
        ...

    def heard(self) -> None:
        """Hear that it answers again."""
        ...


class HostMonitor:
    """Probes the writer while calls to it wait.

    Args:
        cluster: whose writer.
        lines: on which it is probed.
    """

    def __init__(self, cluster: Watched, lines: ControlConnections) -> None:
        self._cluster = cluster
        self._lines = lines
        self._loop = asyncio.get_running_loop()
        self._health = Health()
        self._pool: Pool | None = None
        self._probe: asyncio.Task[bool] | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the writer is late with an answer."""
        return self._pool is self._cluster.writer and self._health.silent_since is not None

    @property
    def silent_since(self) -> float | None:
        """Since when the writer that was probed last gives no answer; None where it does."""
        return self._health.silent_since

    async def watch(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                await asyncio.sleep(PROBE_INTERVAL)
                self._observe()
        finally:
            await self._end_probe()

    def _observe(self) -> None:
        pool = self._cluster.writer
        if pool is not self._pool:
            self._pool, self._health = pool, Health()
            self._give_probe_up()
        if self._probe is not None:
            self._judge(pool, self._probe)
        elif pool.oldest_checkout() <= self._loop.time() - PROBE_INTERVAL:
            self._probe = self._loop.create_task(self._ask(pool), name=f"probe {pool.endpoint}")
        else:
            self._health = Health()

    def _judge(self, pool: Pool, probe: asyncio.Task[bool]) -> None:
        now = self._loop.time()
        if probe.done():
            self._probe = None
        before = self._health.verdict(now)
        answered = probe.done() and probe.result()
        self._health = Health() if answered else self._health.missed(now - PROBE_INTERVAL)
        verdict = self._health.verdict(now)
        if verdict is HostVerdict.LOST:
            pool.cut()
            self._health = Health()
        if verdict is HostVerdict.DOUBTFUL:
            self._cluster.doubt()
        elif verdict is not HostVerdict.ANSWERS:
            self._cluster.silenced()
        elif before is not HostVerdict.DOUBTFUL and before is not verdict:
            self._cluster.heard()

    async def _ask(self, pool: Pool) -> bool:
        """Whether the host answers; one that refuses connections tells so to its callers by itself."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                await self._lines.ask(pool.endpoint, _ping)
        except (DriverError, RdskitError, TimeoutError) as error:
            _log.debug("%s does not answer a probe: %s", pool.endpoint, error)
            return False
        return True

    def _give_probe_up(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    async def _end_probe(self) -> None:
        probe = self._probe
        self._give_probe_up()
        if probe is not None:
            await asyncio.wait([probe])


async def _ping(line: Connection) -> None:
    await line.ping(_PROBE_TIMEOUT)
