"""What a look at a database found, step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Status(Enum):
    """How a step ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Obstacle(Exception):  # noqa: N818 - it is what stands in the way, told to a person
    """A step cannot be taken.

    Attributes:
        finding: why.
        next_step: what to do about it.
    """

    def __init__(self, finding: str, next_step: str) -> None:
        super().__init__(finding)
        self.finding = finding
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Finding:
    """A step was taken.

    Attributes:
        words: what was found.
        advice: what to do all the same; makes the step a warning.
    """

    words: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to a database.

    Attributes:
        name: what was looked at.
        status: how it ended.
        finding: what was found.
        next_step: what to do about it; None where there is nothing to do.
        ms: how long it took, in milliseconds.
    """

    name: str
    status: Status
    finding: str
    next_step: str | None
    ms: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All steps on the way to a target, the ones that were not reached included."""

    target: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> bool:
        """Whether any step failed."""
        return any(step.status is Status.FAIL for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """The diagnosis for programs."""
        steps = [{**asdict(step), "status": step.status.value} for step in self.steps]
        return {"target": self.target, "ok": not self.failed, "steps": steps}
