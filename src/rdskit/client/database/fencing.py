"""What a database's transactions need to find out what became of their COMMIT: fences, the question, and tidying up."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from rdskit.client.database.block import Block
from rdskit.client.transactions import Fence, begin_text, purge_sometimes, repeat, resolve, where_fences_are

if TYPE_CHECKING:
    from rdskit.client.database.block import Grounds
    from rdskit.client.transactions import Fences, Transaction
    from rdskit.runtime.deadlines import Deadline

_LOOK = begin_text(None, read_only=True, deferrable=False)
_ASK = begin_text(None, read_only=False, deferrable=False)
_TIDY = begin_text("read committed", read_only=False, deferrable=False)


class Fencing:
    """Fences for the transactions of one session.

    Args:
        fences: where the database has them; the sessions of a database share it.
        grounds: on what transactions are opened.
    """

    def __init__(self, fences: Fences, grounds: Grounds) -> None:
        self._fences = fences
        self._grounds = grounds

    def new(self, exactly_once: bool | None) -> Fence | None:  # noqa: FBT001 - as the caller gave it
        """A fence for one transaction, or None where there is to be none; ``exactly_once`` as for ``run``."""
        if exactly_once is None:
            return self._fences.new()
        return Fence() if exactly_once else None

    @property
    def are_unknown(self) -> bool:
        """Whether to :meth:`look`, before there can be one for those who have not asked."""
        return self._fences.are_unknown(asyncio.get_running_loop().time())

    async def look(self, deadline: Deadline) -> None:
        """Learn whether the database has the table.

        Raises:
            RdskitError: it could not be learned.
        """
        now = asyncio.get_running_loop().time()

        async def ask(tx: Transaction) -> str | None:
            row = await tx.fetch_one(where_fences_are(self._grounds.statements.dialect))
            return None if row is None else str(row[0])

        retries = self._grounds.cluster.retries
        found = await repeat(lambda: Block(self._grounds, _LOOK, deadline.remaining()), ask, (), {}, deadline, retries)
        self._fences.found(found, now)

    async def took_effect(self, fence: Fence, deadline: Deadline) -> bool:
        """Find out whether a transaction committed whose COMMIT has no answer; it cannot change any more afterwards.

        Raises:
            RdskitError: nothing could be learned before the deadline.
        """
        dialect = self._grounds.statements.dialect
        return await resolve(fence, dialect, lambda: Block(self._grounds, _ASK, deadline.remaining()), deadline)

    async def tidy(self, deadline: Deadline) -> None:
        """Remove old rows of our tables now and then; what they are made by pays for their end."""
        chance = random.random()  # noqa: S311 - not a secret
        dialect = self._grounds.statements.dialect
        await purge_sometimes(dialect, lambda: Block(self._grounds, _TIDY, deadline.remaining()), chance)

    def forget(self) -> None:
        """Look for the table again when it is next needed."""
        self._fences.forget()
