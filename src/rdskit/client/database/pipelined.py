"""The executor that sends quick reads of many tasks through shared connections; see docs/pipelining.md.

Where few tasks ask, a free pooled connection answers sooner, and nothing is pipelined. A read that finds none free, or
comes among many, takes a pipelined connection if its statement has earned that.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.executor import Executor, Work, text_and_arguments
from rdskit.client.database.observed import ObservedExecutor
from rdskit.client.statements import calls
from rdskit.kernel.pipelining import Elsewhere
from rdskit.kernel.ports import DriverError
from rdskit.kernel.positions import START
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rdskit.client.pool import Lanes, Standings
    from rdskit.client.statements.calls import Call
    from rdskit.kernel.ports import Connection, Params
    from rdskit.kernel.positions import Position
    from rdskit.kernel.sql import Statement

T = TypeVar("T")

_FETCHES: frozenset[object] = frozenset({calls.fetch_one, calls.fetch_all})


class PipelinedExecutor(Executor):
    """Runs statements like its base, and pipelines reads that have earned it."""

    def run(
        self,
        call: Call[T],
        statement: Statement,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        after: Position | None = START,
    ) -> Coroutine[Any, Any, T]:
        """Return the coroutine that runs a statement: the base's own, where nothing is to be pipelined."""
        lanes = self._cluster.writer.lanes
        if lanes is None or not statement.repeatable or statement.dirties_session or call not in _FETCHES:
            return super().run(call, statement, params, named, timeout, after)
        standing = lanes.standings.get(statement.text)
        if standing is None or not (standing.earned or standing.barred):
            timed: Any = functools.partial(_timed, call, lanes.standings, self._clock)
            return super().run(timed, statement, params, named, timeout, after)
        if lanes.hot and standing.earned and not self._cluster.routes_reads:
            return self._pipelined(lanes, call, statement, params, named, timeout, after)
        return super().run(call, statement, params, named, timeout, after)

    async def _pipelined(
        self,
        lanes: Lanes,
        call: Call[T],
        statement: Statement,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        after: Position | None,
    ) -> T:
        """Send a read through a pipelined connection; the base runs it where that cannot be."""
        text, args = text_and_arguments(statement, params, named)
        due = math.inf if timeout is None else self._clock() + timeout
        answer = lanes.submit(text, args, due, one=call is calls.fetch_one)
        if answer is None:
            return await super().run(call, statement, params, named, timeout, after)
        try:
            row: T = await answer
        except Elsewhere:
            deadline = Deadline(None if timeout is None else due, timeout)
            return await super()._write(Work(call, statement, text, args, deadline, after), None)
        except DriverError as error:
            deadline = Deadline(None if timeout is None else due, timeout)
            return await super()._write(Work(call, statement, text, args, deadline, after), error)
        if self._retries.in_debt:
            self._retries.succeeded()
        return row

    async def _write(self, work: Work[T], error: DriverError | None) -> T:
        """Run on the writer; a read that found no free connection there is pipelined instead of waiting for one."""
        lanes = self._cluster.writer.lanes
        if error is None and lanes is not None and work.statement.repeatable and work.call in _FETCHES:
            standing = lanes.standings.get(work.text)
            if standing is not None and standing.earned:
                answer = lanes.submit(work.text, work.args, work.deadline.due, one=work.call is calls.fetch_one)
                if answer is not None:
                    try:
                        row: T = await answer
                    except Elsewhere:
                        return await super()._write(work, None)
                    except DriverError as failed:
                        error = failed
                    else:
                        return row
        return await super()._write(work, error)


class ObservedPipelinedExecutor(ObservedExecutor, PipelinedExecutor):
    """Does the same, and notifies observers."""


async def _timed(
    call: Call[Any],
    standings: Standings,
    clock: Callable[[], float],
    connection: Connection,
    text: str,
    args: Sequence[Any],
) -> Any:
    """Run a statement on a pooled connection, and note what it cost."""
    started = clock()
    answer = await call(connection, text, args)
    standings.ran(text, clock() - started, len(answer) if isinstance(answer, list) else 1)
    return answer
