"""The process of one database server, from its start to the end of everything that it has forked."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.engines import processes

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LOG_TAIL = 2000


class ServerProcess:
    """A server's process and its log.

    Args:
        title: of the server, for messages, such as ``"MySQL in /data/one"``.
        directory: it works there, by which it is found again after its owner has crashed.
        log: the file that it writes to.
        complaint: a line of the log that tells of trouble.
    """

    def __init__(self, title: str, directory: Path, log: Path, complaint: re.Pattern[str]) -> None:
        self._title = title
        self._directory = directory
        self._log = log
        self._complaint = complaint
        self._process: subprocess.Popen[bytes] | None = None
        self._tree: list[int] = []
        self._log_start = 0

    def spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the server; it is not ready yet."""
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal is for the owner, who stops its servers in order
            )

    def stop(self, timeout: float) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self.resume()
        tree = [process.pid, *processes.descendants(process.pid)]
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        processes.wait_gone(tree)

    def fence(self) -> None:
        """SIGKILL to all of it: when this returns it can acknowledge nothing any more."""
        process = self._process
        if process is not None and process.poll() is None:
            self._tree = processes.signal_tree(process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Fence the server and wait until all of it is gone."""
        self.fence()
        if self._process is not None:
            self._process.wait()
        processes.wait_gone(self._tree)

    def pause(self) -> None:
        """Hang the server: all of it is stopped where it is."""
        processes.signal_tree(self.running.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        processes.resume_tree(self.running.pid)

    @property
    def alive(self) -> bool:
        """Whether the process runs (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def suspended(self) -> bool:
        """Whether the process is stopped by a signal."""
        return self.alive and processes.is_suspended(self.running.pid)

    @property
    def pid(self) -> int | None:
        """The process that was started last."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The running process.

        Raises:
            LocalError: there is none.
        """
        if self._process is None or self._process.poll() is not None:
            raise LocalError(f"{self._title} is not running: start it first")
        return self._process

    def last_words(self) -> str:
        """What the server has complained of since its last start; the end of its log if of nothing."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "it has no log"
        complaints = [line for line in lines if self._complaint.search(line)]
        return "\n".join(complaints or lines)[-_LOG_TAIL:]
