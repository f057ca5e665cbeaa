"""Plans, steps and jobs as values, and the state of a job from its journal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import ConfigError, PlanError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

JOURNAL_VERSION: Final = 1
_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,118}[^\s\x00-\x1f\x7f])?")

Json = Any
"""What JSON can hold; journals keep nothing else."""


class ProbeState(Enum):
    """The outcome of a step whose journal entry is not final, as the server or AWS reports it."""

    DONE = "done"
    NOT_DONE = "not done"
    RUNNING = "still running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of a step's ``done``.

    Attributes:
        state: what was found.
        result: what ``run`` would have returned, where the step is done.
        reason: why it is unknown, or what is still running.
    """

    state: ProbeState
    result: Json = None
    reason: str = ""


def done(result: Json = None) -> Probe:
    """Say that the step has taken effect.

    Args:
        result: what ``run`` would have returned.
    """
    return Probe(ProbeState.DONE, result)


def not_done() -> Probe:
    """Say that the step has had no effect, and that nothing of it is under way."""
    return Probe(ProbeState.NOT_DONE)


def running(reason: str) -> Probe:
    """Say that an earlier attempt is still under way; the runner asks again until it has ended."""
    return Probe(ProbeState.RUNNING, reason=reason)


def unknown(reason: str) -> Probe:
    """Say that the outcome is unknown; the job stops and names the reason."""
    return Probe(ProbeState.UNKNOWN, reason=reason)


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step's functions receive.

    Attributes:
        job: the job's id.
        step: the step's name.
        arguments: the plan's arguments.
        results: results of the steps that are done, by name.
        checkpoint: what an earlier attempt saved last; None if it saved nothing.
        save: writes a checkpoint to the journal, for steps that work in chunks.
        progress: reports how far the step has come: a fraction from 0 to 1, and what it is at.
    """

    job: str
    step: str
    arguments: Mapping[str, Json]
    results: Mapping[str, Json]
    checkpoint: Json
    save: Callable[[Json], Awaitable[None]]
    progress: Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Attributes:
        name: unique in its plan; the journal knows the step by it.
        summary: what it will do, in one line.
        run: does it, and returns a result that JSON can hold.
        done: asks the server or AWS whether it happened; None if that cannot be determined.
        undo: undoes it; its context's ``results`` holds what ``run`` returned. None if it cannot be undone.
        changes: whether it changes anything. A step that only reads or waits needs no ``done`` and no ``undo``.
        always: run at the end of every apply, resume and undo, also after a failure. It must be harmless to repeat.
        group: neighbours with the same group run in parallel.
    """

    name: str
    summary: str
    run: Callable[[StepContext], Awaitable[Json]]
    done: Callable[[StepContext], Awaitable[Probe]] | None = None
    undo: Callable[[StepContext], Awaitable[None]] | None = None
    changes: bool = True
    always: bool = False
    group: str | None = None

    @property
    def reversible(self) -> bool:
        """Whether nothing remains of the step after ``undo``."""
        return self.undo is not None or not self.changes


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in order.

    Attributes:
        kind: which kind of work; ``rdskit jobs`` rebuilds a plan of this kind from its arguments.
        title: what it does, in one line.
        arguments: what the plan is rebuilt from; JSON, without secrets.
        steps: in order of execution.
        facts: what the plan was made from, each with its value: a table's columns, a version, a status.
        read: reads the facts again; ``apply`` refuses if they have changed.
        workers: steps of one group that run at the same time.
    """

    kind: str
    title: str
    arguments: Mapping[str, Json]
    steps: Sequence[Step]
    facts: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[], Awaitable[Mapping[str, str]]] | None = None
    workers: int = 4

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        for name in names:
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"step name {name!r} cannot be kept: use 1 to 120 printable characters, without blanks at the ends"
                )
            if names.count(name) > 1:
                raise ConfigError(
                    f"step name {name!r} occurs twice in plan {self.kind!r}: its journal needs unique names"
                )

    def groups(self) -> list[list[Step]]:
        """Return the steps that are not ``always``, with neighbours of one group together."""
        found: list[list[Step]] = []
        for step in self.steps:
            if step.always:
                continue
            if found and step.group is not None and found[-1][-1].group == step.group:
                found[-1].append(step)
            else:
                found.append([step])
        return found

    def last(self) -> list[Step]:
        """Return the ``always`` steps."""
        return [step for step in self.steps if step.always]


class StepState(Enum):
    """The state of a step in the journal."""

    PENDING = "pending"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDOING = "undoing"
    UNDONE = "undone"


class JobState(Enum):
    """The state of a job."""

    OPEN = "interrupted or running"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDOING = "undo interrupted or running"
    UNDONE = "undone"


class Event(Enum):
    """The kind of a journal entry."""

    CREATED = "created"
    STARTED = "started"
    CHECKPOINT = "checkpoint"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDO_BEGUN = "undo begun"
    UNDO_STARTED = "undo started"
    UNDONE = "undone"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal.

    Attributes:
        event: what happened.
        at: when, as an ISO 8601 text in UTC.
        step: the step concerned, if one is.
        body: what belongs to the event: a result, a checkpoint, an error's text, the state at the end.
    """

    event: Event
    at: str
    step: str | None = None
    body: Json = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The journal's record of one step."""

    summary: str
    reversible: bool
    always: bool = False
    state: StepState = StepState.PENDING
    attempts: int = 0
    checkpoint: Json = None
    result: Json = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """An applied plan, from its journal."""

    id: str
    kind: str
    title: str
    arguments: Mapping[str, Json]
    created_at: str
    state: JobState
    steps: Mapping[str, StepRecord]


