"""The shop's customers: they order, and look whether their order is there, until they are told to stop."""

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

THINK = 0.02  # seconds that a customer thinks between two steps, on average
_RECENT = 100  # orders from which a reader chooses


class Load:
    """Concurrent writers and readers on one ``Database``, and the journal of what they saw.

    Args:
        db: with session consistency: what was acknowledged through it must be seen through it.
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
        self._chance = random.Random(run)  # noqa: S311 - which article a customer likes is no secret

    async def run(self, writers: int, readers: int) -> None:
        """Work until ``stop``; every call that is under way then is seen to its end."""
        async with asyncio.TaskGroup() as group:
            for writer in range(writers):
                group.create_task(self._order(writer), name=f"writer {writer}")
            for reader in range(readers):
                group.create_task(self._look(), name=f"reader {reader}")

    def stop(self) -> None:
        """Let everybody finish."""
        self._stop.set()

    async def _order(self, writer: int) -> None:
        """One customer: places an order, then looks whether it is there."""
        number = 0
        while not self._stop.is_set():
            number += 1
            order = self._wish(f"{self._run}-{writer}-{number}")
            if await self._place(writer, order):
                await self._look_for(order.key)
            await self._pause()

    async def _look(self) -> None:
        """One visitor: looks at orders that were acknowledged a moment ago."""
        while not self._stop.is_set():
            if self._recent:
                await self._look_for(self._chance.choice(self._recent))
            await self._pause()

    async def _place(self, writer: int, order: Order) -> bool:
        started = self._clock()
        outcome, told = Outcome.ACKNOWLEDGED, None
        try:
            await self._db.run(place_order, args=(order,))
        except OutcomeUnknown as error:
            outcome, told = Outcome.UNKNOWN, type(error).__name__
        except RdskitError as error:
            outcome, told = Outcome.FAILED, type(error).__name__
        self.journal.note_write(Write(order.key, writer, started, self._clock(), outcome, told))
        if outcome is Outcome.ACKNOWLEDGED:
            self._recent.append(order.key)
        return outcome is Outcome.ACKNOWLEDGED

    async def _look_for(self, key: str) -> None:
        started = self._clock()
        found, told = None, None
        try:
            found = await is_placed(self._db, key)
        except RdskitError as error:
            told = type(error).__name__
        self.journal.note_read(Read(started, self._clock(), found, told))

    def _wish(self, key: str) -> Order:
        chance = self._chance
        return Order(key, chance.randint(1, ARTICLES), chance.randint(1, 5), chance.randint(100, 20_000))

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / THINK))
