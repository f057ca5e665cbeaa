"""Writes with a deadline of 200 ms, made in three ways, and the answer that each caller received."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING

import rdskit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.transactions import Transaction

DEADLINE = 0.2
DONE = "done"
UNKNOWN = "unknown"
UNDONE = "undone"


class Calls:
    """Inserts numbers into the table ``written``, which has no unique key: one that comes twice is there twice.

    Attributes:
        told: by number, what became of it by the error's own promise.
    """

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self.told: dict[int, str] = {}

    async def make(self, count: int) -> None:
        """Insert so many further numbers at the same time."""
        first = len(self.told)
        await asyncio.gather(*(self._insert(number) for number in range(first, first + count)))

    def numbers(self, what: str) -> set[int]:
        """Return the keys whose call had that answer."""
        return {number for number, told in self.told.items() if told == what}

    def assert_true(self, rows: Iterable[int]) -> None:
        """Compare the answers with the rows in the table."""
        present = collections.Counter(rows)
        assert max(present.values()) == 1
        assert self.numbers(DONE) <= set(present)
        assert self.numbers(UNDONE).isdisjoint(present)
        assert set(present) <= set(self.told)

    async def _insert(self, number: int) -> None:
        try:
            await (self._plain, self._block, self._exactly_once)[number % 3](number)
        except rdskit.OutcomeUnknown:
            self.told[number] = UNKNOWN
        except (rdskit.QueryTimeout, rdskit.FailoverError, rdskit.ConnectError):
            self.told[number] = UNDONE
        else:
            self.told[number] = DONE

    async def _plain(self, number: int) -> None:
        await self._db.execute("insert into written values (:n)", n=number, timeout=DEADLINE)

    async def _block(self, number: int) -> None:
        async with self._db.transaction(timeout=DEADLINE) as tx:
            await self._write(tx, number)

    async def _exactly_once(self, number: int) -> None:
        await self._db.run(self._write, args=(number,), exactly_once=True, timeout=DEADLINE)

    async def _write(self, tx: Transaction, number: int) -> None:
        await tx.execute("insert into written values (:n)", n=number)
