"""Poll the servers' status and lag in the background while the load runs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from rdskit.errors import RdskitError
from rdskit.runtime.periodic import every

if TYPE_CHECKING:
    from rdskit import Database
    from rdskit.demo.model import Member
    from rdskit.demo.provisioning import Provisioning

_ASK_API = 2.0  # seconds between two polls of the API, whose response costs as much CPU as many orders
_ASK_PRIMARY = 0.5  # seconds between two polls of the primary


class ServerMonitor:
    """Poll the servers' status, and the lag of the readers.

    Args:
        db: the application's own database.
        servers: the servers.
    """

    def __init__(self, db: Database, servers: Provisioning) -> None:
        self._db = db
        self._servers = servers
        self._members: tuple[Member, ...] = ()
        self._lag_ms: float | None = None
        self._wake = asyncio.Event()

    @property
    def members(self) -> tuple[Member, ...]:
        """The servers at the last poll."""
        return tuple(replace(seen, lag_ms=self._lag_ms if seen.part == "reader" else None) for seen in self._members)

    async def run(self) -> None:
        """Poll until the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(_ASK_API, self._ask_api, self._wake), name="ask the API")
            group.create_task(every(_ASK_PRIMARY, self._ask_primary, asyncio.Event()), name="ask the primary")

    def poll_now(self) -> None:
        """Poll the API now, because something has changed."""
        self._wake.set()

    async def _ask_api(self) -> None:
        with contextlib.suppress(RdskitError):  # the last result stays until the next successful poll
            self._members = await self._servers.members()

    async def _ask_primary(self) -> None:
        try:
            lag = await self._servers.replica_lag(self._db)
            self._lag_ms = None if lag is None else lag * 1000
        except RdskitError:  # during a failover the lag is unknown
            self._lag_ms = None
