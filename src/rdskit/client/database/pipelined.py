"""Send quick reads of many tasks through shared, pipelined connections; see docs/pipelining.md.

With few concurrent tasks, a free pooled connection answers sooner, so nothing is pipelined. A read that finds no free
connection, or is one of many, is pipelined if its statement has proved quick enough.
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
    import asyncio
    from collections.abc import Callable, Coroutine, Sequence

    from rdskit.client.pool import Lanes, Standings
    from rdskit.client.replicas import ReaderCall
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
        # Only reads without side effects are pipelined, because a late one is sent a second time.
        if lanes is None or not statement.repeatable or statement.dirties_session or call not in _FETCHES:
            return super().run(call, statement, params, named, timeout, after)
        standing = lanes.standings.get(statement.text)
        if standing is None or not (standing.earned or standing.barred):
            timed: Any = functools.partial(_timed, call, lanes.standings, self._clock)
            return super().run(timed, statement, params, named, timeout, after)
        if lanes.hot and standing.earned and self._reads_from_writer:
            return self._pipelined(lanes, call, statement, params, named, timeout, after)
        return super().run(call, statement, params, named, timeout, after)

    @property
    def _reads_from_writer(self) -> bool:
        """Return whether the writer answers every read, and nothing is to be learned from its connection."""
        return not self._cluster.routes_reads or (self._consistency == "strong" and self._written.is_known)

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
            # The deadline of the first attempt stays in force.
            deadline = Deadline(None if timeout is None else due, timeout)
            return await super()._write(Work(call, statement, text, args, deadline, after), None)
        except DriverError as error:
            deadline = Deadline(None if timeout is None else due, timeout)
            return await super()._write(Work(call, statement, text, args, deadline, after), error)
        if self._retries.in_debt:
            self._retries.succeeded()
        return row

    async def _read(self, work: Work[T]) -> T:
        """Run on a reader; by a pipelined connection of one that is known to show what the read must see."""
        begun = await self._begun_on_reader(work)
        if begun is None:
            return await super()._read(work)
        answer, asked = begun
        try:
            row: T = await answer
        except Elsewhere:
            asked.given_up()
        except DriverError as error:
            self._retry_read_or_raise(work, asked, error, 1)
        except BaseException:
            asked.given_up()
            raise
        else:
            asked.give_back()
            if self._retries.in_debt:
                self._retries.succeeded()
            return row
        return await super()._read(work)

    async def _begun_on_reader(self, work: Work[Any]) -> tuple[asyncio.Future[Any], ReaderCall] | None:
        """Send a read that has earned it to a reader; None where a pooled connection is to run it."""
        if self._readers is None or not _may_be_pipelined(work):
            return None
        position = await self._position_to_see(work.after)
        reader = None if position is None else self._readers.pipelines(position)
        lanes = None if reader is None else reader.pool.lanes
        standing = None if lanes is None else lanes.standings.get(work.text)
        if reader is None or lanes is None or standing is None or not standing.earned:
            return None
        one, due = work.call is calls.fetch_one, work.deadline.due
        answer = lanes.submit(work.text, work.args, due, one=one, opened_by=reader.noted_at)
        return None if answer is None else (answer, self._readers.call(reader))

    async def _write(self, work: Work[T], error: DriverError | None) -> T:
        """Run on the writer; a read that found no free connection there is pipelined instead of waiting for one."""
        lanes = self._cluster.writer.lanes
        if error is None and lanes is not None and _may_be_pipelined(work):
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


def _may_be_pipelined(work: Work[Any]) -> bool:
    return work.statement.repeatable and not work.statement.dirties_session and work.call in _FETCHES


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
