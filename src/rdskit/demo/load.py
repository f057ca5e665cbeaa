"""The load of the demo: customers who place orders and check that they are visible, until the load is stopped."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from rdskit.demo.model import Journal, Outcome, Read, Write
from rdskit.demo.shop import ARTICLES, Order, is_placed, place_order
from rdskit.errors import OutcomeUnknown, RdskitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit import Database

THINK = 0.02  # average pause of a customer between two steps, in seconds
_RECENT = 100  # orders from which a reader chooses


class Load:
    """Run concurrent writers and readers on one ``Database``, and record what they observe.

    Args:
        db: a database with session consistency: acknowledged orders must be visible through it.
        run: distinguishes this run's orders.
        clock: seconds since the run began.
    """

    def __init__(self, db: Database, run: str, clock: Callable[[], float]) -> None:
        self.journal = Journal()
        self._db = db
        self._run = run
        self._clock = clock
        self._stop = asyncio.Event()
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._chance = random.Random(run)  # noqa: S311 - the choice of articles is no secret

    async def run(self, writers: int, readers: int) -> None:
        """Run the load until ``stop``; calls that are running then are awaited."""
        async with asyncio.TaskGroup() as group:
            for writer in range(writers):
                group.create_task(self._order(writer), name=f"writer {writer}")
            for reader in range(readers):
                group.create_task(self._read_recent(), name=f"reader {reader}")

    def stop(self) -> None:
        """Let all workers finish their current calls."""
        self._stop.set()

    async def _order(self, writer: int) -> None:
        """Run one customer, who places orders and checks that each is visible."""
        number = 0
        while not self._stop.is_set():
            number += 1
            order = self._new_order(f"{self._run}-{writer}-{number}")
            if await self._place(writer, order):
                await self._read_order(order.key)
            await self._pause()

    async def _read_recent(self) -> None:
        """Run one visitor, who reads orders that were acknowledged recently."""
        while not self._stop.is_set():
            if self._recent:
                await self._read_order(self._chance.choice(self._recent))
            await self._pause()

    async def _place(self, writer: int, order: Order) -> bool:
        started = self._clock()
        outcome, error_name = Outcome.ACKNOWLEDGED, None
        try:
            await self._db.run(place_order, args=(order,))
        except OutcomeUnknown as error:
            outcome, error_name = Outcome.UNKNOWN, type(error).__name__
        except RdskitError as error:
            outcome, error_name = Outcome.FAILED, type(error).__name__
        self.journal.note_write(Write(order.key, writer, started, self._clock(), outcome, error_name))
        if outcome is Outcome.ACKNOWLEDGED:
            self._recent.append(order.key)
        return outcome is Outcome.ACKNOWLEDGED

    async def _read_order(self, key: str) -> None:
        started = self._clock()
        found, error_name = None, None
        try:
            found = await is_placed(self._db, key)
        except RdskitError as error:
            error_name = type(error).__name__
        self.journal.note_read(Read(started, self._clock(), found, error_name))

    def _new_order(self, key: str) -> Order:
        chance = self._chance
        return Order(key, chance.randint(1, ARTICLES), chance.randint(1, 5), chance.randint(100, 20_000))

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / THINK))
