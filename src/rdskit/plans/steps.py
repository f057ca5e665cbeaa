"""Run one step of a job: start, probe, retry and record it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rdskit.errors import PlanError, RdskitError
from rdskit.plans.journal import OwnershipLost
from rdskit.plans.model import Entry, Event, History, Progress, StepContext, StepState
from rdskit.plans.policy import Move, after_probe, first_move, may_repeat, pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.plans.journal import Log
    from rdskit.plans.model import Json, Plan, Probe, Step, StepRecord

_ASK_EVERY: Final = 0.5  # seconds between two probes of an earlier attempt that is still under way
_ASKS: Final = 7200  # an hour: an ALTER of a large table that its client left behind


class Halted(Exception):  # noqa: N818 - a signal to the runner, never seen outside
    """A step failed, or its outcome is unknown.

    Attributes:
        step: its name.
        state: ``FAILED`` or ``UNKNOWN``.
        reason: why, without secrets.
    """

    def __init__(self, step: str, state: StepState, reason: str) -> None:
        super().__init__(reason)
        self.step = step
        self.state = state
        self.reason = reason


class Execution:
    """Run single steps for the owner of a job.

    Args:
        plan: whose steps.
        job: the job's id.
        log: its journal.
        progress: called with each change.
        now: the time as the journal writes it.
        chance: random numbers from 0 to 1.
    """

    def __init__(
        self,
        plan: Plan,
        job: str,
        log: Log,
        progress: Callable[[Progress], None],
        now: Callable[[], str],
        chance: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._job = job
        self._log = log
        self._progress = progress
        self._now = now
        self._chance = chance
        self._history = History(job, log.entries)

    async def forward(self, step: Step, *, again: bool = False) -> None:
        """Run a step unless it is done.

        Args:
            step: which.
            again: run it even if the journal says that it is done; for ``always`` steps.

        Raises:
            Halted: it failed, or its outcome is unknown.
        """
        move = Move.RUN if again else first_move(self._record(step), step)
        if move is Move.SKIP:
            self._report(step, StepState.DONE, 1.0)
            return
        if move is Move.PROBE and await self._happened(step):
            return
        attempt = 0
        while True:
            attempt += 1
            await self._write(Event.STARTED, step)
            self._report(step, StepState.STARTED)
            try:
                result = await step.run(self._context(step))
            except OwnershipLost:
                raise
            except Exception as error:  # noqa: BLE001 - a step may raise anything: it is recorded and reported
                if await self._happened(step, after=error):
                    return
                if not may_repeat(error, attempt):
                    await self._halt(step, StepState.FAILED, _error_text(error), error)
            else:
                await self._record_done(step, result)
                return
            await asyncio.sleep(pause(attempt, self._chance()))

    async def backward(self, step: Step) -> None:
        """Undo a step that has taken effect, wholly or in part.

        Raises:
            Halted: it could not be undone, or what there is to undo is unknown.
        """
        record = self._record(step)
        if record.state in {StepState.PENDING, StepState.UNDONE}:
            return
        if step.undo is None or not step.changes:
            await self._write(Event.UNDONE, step)  # `check_reversible` has seen that nothing remains
            return
        if record.state is not StepState.DONE and await self._has_no_effect(step, record):
            await self._write(Event.UNDONE, step)
            return
        attempt = 0
        while True:
            attempt += 1
            await self._write(Event.UNDO_STARTED, step)
            self._report(step, StepState.UNDOING, undo=True)
            try:
                await step.undo(self._context(step))
            except OwnershipLost:
                raise
            except Exception as error:  # noqa: BLE001 - a step may raise anything: it is recorded and reported
                if await self._has_no_effect(step, self._record(step), after=error):
                    break
                if not may_repeat(error, attempt):
                    await self._halt(step, StepState.FAILED, _error_text(error), error)
            else:
                break
            await asyncio.sleep(pause(attempt, self._chance()))
        await self._write(Event.UNDONE, step)
        self._report(step, StepState.UNDONE, 1.0, undo=True)

    # -- what became of an attempt -----------------------------------------------------------------------------------

    async def _happened(self, step: Step, after: Exception | None = None) -> bool:
        """Return whether an earlier attempt took effect; it is recorded then.

        Raises:
            Halted: the outcome cannot be determined.
        """
        if not step.changes:
            return False
        probe = await self._ask(step, after)
        if after_probe(probe) is Move.RECORD:
            await self._record_done(step, probe.result)
            return True
        return False

    async def _has_no_effect(self, step: Step, record: StepRecord, after: Exception | None = None) -> bool:
        """Return whether there is nothing to undo. A step that saved checkpoints may be done in part."""
        if step.done is None and after is not None:
            return False  # its undo failed and may be retried; only a probe could show that it took effect
        probe = await self._ask(step, after)
        return after_probe(probe) is Move.RUN and record.checkpoint is None

    async def _ask(self, step: Step, after: Exception | None) -> Probe:
        """Call a step's probe until its answer is final.

        Raises:
            Halted: the probe cannot determine the outcome.
        """
        if step.done is None:
            if after is not None:
                await self._halt(step, StepState.FAILED, _error_text(after), after)
            await self._halt(step, StepState.UNKNOWN, "it was interrupted, and nothing can tell whether it happened")
            raise AssertionError("unreachable: _halt raises")
        failures = 0
        for _ in range(_ASKS):
            try:
                probe = await step.done(self._context(step))
            except OwnershipLost:
                raise
            except Exception as error:  # noqa: BLE001 - a probe may raise anything: it is recorded and reported
                failures += 1
                if not may_repeat(error, failures):
                    await self._halt(
                        step, StepState.UNKNOWN, f"it could not be asked about: {_error_text(error)}", error
                    )
                await asyncio.sleep(pause(failures, self._chance()))
                continue
            match after_probe(probe):
                case Move.STOP:
                    await self._halt(step, StepState.UNKNOWN, probe.reason, after)
                case Move.WAIT:
                    self._report(step, StepState.STARTED, text=probe.reason)
                    await asyncio.sleep(_ASK_EVERY)
                case _:
                    return probe
        await self._halt(step, StepState.UNKNOWN, "an earlier attempt is still under way after an hour", after)
        raise AssertionError("unreachable: _halt raises")

    # -- the journal -------------------------------------------------------------------------------------------------

    def _record(self, step: Step) -> StepRecord:
        return self._history.steps[step.name]

    def _context(self, step: Step) -> StepContext:
        async def save(checkpoint: Json) -> None:
            await self._write(Event.CHECKPOINT, step, checkpoint)

        def report(fraction: float, text: str) -> None:
            self._report(step, StepState.STARTED, fraction, text)

        checkpoint = self._record(step).checkpoint
        results = dict(self._history.results)
        return StepContext(self._job, step.name, self._plan.arguments, results, checkpoint, save, report)

    async def _record_done(self, step: Step, result: Json) -> None:
        await self._write(Event.DONE, step, result)
        self._report(step, StepState.DONE, 1.0)

    async def _halt(self, step: Step, state: StepState, reason: str, cause: Exception | None = None) -> None:
        """Record a failure and raise it.

        Raises:
            Halted: always.
        """
        await self._write(Event.UNKNOWN if state is StepState.UNKNOWN else Event.FAILED, step, reason)
        self._report(step, state, text=reason)
        raise Halted(step.name, state, reason) from cause

    async def _write(self, event: Event, step: Step, body: Json = None) -> None:
        entry = Entry(event, self._now(), step.name, body)
        await self._log.append(entry)
        self._history.add(entry)

    def _report(
        self, step: Step, state: StepState, fraction: float = 0.0, text: str = "", *, undo: bool = False
    ) -> None:
        self._progress(Progress(step.name, state, fraction, text, undo))


def _error_text(error: Exception) -> str:
    """Return an error's text for the journal; other libraries' texts are dropped, as they may contain secrets."""
    if isinstance(error, RdskitError | PlanError):
        return f"{type(error).__name__}: {error}"
    return f"it raised {type(error).__name__}"
