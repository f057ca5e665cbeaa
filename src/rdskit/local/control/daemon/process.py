"""The daemon's process, seen from outside: started, awaited, found, stopped."""

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

_UP_TIMEOUT = 90.0
_DOWN_TIMEOUT = 60.0
_LAST_MOMENTS = 2.0
_POLL = 0.02
_LOG_LINES = 5
_LOG_LIMIT = 5 * 1024**2


class DaemonProcess:
    """The daemon of one data directory, if there is one.

    Args:
        layout: of the directory.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def alive(self) -> bool:
        """Whether it lives: it holds its lock as long as it does, however it ends."""
        try:
            file = self._layout.lock.open("r")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def said(self) -> dict[str, Any]:
        """What it last wrote of itself: ``pid``, ``port``, ``ready`` or ``error``."""
        return read_json(self._layout.daemon)

    @property
    def pid(self) -> int | None:
        """Its process id."""
        pid = self.said.get("pid")
        return int(pid) if pid is not None else None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """One start at a time: whoever comes second finds the first one's daemon."""
        with self._layout.start.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def command(self, port: int, guard: Guard) -> tuple[list[str], dict[str, str]]:
        """Its command line and environment.

        The user's AWS settings stay outside: a profile that does not exist must not keep it from starting. What it
        sends to this machine, such as messages to a subscriber, goes through no proxy.
        """
        place = ["--data", str(self._layout.data), "--port", str(port)]
        arguments = [sys.executable, "-m", "rdskit.local.daemon", *place, *guard.arguments()]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        return arguments, kept | without_proxies(kept)

    def start(self, port: int, guard: Guard) -> None:
        """Start it in a session of its own, so that it outlives its terminal, and return when it is ready.

        Raises:
            LocalError: it ended, or did not become ready in time.
        """
        child = self._spawn(*self.command(port, guard))
        self._await(lambda: self._ready(child), "did not become ready")

    def await_ready(self) -> None:
        """Wait for a daemon that somebody else has started.

        Raises:
            LocalError: it did not become ready in time.
        """
        self._await(lambda: bool(self.said.get("ready")), "is starting, but did not become ready")

    def ends_soon(self) -> bool:
        """Whether it is about to end: a process that dies loses its connections before its lock."""
        return _within(_LAST_MOMENTS, lambda: not self.alive)

    def stop(self) -> None:
        """End it: first politely.

        Raises:
            LocalError: it did not end.
        """
        pid = self.pid
        if pid is not None and not self._stopped(pid, signal.SIGTERM):
            self._stopped(pid, signal.SIGKILL)
        if self.alive:
            raise LocalError(f"The local RDS on {self._layout.data} (pid {pid}) did not stop: see {self._layout.log}.")

    def _spawn(self, arguments: list[str], environment: dict[str, str]) -> int:
        log = self._layout.log
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
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
        said = self.said
        if said.get("pid") == child and said.get("ready"):
            return True
        if _ended(child):
            raise LocalError(said.get("error") or f"The local RDS ended while starting: {self._last_words()}")
        return False

    def _stopped(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal; whether it ended in time."""
        os.kill(pid, number)
        return _within(_DOWN_TIMEOUT, lambda: not self.alive and _ended(pid))

    def _await(self, condition: Callable[[], bool], failing: str) -> None:
        if not _within(_UP_TIMEOUT, condition):
            raise LocalError(f"The local RDS on {self._layout.data} {failing}: see {self._layout.log}.")

    def _last_words(self) -> str:
        log = self._layout.log
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return " / ".join(lines[-_LOG_LINES:]) or f"see {log}"


def _ended(pid: int) -> bool:
    """Whether a process is gone, or waits for a parent that does not care; our own child is reaped."""
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
