"""A process with everything imported that forks a child for each command, and kills it where asked.

Reads one JSON object a line: ``{"function", "arguments", "rooms", "kill_at"}``. The child imports ``module:function``
and runs that coroutine function. It counts the lines that it executes in the rooms of rdskit, in every thread, and
kills itself with SIGKILL before line number ``kill_at``. The commands of one line, a list, run at the same time.

Answers with one JSON object for each: ``{"killed": true}``, ``{"answer", "lines", "visits"}``, or ``{"error", "kind",
"lines", "visits"}``; ``visits`` are the numbers at which each line of the source was executed first and last.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rdskit
from rdskit.errors import RdskitError

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(rdskit.__file__).parent


class Lines:
    """Counts executed lines of some rooms; kills the process at one of them."""

    def __init__(self, rooms: list[str], kill_at: int | None) -> None:
        self.count = 0
        self._first: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._rooms = tuple(str(ROOT / room) for room in rooms)
        self._kill_at = kill_at

    def start(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    @property
    def visits(self) -> list[int]:
        return sorted({*self._first.values(), *self._last.values()})

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        return self._line if frame.f_code.co_filename.startswith(self._rooms) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        del argument
        if event == "line":
            self.count += 1
            place = (frame.f_code.co_filename, frame.f_lineno)
            self._first.setdefault(place, self.count)
            self._last[place] = self.count
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def child(command: dict[str, Any], answers: int) -> None:
    module, _, name = command["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    lines = Lines(command["rooms"], command["kill_at"])
    lines.start()
    answer: dict[str, Any]
    try:
        answer = {"answer": asyncio.run(function(**command["arguments"]))}
    except RdskitError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    os.write(answers, json.dumps({**answer, "lines": lines.count, "visits": lines.visits}).encode())
    os._exit(0)


def begun(command: dict[str, Any]) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(command, writing)
    os.close(writing)
    return pid, reading


def ended(pid: int, reading: int) -> dict[str, Any]:
    with os.fdopen(reading) as answers:
        text = answers.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return {"killed": True}
    found: dict[str, Any] = json.loads(text) if text else {"error": f"the child ended with status {status}", "kind": ""}
    return found


def serve() -> None:
    """Fork children for each line of standard input."""
    for line in sys.stdin:
        commands = json.loads(line)
        children = [begun(command) for command in commands]
        sys.stdout.write(json.dumps([ended(*each) for each in children]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for preloaded in sys.argv[1:]:
        importlib.import_module(preloaded)
    serve()
