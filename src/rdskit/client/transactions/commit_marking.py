"""What a database's transactions need to find out what became of their COMMIT: fences, the question, and tidying up."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from rdskit.client.transactions.commit_marker import CommitMarker, where_fences_are
from rdskit.client.transactions.policy import begin_text
from rdskit.client.transactions.purge import purge_sometimes
from rdskit.client.transactions.resolution import resolve
from rdskit.client.transactions.retry import Call, repeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.commit_marker import CommitMarkers
    from rdskit.client.transactions.transaction import Transaction
    from rdskit.kernel.sql import Dialect
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.retries import Retries

_LOOK = begin_text(None, read_only=True, deferrable=False)
_ASK = begin_text(None, read_only=False, deferrable=False)
_TIDY = begin_text("read committed", read_only=False, deferrable=False)


class CommitMarking:
    """CommitMarkers for the transactions of one session.

    Args:
        fences: where the database has them; the sessions of a database share it.
        dialect: the server's.
        retries: what may still be repeated after a failure of the host.
        begin: opens a transaction without a fence, by its BEGIN statement and its deadline.
    """

    def __init__(
        self,
        fences: CommitMarkers,
        dialect: Dialect,
        retries: Retries,
        begin: Callable[[str, Deadline], AbstractAsyncContextManager[Transaction, None]],
    ) -> None:
        self._fences = fences
        self._dialect = dialect
        self._retries = retries
        self._begin = begin

    def new(self, exactly_once: bool | None) -> CommitMarker | None:  # noqa: FBT001 - as the caller gave it
        """A fence for one transaction, or None where there is to be none; ``exactly_once`` as for ``run``."""
        if exactly_once is None:
            return self._fences.new()
        return CommitMarker() if exactly_once else None

    @property
    def are_unknown(self) -> bool:
        """Whether to :meth:`look`, before there can be one for a transaction that has not asked."""
        return self._fences.are_unknown(asyncio.get_running_loop().time())

    async def look(self, deadline: Deadline) -> None:
        """Learn whether the database has the table.

        Raises:
            RdskitError: it could not be learned.
        """
        now = asyncio.get_running_loop().time()

        async def ask(tx: Transaction) -> str | None:
            row = await tx.fetch_one(where_fences_are(self._dialect))
            return None if row is None else str(row[0])

        found = await repeat(lambda: self._begin(_LOOK, deadline), Call(ask), deadline, self._retries)
        self._fences.found(found, now)

    async def took_effect(self, fence: CommitMarker, deadline: Deadline) -> bool:
        """Find out whether a transaction committed whose COMMIT has no answer; it cannot change any more afterwards.

        Raises:
            RdskitError: nothing could be learned before the deadline.
        """
        return await resolve(fence, self._dialect, lambda: self._begin(_ASK, deadline), deadline)

    async def tidy(self, deadline: Deadline) -> None:
        """Remove old rows of our tables now and then; what they are made by pays for their end."""
        chance = random.random()  # noqa: S311 - not a secret
        await purge_sometimes(self._dialect, lambda: self._begin(_TIDY, deadline), chance)

    def forget(self) -> None:
        """Look for the table again when it is next needed."""
        self._fences.forget()
