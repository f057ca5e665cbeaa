"""Run a command that needs the machine for itself: a second one waits until the first has ended.

Usage: python tools/alone.py TITLE COMMAND...       Exit status is the command's.

`make test`, `make soak` and `make bench` of all checkouts of one user share a lock, because each of them measures time
or depends on it. The lock is a file in the user's cache of unpacked servers; the system releases it when this process
ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rdskit.local.engines.unpacked import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextlib.contextmanager
def machine(title: str) -> Iterator[None]:
    """Hold the lock for the length of the block; print who holds it while waiting."""
    path = cache_directory().with_name("machine.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, title)
        # Readers wait for the lock, so they may see the text of an earlier holder for a moment, never half a line.
        file.truncate(0)
        file.write(f"{title} in {Path.cwd()} (pid {os.getpid()}) since {time.strftime('%H:%M:%S')}\n")
        file.flush()
        yield


def _acquire(file: IO[str], title: str) -> None:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    file.seek(0)
    print(f"{title} waits for: {file.read().strip() or 'another run'}", file=sys.stderr, flush=True)
    fcntl.flock(file, fcntl.LOCK_EX)


def run(command: list[str]) -> int:
    """Run a command to its end and pass SIGTERM on to it; Ctrl-C reaches it by itself."""
    running: list[subprocess.Popen[bytes]] = []

    def end(_number: int, _frame: FrameType | None) -> None:
        for process in running:
            process.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    # The command does not inherit the lock: a server that outlives it must not hold it.
    running.append(subprocess.Popen(command))
    return running[0].wait()


def main(arguments: list[str]) -> int:
    """Run the command in the arguments under the lock."""
    title, *command = arguments
    with machine(title):
        status = run(command)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
