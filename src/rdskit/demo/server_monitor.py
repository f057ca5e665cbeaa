"""What is known of the servers while the load runs; asked in the background, so that nobody waits for it."""

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

_ASK_API = 2.0  # seconds between two questions to the API: answering costs it as much as many orders
_ASK_PRIMARY = 0.5  # seconds between two questions to the primary


class ServerMonitor:
    """The servers' statuses, and how far the readers are behind.

    Args:
        db: the application's own database.
        estate: the servers.
    """

    def __init__(self, db: Database, estate: Provisioning) -> None:
        self._db = db
        self._estate = estate
        self._members: tuple[Member, ...] = ()
        self._lag_ms: float | None = None
        self._wake = asyncio.Event()

    @property
    def members(self) -> tuple[Member, ...]:
        """The servers as they were seen last."""
        return tuple(replace(seen, lag_ms=self._lag_ms if seen.part == "reader" else None) for seen in self._members)

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(_ASK_API, self._ask_api, self._wake), name="ask the API")
            group.create_task(every(_ASK_PRIMARY, self._ask_primary, asyncio.Event()), name="ask the primary")

    def look_again(self) -> None:
        """Ask the API now: something has changed."""
        self._wake.set()

    async def _ask_api(self) -> None:
        with contextlib.suppress(RdskitError):  # what was seen last stays until there is an answer
            self._members = await self._estate.members()

    async def _ask_primary(self) -> None:
        try:
            lag = await self._estate.replica_lag(self._db)
            self._lag_ms = None if lag is None else lag * 1000
        except RdskitError:  # it is failing over: nobody knows
            self._lag_ms = None
