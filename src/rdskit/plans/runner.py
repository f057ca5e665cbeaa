"""Run plans: forward, resumed after an interruption, and undone."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import secrets
from typing import TYPE_CHECKING, Any

from rdskit.errors import PlanError
from rdskit.plans.journal import OwnershipLost
from rdskit.plans.model import Entry, Event, Job, JobState, Progress, StepState, created, replay
from rdskit.plans.policy import check_resumable, check_reversible, check_same_steps
from rdskit.plans.steps import Execution, Halted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rdskit.plans.journal import Journal, Log
    from rdskit.plans.model import Plan, Step

_REOWNS = 10  # how often the same process acquires a job again after the loss of its lock


class Stop:
    """A request to stop between two steps; the job can be resumed."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        """Stop before the next step."""
        self.requested = True


def _silent(_: Progress) -> None:
    """Report progress to no one."""


async def apply(
    plan: Plan,
    journal: Journal,
    *,
    progress: Callable[[Progress], None] = _silent,
    stop: Stop | None = None,
    job: str | None = None,
) -> Job:
    """Run a plan from its first step.

    Args:
        plan: what to do.
        journal: where its course is written.
        progress: called with each change, on the event loop.
        stop: asks for a stop between two steps.
        job: the id of the new job; by default one made of the time and the plan's kind.

    Returns:
        The job from its journal: done, or stopped on request.

    Raises:
        PlanError: what the plan was made from has changed (nothing was done); a step failed, or its outcome is
            unknown. The error names job and step, and the job can be resumed or undone.
    """
    await _check_facts(plan)
    job = job or new_id(plan.kind)

    async def begin(log: Log) -> None:
        if log.entries:
            raise PlanError(f"there is a job {job!r} already: resume it, or choose another id", job=job)
        await log.append(created(plan, job, _now()))

    return await _owned(plan, journal, job, _Direction(forward=True), progress, stop or Stop(), begin)


async def resume(
    plan: Plan, journal: Journal, job: str, *, progress: Callable[[Progress], None] = _silent, stop: Stop | None = None
) -> Job:
    """Continue a job that was interrupted, stopped or has failed. Arguments and errors as for ``apply``.

    Args:
        plan: the job's plan, rebuilt from the arguments in its journal.
        journal: where its course is written.
        job: its id.
        progress: called with each change.
        stop: asks for a stop between two steps.
    """

    async def begin(log: Log) -> None:
        check_resumable(replay(job, log.entries))

    return await _owned(plan, journal, job, _Direction(forward=True), progress, stop or Stop(), begin)


async def undo(
    plan: Plan, journal: Journal, job: str, *, progress: Callable[[Progress], None] = _silent, stop: Stop | None = None
) -> Job:
    """Undo what a job has done, last step first; continue where an interrupted undo ended.

    Arguments as for ``resume``.

    Raises:
        PlanError: a step that took effect cannot be undone (nothing was done); an undo failed, or the outcome of a
            step is unknown.
    """

    async def begin(log: Log) -> None:
        now = replay(job, log.entries)
        check_reversible(now)
        if now.state is not JobState.UNDOING:
            await log.append(Entry(Event.UNDO_BEGUN, _now()))

    return await _owned(plan, journal, job, _Direction(forward=False), progress, stop or Stop(), begin)


def new_id(kind: str) -> str:
    """Return an id for a new job: the time, its kind, and something unique."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{kind}-{secrets.token_hex(2)}"


class _Direction:
    """The direction of a job, which decides the order of its steps and the action for each."""

    def __init__(self, *, forward: bool) -> None:
        self.forward = forward

    def groups(self, plan: Plan) -> list[list[Step]]:
        groups = plan.groups()
        return groups if self.forward else groups[::-1]

    def step(self, execution: Execution, step: Step) -> Coroutine[Any, Any, None]:
        return execution.forward(step) if self.forward else execution.backward(step)

    @property
    def end(self) -> JobState:
        return JobState.DONE if self.forward else JobState.UNDONE


