"""Signal server processes as a whole: the parent and everything that it has forked."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterable

_WAIT = 10.0
#: Names of running servers. An unpacked server is started by its own dynamic loader and has the loader's name.
_SERVERS = ("postgres", "mysqld", "mariadbd", "ld-linux*.so.*")


def descendants(pid: int) -> list[int]:
    """Return the processes that ``pid`` has forked, directly or not."""
    children = _children(pid)
    return children + [each for child in children for each in descendants(child)]


def signal_tree(pid: int, number: signal.Signals) -> list[int]:
    """Send a signal to a process and all its descendants, so that none is left acting alone.

    Returns:
        The processes signalled.
    """
    tree = [pid]
    # The parent is stopped first, so that it cannot fork between the listing and the signal. A process group would not
    # do: PostgreSQL gives each backend a group of its own (setsid in InitPostmasterChild).
    _send(pid, signal.SIGSTOP)
    tree += descendants(pid)
    for each in tree:
        _send(each, number)
    return tree


def suspend_tree(pid: int) -> None:
    """Stop a process and all its descendants, and wait until each of them is stopped.

    A process runs on until one of its threads has noticed the signal, which takes a while on a busy machine.
    """
    left = signal_tree(pid, signal.SIGSTOP)
    poll(lambda: not any(_runs(each) and not is_suspended(each) for each in left), timeout=_WAIT, interval=0.001)


def resume_tree(pid: int) -> None:
    """Continue a stopped process and its descendants."""
    # Children first: a parent that continues earlier could take a stopped child for a hung one.
    for each in [*descendants(pid), pid]:
        _send(each, signal.SIGCONT)


def is_suspended(pid: int) -> bool:
    """Return whether a process is stopped by a signal."""
    return _status(pid) == psutil.STATUS_STOPPED


def wait_gone(pids: Iterable[int], timeout: float = _WAIT) -> bool:
    """Wait until none of the processes runs any more. A zombie, which its parent has not reaped yet, does not run.

    Returns:
        Whether all have ended within ``timeout`` seconds.
    """
    left = list(pids)

    def ended() -> bool:
        left[:] = [pid for pid in left if _runs(pid)]
        return not left

    return poll(ended, timeout=timeout)


def wait_for_exit(pids: Iterable[int], timeout: float) -> None:
    """Wait until one of our own child processes ends, or ``timeout`` seconds have passed.

    Without pidfds, on systems other than Linux, this waits the whole time.
    """
    watched = [fd for pid in pids if (fd := _open_pidfd(pid)) is not None]
    poller = select.poll()
    for fd in watched:
        poller.register(fd, select.POLLIN)
    try:
        poller.poll(timeout * 1000)
    finally:
        for fd in watched:
            os.close(fd)


def end_orphans(directory: Path) -> list[int]:
    """Kill the servers that a crashed owner left running below its directory.

    Args:
        directory: where our servers keep their data.

    Returns:
        The processes killed.
    """
    # A process is ours if it works below the directory and has a server's name. Recorded pids would not do: the system
    # uses them again, but it does not move a process to our directory.
    ours = [each for each in psutil.process_iter() if _is_server_below(each, directory.resolve())]
    for each in ours:
        _send(each.pid, signal.SIGKILL)
    pids = [each.pid for each in ours]
    wait_gone(pids)
    return pids


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None if there is none to be had."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _is_server_below(process: psutil.Process, directory: Path) -> bool:
    try:
        name = process.name()
        known = any(fnmatch.fnmatchcase(name, pattern) for pattern in _SERVERS)
        return known and Path(process.cwd()).is_relative_to(directory)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _children(pid: int) -> list[int]:
    # Much cheaper than psutil, which reads the status of every process of the system. The file needs
    # CONFIG_PROC_CHILDREN, which some kernels lack.
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(each) for each in listing.read_text().split()]
    except FileNotFoundError:
        process = _process(pid)
    except ProcessLookupError:
        return []
    try:
        return [each.pid for each in process.children()] if process else []
    except psutil.NoSuchProcess:
        return []


def _runs(pid: int) -> bool:
    return _status(pid) not in (None, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _status(pid: int) -> str | None:
    process = _process(pid)
    try:
        return process.status() if process else None
    except psutil.NoSuchProcess:
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _send(pid: int, number: signal.Signals) -> None:
    # It may have ended since the listing.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
