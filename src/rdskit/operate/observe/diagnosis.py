"""The findings of a diagnosis, step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Status(Enum):
    """The status of a step."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Obstacle(Exception):  # noqa: N818 - a finding for a person, not an error of the program
    """A step failed.

    Attributes:
        finding: the reason.
        next_step: the advice.
    """

    def __init__(self, finding: str, next_step: str) -> None:
        super().__init__(finding)
        self.finding = finding
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a successful step.

    Attributes:
        words: the finding.
        advice: a recommendation, which makes the step a warning; else None.
    """

    words: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a diagnosis.

    Attributes:
        name: the step's name.
        status: its status.
        finding: the finding.
        next_step: the advice; None if there is nothing to do.
        ms: its duration in milliseconds.
    """

    name: str
    status: Status
    finding: str
    next_step: str | None
    ms: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All steps for a target, including those that were skipped."""

    target: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> bool:
        """Whether any step failed."""
        return any(step.status is Status.FAIL for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as plain values for JSON."""
        steps = [{**asdict(step), "status": step.status.value} for step in self.steps]
        return {"target": self.target, "ok": not self.failed, "steps": steps}