async def _check_facts(plan: Plan) -> None:
    if plan.read is None:
        return
    now = await plan.read()
    for name in sorted({*plan.facts, *now}):
        then, found = plan.facts.get(name), now.get(name)
        if then != found:
            raise PlanError(
                f"{name} has changed since the plan was made: it was {then or 'absent'}, it is {found or 'absent'}; "
                "make the plan again"
            )


async def _owned(
    plan: Plan,
    journal: Journal,
    job: str,
    direction: _Direction,
    progress: Callable[[Progress], None],
    stop: Stop,
    begin: Callable[[Log], Coroutine[Any, Any, None]],
) -> Job:
    """Acquire the job and run it; after a failover that cost the lock, acquire it again."""
    begun = False
    for attempt in range(_REOWNS):
        try:
            async with journal.own(job) as log:
                if not (begun and log.entries):
                    await begin(log)
                    begun = True
                return await _Run(plan, job, log, direction, progress, stop).run()
        except OwnershipLost:
            if attempt + 1 == _REOWNS:
                raise
    raise AssertionError("unreachable: the loop returns or raises")


class _Run:
    """One pass over the steps of a job, by its owner."""

    def __init__(
        self,
        plan: Plan,
        job: str,
        log: Log,
        direction: _Direction,
        progress: Callable[[Progress], None],
        stop: Stop,
    ) -> None:
        self._plan = plan
        self._job = job
        self._log = log
        self._direction = direction
        self._stop = stop
        self._execution = Execution(plan, job, log, progress, _now, random.random)
        self._slots = asyncio.Semaphore(max(1, plan.workers))

    async def run(self) -> Job:
        check_same_steps(self._plan, replay(self._job, self._log.entries))
        try:
            stopped = await self._groups()
        except Halted as halted:
            raise await self._failed(halted, await self._last()) from halted.__cause__
        if stopped:
            return await self._end(JobState.STOPPED)
        if failures := await self._last():
            raise await self._failed(failures[0], failures[1:]) from failures[0].__cause__
        return await self._end(self._direction.end)

    async def _groups(self) -> bool:
        """Run every group; return whether a stop was asked for first."""
        for group in self._direction.groups(self._plan):
            if self._stop.requested:
                return True
            # Siblings of a failing step run to their end, because cancelling one would make its outcome unknown.
            answers = await asyncio.gather(*(self._in_turn(step) for step in group), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        return False

    async def _in_turn(self, step: Step) -> None:
        async with self._slots:
            await self._direction.step(self._execution, step)

    async def _last(self) -> list[Halted]:
        """Run the ``always`` steps, each whatever became of the others."""
        failures = []
        for step in self._plan.last():
            try:
                await self._execution.forward(step, again=True)
            except Halted as halted:
                failures.append(halted)
        return failures

    async def _failed(self, halted: Halted, others: list[Halted]) -> PlanError:
        """End the job in the state of its failure; return the error for the caller."""
        await self._end(JobState.UNKNOWN if halted.state is StepState.UNKNOWN else JobState.FAILED)
        error = PlanError(self._failure_text(halted), job=self._job, step=halted.step)
        for each in others:
            error.add_note(f"besides, step {each.step!r} {each.state.value}: {each.reason}")
        return error

    def _failure_text(self, halted: Halted) -> str:
        if halted.state is StepState.UNKNOWN:
            return (
                f"job {self._job} stopped: what became of step {halted.step!r} is unknown "
                f"({halted.reason}); look, then `rdskit jobs resume {self._job}` asks again"
            )
        forward = self._direction.forward
        verb = "failed" if forward else "could not be undone"
        ways = f"`rdskit jobs resume {self._job}` or `rdskit jobs undo {self._job}`"
        return f"job {self._job}: step {halted.step!r} {verb}: {halted.reason}; " + (
            ways if forward else f"`rdskit jobs undo {self._job}` tries again"
        )

    async def _end(self, state: JobState) -> Job:
        await self._log.append(Entry(Event.ENDED, _now(), body=state.value))
        return replay(self._job, self._log.entries)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
