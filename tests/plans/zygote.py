"""A process with everything imported that forks a child for each command: a run of a sample plan, killed where asked.

Reads one JSON object a line: ``{"sample", "subject", "directory", "verb", "job", "kill_at"}``. The child counts the
lines that it executes in ``rdskit.plans`` and kills itself with SIGKILL before line number ``kill_at``. Answers with
one JSON object: ``{"killed": true}``, or ``{"state", "lines"}``, or ``{"error", "lines"}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit.plans
from rdskit.errors import PlanError, RdskitError
from rdskit.plans import apply, resume, undo
from tests.plans.samples import SAMPLES

if TYPE_CHECKING:
    from types import FrameType

ROOM = str(Path(rdskit.plans.__file__).parent)


class Lines:
    """Counts executed lines of the room, in every thread; kills the process at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.count = 0
        self._kill_at = kill_at

    def start(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        return self._line if frame.f_code.co_filename.startswith(ROOM) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        del frame, argument
        if event == "line":
            self.count += 1
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


async def run(command: dict[str, Any]) -> dict[str, Any]:
    lines = Lines(command["kill_at"])
    verb, job = command["verb"], command["job"]
    async with SAMPLES[command["sample"]](command["subject"], Path(command["directory"])) as (plan, journal):
        lines.start()
        try:
            if verb == "apply":
                ended = await apply(plan, journal, job=job)
            else:
                ended = await {"resume": resume, "undo": undo}[verb](plan, journal, job)
        except PlanError as error:
            return {"error": str(error), "step": error.step, "lines": lines.count}
        finally:
            sys.settrace(None)
            threading.settrace(None)
    return {"state": ended.state.value, "lines": lines.count}


def child(command: dict[str, Any], answers: int) -> None:
    try:
        answer = asyncio.run(run(command))
    except RdskitError as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    os.write(answers, json.dumps(answer).encode())
    os._exit(0)


def serve() -> None:
    """Fork a child for each line of standard input."""
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as answers:
            answer = answers.read()
        status = os.waitpid(pid, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write((json.dumps({"killed": True}) if killed else answer or json.dumps({"failed": status})) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
