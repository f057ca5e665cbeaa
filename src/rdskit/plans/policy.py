"""Decide the next action for a step, from its journal record and its probe."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from rdskit.errors import AwsError, ConnectError, FailoverError, PlanError
from rdskit.plans.model import JobState, ProbeState, StepState

if TYPE_CHECKING:
    from rdskit.plans.model import Job, Plan, Probe, Step, StepRecord

ATTEMPTS: Final = 8
"""Attempts of a step in one run while connections are lost; the pauses between them add up to about 25 s."""

_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


class Move(Enum):
    """The next action for a step."""

    SKIP = "its state is final"
    PROBE = "an earlier attempt may have had an effect: ask"
    RUN = "run it"
    RECORD = "it has happened: write that down"
    WAIT = "an earlier attempt is under way: ask again"
    STOP = "its outcome is unknown: stop and say so"
    FAIL = "stop: it failed, and another attempt would too"


def first_move(record: StepRecord, step: Step) -> Move:
    """Return what to do with a step when its turn comes.

    Args:
        record: what the journal says.
        step: the step as rebuilt.
    """
    if record.state is StepState.DONE:
        return Move.SKIP
    if record.state in {StepState.PENDING, StepState.UNDONE} or not step.changes:
        return Move.RUN
    return Move.PROBE


def after_probe(probe: Probe) -> Move:
    """Return what a probe calls for before another attempt."""
    return {
        ProbeState.DONE: Move.RECORD,
        ProbeState.NOT_DONE: Move.RUN,
        ProbeState.RUNNING: Move.WAIT,
        ProbeState.UNKNOWN: Move.STOP,
    }[probe.state]


def may_repeat(error: Exception, attempt: int) -> bool:
    """Return whether a step that failed without an effect may be tried again at once.

    Args:
        error: what its ``run`` raised.
        attempt: how many attempts this run has made.
    """
    if attempt >= ATTEMPTS:
        return False
    if isinstance(error, AwsError):
        return error.code in _THROTTLED
    return isinstance(error, ConnectError | FailoverError | OSError)


def pause(attempt: int, chance: float) -> float:
    """Return the seconds between two attempts: 0.1 s doubled each time, at most 5 s, with full jitter upward of half.

    Args:
        attempt: how many attempts were made.
        chance: a random number from 0 to 1.
    """
    return min(5.0, 0.1 * 2.0**attempt) * (0.5 + chance / 2)


def check_same_steps(plan: Plan, job: Job) -> None:
    """Refuse a rebuilt plan whose steps are not those of the journal.

    Raises:
        PlanError: they differ, so the journal says nothing about them.
    """
    now, then = [step.name for step in plan.steps], list(job.steps)
    if now != then:
        differing = next((pair for pair in zip(now, then, strict=False) if pair[0] != pair[1]), (len(now), len(then)))
        raise PlanError(
            f"job {job.id} was begun with other steps than {job.kind!r} has now (first difference: {differing[1]!r} "
            f"then, {differing[0]!r} now): finish it with the version that began it",
            job=job.id,
        )


def check_resumable(job: Job) -> None:
    """Refuse to continue a job that has ended for good, or is being undone.

    Raises:
        PlanError: it is one.
    """
    if job.state is JobState.DONE:
        raise PlanError(f"job {job.id} is done: there is nothing to resume", job=job.id)
    if job.state in {JobState.UNDOING, JobState.UNDONE}:
        raise PlanError(f"job {job.id} is {job.state.value}: continue with `rdskit jobs undo {job.id}`", job=job.id)


def check_reversible(job: Job) -> None:
    """Refuse to undo a job some of whose effects would remain.

    Raises:
        PlanError: a step that took effect, or may have, cannot be undone.
    """
    if job.state is JobState.UNDONE:
        raise PlanError(f"job {job.id} is undone already", job=job.id)
    untouched = {StepState.PENDING, StepState.UNDONE}
    stuck = [
        name
        for name, record in job.steps.items()
        if not (record.reversible or record.always or record.state in untouched)
    ]
    if stuck:
        raise PlanError(
            f"job {job.id} cannot be undone: step {stuck[0]!r} ({job.steps[stuck[0]].state.value}) has no way back; "
            f"`rdskit jobs resume {job.id}` continues forward",
            job=job.id,
            step=stuck[0],
        )
