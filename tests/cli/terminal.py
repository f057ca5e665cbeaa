"""A program in a terminal of its own, as a person has it in front of them; a plain helper, no fixture."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

PATIENCE = 60.0  # seconds
_HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9])")


class Terminal:
    """The keyboard and the screen of a program that draws whole frames from the upper left corner."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self.process = process
        self.written = ""
        self._seen = 0

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Resize the window; the kernel signals the program."""
        set_size(self._descriptor, columns, lines)

    def until(self, shown: Callable[[str], object]) -> str:
        """Wait until a whole frame is as it should be, and give it."""
        end = time.monotonic() + PATIENCE
        while not shown(frame := self.frame()):
            assert time.monotonic() < end, f"not within {PATIENCE:g} s; the last frame was:\n{frame}"
            assert self._read(0.2) or self.process.poll() is None, f"it ended; it had written:\n{self.written[-4000:]}"
        return frame

    def frame(self) -> str:
        """Return the last complete frame as text; empty before there is one."""
        frames = self.written.split(_HOME)
        return _SEQUENCE.sub("", frames[-2]).replace("\r", "") if len(frames) > 2 else ""

    def until_written(self, words: str) -> str:
        """Wait until the program has written words, and give what it has written since those of the last call."""
        end = time.monotonic() + PATIENCE
        while (found := (plain := _SEQUENCE.sub("", self.written).replace("\r", "")).find(words, self._seen)) < 0:
            shown = plain[self._seen :]
            assert time.monotonic() < end, f"not within {PATIENCE:g} s: {words!r}; it had written:\n{shown}"
            assert self._read(0.2) or self.process.poll() is None, f"it ended; it had written:\n{shown}"
        before, self._seen = self._seen, found + len(words)
        return plain[before : self._seen]

    def end(self) -> int:
        """Wait for the program's end, and give its exit status."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self._read(0.2)
        while self._read(0.0):
            pass
        return self.process.returncode

    def stopped(self) -> bool:
        """Wait until the program is stopped, as by Ctrl-Z, and has written what it does before."""
        process, end = psutil.Process(self.process.pid), time.monotonic() + PATIENCE
        while process.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < end, "it is not stopped"
            self._read(0.05)
        while self._read(0.0):
            pass
        return True

    def settings(self) -> list[object]:
        """Return the terminal's settings: echo, signals, line by line or key by key."""
        return termios.tcgetattr(self._descriptor)

    def _read(self, timeout: float) -> bool:
        if not select.select([self._descriptor], [], [], timeout)[0]:
            return False
        try:
            found = os.read(self._descriptor, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.written += found.decode(errors="replace")
        return bool(found)


def set_size(descriptor: int, columns: int, lines: int) -> None:
    """Tell the kernel the size of a terminal."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextlib.contextmanager
def rdskit_in_terminal(arguments: Sequence[str], columns: int = 160, lines: int = 40) -> Iterator[Terminal]:
    """Run ``rdskit`` in a terminal of its own for the length of the block."""
    with in_terminal([sys.executable, "-c", _RDSKIT, *arguments], columns, lines) as terminal:
        yield terminal


@contextlib.contextmanager
def in_terminal(
    command: Sequence[str],
    columns: int = 160,
    lines: int = 40,
    *,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """Run a program in a terminal of its own for the length of the block; ``variables`` are set in its environment."""
    ours, theirs = pty.openpty()
    set_size(theirs, columns, lines)
    environment = {**os.environ, "TERM": "xterm-256color", **(variables or {})}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    # A session of its own, so that the terminal can become its controlling one: keys such as Ctrl-C are signals then.
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLING, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def prompt(target: str, history: Path, *words: str) -> AbstractContextManager[Terminal]:
    """Run ``rdskit shell`` in a terminal of its own, with a history file of its own."""
    variables = {"RDSKIT_HISTORY": str(history), "PROMPT_TOOLKIT_NO_CPR": "1"}
    command = [sys.executable, "-m", "rdskit", "shell", target, *words]
    return in_terminal(command, columns=100, variables=variables)


_CONTROLLING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_RDSKIT = "from rdskit.cli.main import main; main()"
