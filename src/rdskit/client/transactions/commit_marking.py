"""Give transactions their commit markers, resolve lost COMMITs, and remove old markers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from rdskit.client.transactions.commit_marker import CommitMarker, table_query
from rdskit.client.transactions.policy import begin_text
from rdskit.client.transactions.purge import purge_sometimes
from rdskit.client.transactions.resolution import resolve
from rdskit.client.transactions.retry import Call, repeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.commit_marker import MarkerTable
    from rdskit.client.transactions.transaction import Transaction
    from rdskit.kernel.sql import Dialect
    from rdskit.runtime.deadlines import Deadline
    from rdskit.runtime.retries import Retries

_READ_ONLY = begin_text(None, read_only=True, deferrable=False)
_READ_WRITE = begin_text(None, read_only=False, deferrable=False)
_PURGE = begin_text("read committed", read_only=False, deferrable=False)


class CommitMarking:
    """Commit markers for the transactions of one session.

    Args:
        marker_table: the database's table of markers; the sessions of a database share this object.
        dialect: the server's.
        retries: budget for retries after a failure of the host.
        begin: opens a transaction without a marker, given its BEGIN statement and its deadline.
    """

    def __init__(
        self,
        marker_table: MarkerTable,
        dialect: Dialect,
        retries: Retries,
        begin: Callable[[str, Deadline], AbstractAsyncContextManager[Transaction, None]],
    ) -> None:
        self._marker_table = marker_table
        self._dialect = dialect
        self._retries = retries
        self._begin = begin

    def new(self, exactly_once: bool | None) -> CommitMarker | None:  # noqa: FBT001 - as the caller gave it
        """Return a marker for one transaction, or None for a transaction without; ``exactly_once`` as for ``run``."""
        if exactly_once is None:
            return self._marker_table.new()
        return CommitMarker() if exactly_once else None

    @property
    def table_is_unknown(self) -> bool:
        """Whether to call :meth:`find_table` before a transaction can get an implicit marker."""
        return self._marker_table.is_unknown(asyncio.get_running_loop().time())

    async def find_table(self, deadline: Deadline) -> None:
        """Find out whether the database has the table.

        Raises:
            RdskitError: the query failed.
        """
        now = asyncio.get_running_loop().time()

        async def ask(tx: Transaction) -> str | None:
            row = await tx.fetch_one(table_query(self._dialect))
            return None if row is None else str(row[0])

        # Without a marker, because this read needs none, and a marker would need the table.
        found = await repeat(lambda: self._begin(_READ_ONLY, deadline), Call(ask), deadline, self._retries)
        self._marker_table.found(found, now)

    async def took_effect(self, marker: CommitMarker, deadline: Deadline) -> bool:
        """Return whether a transaction committed whose COMMIT has no answer; the answer is final.

        Raises:
            RdskitError: no attempt succeeded before the deadline.
        """
        return await resolve(marker, self._dialect, lambda: self._begin(_READ_WRITE, deadline), deadline)

    async def purge(self, deadline: Deadline) -> None:
        """Remove old rows of our tables in a small share of the calls: those that write rows also remove them."""
        chance = random.random()  # noqa: S311 - not a secret
        await purge_sometimes(self._dialect, lambda: self._begin(_PURGE, deadline), chance)

    def forget(self) -> None:
        """Look for the table again when it is next needed."""
        self._marker_table.forget()
