"""Notify observers of a transaction's statements; used only if there are observers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.statements.observed import observe_bulk, observe_stream
from rdskit.client.transactions.transaction import Transaction
from rdskit.kernel.events import QueryFinished

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from rdskit.client.statements import Source
    from rdskit.client.statements.calls import Call
    from rdskit.kernel.ports import Params, Result
    from rdskit.kernel.sql.insert import OnConflict

T = TypeVar("T")


class ObservedTransaction(Transaction):
    """A transaction that notifies its observers of each statement."""

    async def insert_many(
        self,
        table: str,
        rows: Source,
        *,
        on_conflict: OnConflict | None = None,
        key: Sequence[str] = (),
        conflict_where: str | None = None,
        index: str | None = None,
    ) -> Result:
        """Insert many rows, all or none, and notify the observers."""
        call = super().insert_many(
            table, rows, on_conflict=on_conflict, key=key, conflict_where=conflict_where, index=index
        )
        return await observe_bulk(self.observers, "insert_many", table, call)

    async def execute_many(self, sql: str, sets: Source) -> Result:
        """Run a statement for each parameter set, all or none, and notify the observers."""
        return await observe_bulk(self.observers, "execute_many", sql, super().execute_many(sql, sets))

    def stream(self, sql: str, params: Params | None = None, /, **options: Any) -> AsyncGenerator[Any, None]:
        """Read a query row by row, and notify the observers."""
        return observe_stream(self.observers, sql, super().stream(sql, params, **options))

    async def _run(self, call: Call[T], sql: str, params: Params | None, named: dict[str, Any]) -> T:
        clock = asyncio.get_running_loop().time
        started, error = clock(), None
        try:
            return await super()._run(call, sql, params, named)
        except BaseException as failed:
            error = type(failed).__name__
            raise
        finally:
            self.observers.notify(QueryFinished(sql, clock() - started, error))
