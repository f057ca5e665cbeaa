"""The suite leaves nothing behind: no process, and no file outside the checkout."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.plugins import breaches
from tests.plugins.isolation import CHECKOUT, MARK, SERVERS, run_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GRACE = 5.0  # seconds in which a terminated process may still be ending
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ELSEWHERE_ALLOWED = ("/dev/", "/proc/", "/sys/", f"{SERVERS}/")

written_elsewhere: set[str] = set()


def watch_writes(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: remember each path outside the checkout that this process opens for writing."""
    if event != "open":
        return
    path, _, flags = arguments
    if not (isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITING):
        return
    full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - runs at every open, where a Path is too dear
    if not full.startswith((str(CHECKOUT), *ELSEWHERE_ALLOWED)) and "__pycache__" not in full:
        written_elsewhere.add(full)


def belongs_to_run(process: psutil.Process) -> bool:
    """Return whether a process descends from this run, or works in its directory."""
    directory = str(run_directory())
    try:
        return process.environ().get(MARK) == directory or any(directory in word for word in process.cmdline())
    except psutil.Error:  # it has ended by now, or belongs to another user
        return False


def surviving_processes() -> list[psutil.Process]:
    """Return the processes of the run that are still there after a grace period."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = [process for process in psutil.process_iter() if process.pid not in own and belongs_to_run(process)]
    _, alive = psutil.wait_procs([process for process in found if not is_resource_tracker(process)], timeout=GRACE)
    return alive


def is_resource_tracker(process: psutil.Process) -> bool:
    """Return whether this is multiprocessing's own process, which ends after us."""
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return True


def end(processes: Iterable[psutil.Process]) -> list[str]:
    """End each process, and say which it was."""
    told = []
    for process in processes:
        with process.oneshot():
            told.append(f"process {process.pid} was left behind: {' '.join(process.cmdline())[:200]}")
        process.kill()
    return told


def files_in_home() -> list[Path]:
    """Return what was written into the home directory that this run was given."""
    return [path for path in (run_directory() / "home").rglob("*") if path.is_file()]


def pytest_configure() -> None:
    sys.addaudithook(watch_writes)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    left = end(surviving_processes())
    left += [f"a file outside the checkout was written: {path}" for path in sorted(written_elsewhere)]
    left += [f"a file in the home directory was written: {path}" for path in files_in_home()]
    breaches.found.extend(f"LEFT BEHIND {each}" for each in left)
