"""Notify observers of each statement outside a transaction; used only if there are observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.executor import Executor
from rdskit.kernel.events import QueryFinished, QueryRetried
from rdskit.kernel.positions import START

if TYPE_CHECKING:
    from rdskit.client.statements.calls import Call
    from rdskit.kernel.failures import Failure
    from rdskit.kernel.ports import Params
    from rdskit.kernel.positions import Position
    from rdskit.kernel.sql import Statement

T = TypeVar("T")


class ObservedExecutor(Executor):
    """Runs statements like its base, and notifies the observers of each."""

    async def run(
        self,
        call: Call[T],
        statement: Statement,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        after: Position | None = START,
    ) -> T:
        """Run a statement on the right host, and notify the observers of its duration and error."""
        started, error = self._clock(), None
        try:
            return await super().run(call, statement, params, named, timeout, after)
        except BaseException as failed:
            error = type(failed).__name__
            raise
        finally:
            self._cluster.observers.notify(QueryFinished(statement.source, self._clock() - started, error))

    def _retrying(self, statement: Statement, failure: Failure, count: int) -> None:
        self._cluster.observers.notify(QueryRetried(statement.source, failure.name, count))
