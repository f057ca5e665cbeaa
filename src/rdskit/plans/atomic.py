"""Atomic steps: each commits together with its mark, so that its outcome can always be determined."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rdskit.errors import RdskitError
from rdskit.plans.model import Probe, Step, done, not_done
from rdskit.plans.tables import explained

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Row
    from rdskit.plans.model import StepContext

    Work = Callable[[Transaction, StepContext], Awaitable[Any]]


def atomic(
    name: str, summary: str, db: Database, run: Work, *, undo: Work | None = None, group: str | None = None
) -> Step:
    """Return a step that runs in a transaction of ``db`` and leaves a row in ``rdskit_step`` with it.

    The row answers what became of the step when its COMMIT, its process or its server was lost. ``undo`` removes the
    row in its own transaction. On MySQL and MariaDB a statement that commits by itself (DDL) makes it not atomic: use
    a probed step there.

    Args:
        name: unique in its plan.
        summary: what it will do, in one line.
        db: where; the tables of ``TableJournal(db).setup()`` must exist.
        run: ``async def run(tx, context)``; it may run again after a conflict or a failover.
        undo: undoes it; None if that is not possible.
        group: as for ``Step``.
    """
    marked = _Marked(db, run, undo)
    return Step(name, summary, marked.run, marked.done, marked.undo if undo else None, group=group)


class _Marked:
    """The functions of an atomic step: each does its work and writes or removes the mark in one transaction."""

    def __init__(self, db: Database, run: Work, undo: Work | None) -> None:
        self._db = db
        self._run = run
        self._undo = undo

    async def run(self, context: StepContext) -> Any:
        keys = {"job": context.job, "step": context.step}

        async def work(tx: Transaction) -> Any:
            # First the mark: two attempts cannot both be in the middle of the step.
            await tx.execute("insert into rdskit_step (job, step) values (:job, :step)", keys)
            result = await self._run(tx, context)
            if result is not None:
                text = "update rdskit_step set result = :result where job = :job and step = :step"
                await tx.execute(text, {**keys, "result": json.dumps(result)})
            return result

        try:
            return await self._db.run(work)
        except RdskitError as error:
            raise explained(error) from error

    async def done(self, context: StepContext) -> Probe:
        async def look(tx: Transaction) -> Probe:  # on the writer: a replica may lag
            row = await _mark(tx, context)
            return not_done() if row is None else done(None if row[0] is None else json.loads(row[0]))

        return await self._db.run(look)

    async def undo(self, context: StepContext) -> None:
        async def work(tx: Transaction) -> None:
            if self._undo is None or await _mark(tx, context) is None:
                return  # an earlier attempt to undo it has committed
            await self._undo(tx, context)
            text = "delete from rdskit_step where job = :job and step = :step"
            await tx.execute(text, job=context.job, step=context.step)

        await self._db.run(work)


async def _mark(tx: Transaction, context: StepContext) -> Row | None:
    text = "select result from rdskit_step where job = :job and step = :step"
    return await tx.fetch_one(text, job=context.job, step=context.step)
