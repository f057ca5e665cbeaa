"""Killing processes at chosen instructions."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


class Zygote:
    """Runs coroutine functions in forked children; see ``tests.killing.zygote``.

    Args:
        module: holds the functions; imported once.
        rooms: whose lines are counted, such as ``plans``.
    """

    def __init__(self, module: str, *rooms: str) -> None:
        self._module = module
        self._rooms = list(rooms)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.killing.zygote", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, function: str, *, kill_at: int | None = None, **arguments: Any) -> dict[str, Any]:
        """Run a function in one child and return what became of it."""
        return self.run_all(function, [arguments], kill_at=kill_at)[0]

    def run_all(
        self, function: str, arguments: list[dict[str, Any]], *, kill_at: int | None = None
    ) -> list[dict[str, Any]]:
        """Run a function in several children at the same time."""
        name = f"{self._module}:{function}"
        commands = [
            {"function": name, "arguments": each, "rooms": self._rooms, "kill_at": kill_at} for each in arguments
        ]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(commands) + "\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return answers

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def spread(run: dict[str, Any], kills: int | None) -> list[int]:
    """Return at which executed lines to kill: so many, evenly spread, or each source line's first and last if None.

    The last few are left out: a run that is repeated may take fewer lines.

    Args:
        run: what a run to the end answered.
        kills: how many.
    """
    last = int(run["lines"] * 0.97)
    if kills is None:
        return [visit for visit in run["visits"] if visit < last]
    return [1 + last * (2 * n + 1) // (2 * kills) for n in range(kills)]
