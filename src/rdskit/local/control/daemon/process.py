"""Start, find, await and stop the process of a daemon."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from rdskit.errors import LocalError
from rdskit.local.control.daemon.environment import without_proxies
from rdskit.local.control.layout import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rdskit.local.control.iam.guard import Guard
    from rdskit.local.control.layout import Layout

__all__ = ["DaemonProcess"]

_UP_TIMEOUT = 90.0  # seconds, as all of these
_DOWN_TIMEOUT = 60.0
_EXIT_TIMEOUT = 2.0
_POLL = 0.02
_LOG_LINES = 5
_LOG_LIMIT = 5 * 1024**2  # bytes


class DaemonProcess:
    """The daemon of one data directory, if it runs.

    Args:
        layout: files of the directory.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def alive(self) -> bool:
        """Whether the daemon runs: it holds its lock until it ends, even by SIGKILL."""
        # A recorded process id could belong to another process by now. The kernel releases a lock with its process.
        try:
            file = self._layout.lock.open("r")
        except FileNotFoundError:
            return False
        with file:
            try:
                # A shared lock: two processes that check at the same time must not see each other.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def said(self) -> dict[str, Any]:
        """The daemon's last report: ``pid``, ``port``, ``ready`` or ``error``."""
        return read_json(self._layout.daemon)

    @property
    def pid(self) -> int | None:
        """The process id in the daemon's report."""
        pid = self.said.get("pid")
        return int(pid) if pid is not None else None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Allow one start at a time: the second caller then finds the daemon of the first."""
        with self._layout.start.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def command(self, port: int, guard: Guard) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the environment of the daemon.

        The environment has no AWS settings of the user: a profile that does not exist must not prevent the start. The
        daemon uses no proxy for this machine, for messages to a subscriber for example.
        """
        place = ["--data", str(self._layout.data), "--port", str(port)]
        arguments = [sys.executable, "-m", "rdskit.local.daemon", *place, *guard.arguments()]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        return arguments, kept | without_proxies(kept)

    def start(self, port: int, guard: Guard) -> None:
        """Start the daemon in a new session, so that it outlives its terminal, and return when it is ready.

        Raises:
            LocalError: the daemon ended, or did not become ready in time.
        """
        child = self._spawn(*self.command(port, guard))
        self._await(lambda: self._ready(child), "did not become ready")

    def await_ready(self) -> None:
        """Wait for a daemon that another process has started.

        Raises:
            LocalError: the daemon did not become ready in time.
        """
        self._await(lambda: bool(self.said.get("ready")), "is starting, but did not become ready")

    def ends_soon(self) -> bool:
        """Return whether the daemon ends within moments: a dying process loses its connections before its lock."""
        return _within(_EXIT_TIMEOUT, lambda: not self.alive)

    def stop(self) -> None:
        """Stop the daemon by SIGTERM, then by SIGKILL.

        Raises:
            LocalError: the daemon did not end.
        """
        pid = self.pid
        if pid is not None and not self._stopped(pid, signal.SIGTERM):
            self._stopped(pid, signal.SIGKILL)
        if self.alive:
            raise LocalError(f"the local RDS on {self._layout.data} (pid {pid}) did not stop: see {self._layout.log}")

    def _spawn(self, arguments: list[str], environment: dict[str, str]) -> int:
        log = self._layout.log
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        # Appended: lines of an earlier daemon stay. A log may name databases and users, so only this user reads it.
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ]
            return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
        finally:
            os.close(output)

    def _ready(self, child: int) -> bool:
        # The report of an earlier daemon may still be there: only that of our child counts.
        said = self.said
        if said.get("pid") == child and said.get("ready"):
            return True
        if _ended(child):
            raise LocalError(said.get("error") or f"the local RDS ended while starting: {self._end_of_log()}")
        return False

    def _stopped(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal and return whether the daemon ended in time."""
        # The lock and the process: a caller that starts again at once needs both gone.
        os.kill(pid, number)
        return _within(_DOWN_TIMEOUT, lambda: not self.alive and _ended(pid))

    def _await(self, condition: Callable[[], bool], failing: str) -> None:
        if not _within(_UP_TIMEOUT, condition):
            raise LocalError(f"the local RDS on {self._layout.data} {failing}: see {self._layout.log}")

    def _end_of_log(self) -> str:
        log = self._layout.log
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return " / ".join(lines[-_LOG_LINES:]) or f"see {log}"


def _ended(pid: int) -> bool:
    """Return whether a process has ended, zombies included; reap it if it is our child."""
    # A zombie whose parent does not reap it has ended too: its lock and its sockets are gone.
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        pass
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _within(timeout: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