@dataclass(frozen=True, slots=True)
class Progress:
    """What the runner reports while a job runs.

    Attributes:
        step: the step's name.
        state: how far it is.
        fraction: from 0 to 1 within the step.
        text: what the step is at, or why it failed.
        undo: whether it is being undone.
    """

    step: str
    state: StepState
    fraction: float = 0.0
    text: str = ""
    undo: bool = False


def created(plan: Plan, job: str, at: str) -> Entry:
    """Return the first entry of a job's journal."""
    steps = [
        {"name": step.name, "summary": step.summary, "reversible": step.reversible, "always": step.always}
        for step in plan.steps
    ]
    body = {
        "version": JOURNAL_VERSION,
        "id": job,
        "kind": plan.kind,
        "title": plan.title,
        "arguments": dict(plan.arguments),
        "steps": steps,
    }
    return Entry(Event.CREATED, at, body=body)


class History:
    """The state of a journal, updated while entries are added.

    Args:
        job: the job's id.
        entries: the journal so far.

    Attributes:
        steps: the record of each step.
        results: results of the steps that are done, by name.

    Raises:
        PlanError: the journal does not begin as one, or is of another version.
    """

    def __init__(self, job: str, entries: Iterable[Entry]) -> None:
        rows = iter(entries)
        first = next(rows, None)
        if first is None or first.event is not Event.CREATED:
            raise PlanError(f"the journal of job {job!r} has no beginning: nothing was done, or it is damaged", job=job)
        if first.body.get("version") != JOURNAL_VERSION:
            raise PlanError(
                f"the journal of job {job!r} has version {first.body.get('version')!r}, this rdskit reads "
                f"{JOURNAL_VERSION}: finish the job with the rdskit that began it",
                job=job,
            )
        self._job = job
        self._first = first
        self._state = JobState.OPEN
        self.results: dict[str, Json] = {}
        self.steps = {
            each["name"]: StepRecord(each["summary"], each["reversible"], each["always"])
            for each in first.body["steps"]
        }
        for entry in rows:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Update the state by one more entry."""
        if entry.event is Event.ENDED:
            self._state = JobState(entry.body)
        elif entry.event is Event.UNDO_BEGUN:
            self._state = JobState.UNDOING
        elif entry.step is not None:
            if self._state not in {JobState.OPEN, JobState.UNDOING}:
                self._state = JobState.OPEN  # resumed after it had ended
            self.steps[entry.step] = _advanced(self.steps[entry.step], entry)
            if entry.event is Event.DONE:
                self.results[entry.step] = entry.body
            elif entry.event is Event.UNDONE:
                self.results.pop(entry.step, None)

    def job(self) -> Job:
        """Return the job's present state."""
        body = self._first.body
        arguments, steps = body["arguments"], dict(self.steps)
        return Job(self._job, body["kind"], body["title"], arguments, self._first.at, self._state, steps)


def replay(job: str, entries: Iterable[Entry]) -> Job:
    """Fold a journal into the job's present state.

    Raises:
        PlanError: the journal does not begin as one, or is of another version.
    """
    return History(job, entries).job()


def _advanced(record: StepRecord, entry: Entry) -> StepRecord:
    if entry.event is Event.CHECKPOINT:
        return replace(record, checkpoint=entry.body)
    if entry.event is Event.DONE:
        return replace(record, state=StepState.DONE, result=entry.body, detail="")
    if entry.event is Event.UNDONE:
        return replace(record, state=StepState.UNDONE, checkpoint=None, result=None, detail="")
    if entry.event is Event.FAILED and record.state is StepState.UNDOING:
        return replace(record, detail=entry.body)  # a failed undo leaves the step where it was
    attempts = record.attempts + (entry.event is Event.STARTED)
    return replace(record, state=_STATES[entry.event], attempts=attempts, detail=entry.body or "")


_STATES: Final = {
    Event.STARTED: StepState.STARTED,
    Event.FAILED: StepState.FAILED,
    Event.UNKNOWN: StepState.UNKNOWN,
    Event.UNDO_STARTED: StepState.UNDOING,
}
