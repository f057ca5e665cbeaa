"""Detect a writer that stops answering without closing its connections, as behind a network that drops packets.

A running call alone proves nothing: a long query is silent too. So while a call takes longer than usual, the monitor
probes the host on a control connection. A missed probe ends no call; it makes the cluster ask the other hosts. The
connections are aborted only if another host reports a new writer, or if the silence lasts for too long.
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

_PROBE_TIMEOUT: Final = 2.0  # seconds for one probe; a slow answer counts as an answer
_log = logging.getLogger("rdskit.failover")


class Watched(Protocol):
    """The cluster, as its monitor sees it."""

    writer: Pool

    def doubt(self) -> None:
        """Note that the writer is late with an answer."""
        ...

    def silenced(self) -> None:
        """Note that the writer does not answer."""
        ...

    def heard(self) -> None:
        """Note that the writer answers again."""
        ...


class HostMonitor:
    """Probes the writer while calls wait for its answer.

    Args:
        cluster: the cluster whose writer is probed.
        connections: the control connections to probe it on.
    """

    def __init__(self, cluster: Watched, connections: ControlConnections) -> None:
        self._cluster = cluster
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._health = Health()
        self._pool: Pool | None = None
        self._probe: asyncio.Task[bool] | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the current writer has missed a probe."""
        return self._pool is self._cluster.writer and self._health.silent_since is not None

    @property
    def silent_since(self) -> float | None:
        """Since when the last probed writer has not answered; None if it answers."""
        return self._health.silent_since

    async def watch(self) -> None:
        """Probe the writer until cancelled."""
        try:
            while True:
                await asyncio.sleep(PROBE_INTERVAL)
                self._observe()
        finally:
            await self._end_probe()

    def _observe(self) -> None:
        pool = self._cluster.writer
        # A new writer starts with a clean record, and a probe of the former one no longer matters.
        if pool is not self._pool:
            self._pool, self._health = pool, Health()
            self._cancel_probe()
        if self._probe is not None:
            self._evaluate_probe(pool, self._probe)
        elif pool.oldest_checkout() <= self._loop.time() - PROBE_INTERVAL:
            self._probe = self._loop.create_task(self._probe_writer(pool), name=f"probe {pool.endpoint}")
        else:
            self._health = Health()

    def _evaluate_probe(self, pool: Pool, probe: asyncio.Task[bool]) -> None:
        now = self._loop.time()
        if probe.done():
            self._probe = None
        before = self._health.verdict(now)
        # A probe that is still running counts as a miss in each round; its late answer then resets the count.
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

    async def _probe_writer(self, pool: Pool) -> bool:
        """Return whether the writer answers a ping; an error of any kind counts as no answer."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                await self._connections.ask(pool.endpoint, _ping)
        except (DriverError, RdskitError, TimeoutError) as error:
            _log.debug("%s does not answer a probe: %s", pool.endpoint, error)
            return False
        return True

    def _cancel_probe(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    async def _end_probe(self) -> None:
        probe = self._probe
        self._cancel_probe()
        if probe is not None:
            await asyncio.wait([probe])


async def _ping(connection: Connection) -> None:
    await connection.ping(_PROBE_TIMEOUT)
