"""Manage a database server on this machine: its data directory, the log beside it, and its processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.engines import processes

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.privilege import Identity
    from rdskit.local.engines.session import Account

_LOG_TAIL = 2000


class DatabaseServer:
    """Server on this machine that only this class starts and ends.

    Args:
        product: its name, for messages.
        data: its data directory and working directory. An orphan is recognized by it.
        address: where it listens.
        account: its superuser, which also replicates.
        complaint: pattern of a log line that reports trouble.
    """

    def __init__(
        self, product: str, data: Path, address: Endpoint, account: Account, complaint: re.Pattern[str]
    ) -> None:
        self.data = data.absolute()
        self.address = address
        self.account = account
        self.log = self.data.with_name(f"{self.data.name}.log")
        self._title = f"{product} in {self.data}"
        self._complaint = complaint
        self._process: subprocess.Popen[bytes] | None = None
        self._tree: list[int] = []
        # Offset in the log at the last start: the file is appended to over many starts.
        self._log_start = 0

    def fence(self) -> None:
        """Send SIGKILL to every process of the server. After the return it acknowledges nothing more."""
        process = self._process
        if process is not None and process.poll() is None:
            # All processes, not only the parent: an orphaned backend could still send its client the answer to a
            # COMMIT.
            self._tree = processes.signal_tree(process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Fence the server and wait until its processes are gone."""
        self.fence()
        if self._process is not None:
            self._process.wait()
        # Backends may outlive the parent for a moment and hold the port or shared memory that the next start needs.
        processes.wait_gone(self._tree)

    def pause(self) -> None:
        """Suspend every process of the server; all of them are stopped when this returns."""
        processes.suspend_tree(self._running.pid)

    def resume(self) -> None:
        """Continue a paused server."""
        processes.resume_tree(self._running.pid)

    def remove(self) -> None:
        """Delete the data directory and the log of a stopped server."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        """Whether the server's process runs. A paused one counts as running."""
        return self._process is not None and self._process.poll() is None

    @property
    def suspended(self) -> bool:
        """Whether a signal has stopped the server's parent process, so that it accepts no connection."""
        return self.alive and processes.is_suspended(self._running.pid)

    @property
    def pid(self) -> int | None:
        """Id of the process that was started last."""
        return self._process.pid if self._process else None

    def log_excerpt(self) -> str:
        """Return the errors in the log since the last start; the end of the log if there are none."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "it has no log"
        complaints = [line for line in lines if self._complaint.search(line)]
        return "\n".join(complaints or lines)[-_LOG_TAIL:]

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str], identity: Identity) -> None:
        """Start the process without waiting until it is ready."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=environment,
                # A Ctrl-C in the terminal goes to the whole process group. Only the owner should get it, and stop its
                # servers in order.
                start_new_session=True,
                **identity,
            )

    def _end(self, number: signal.Signals, timeout: float) -> None:
        """End the server by a signal; kill it if it does not end within ``timeout`` seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        # A stopped process does not handle SIGTERM or SIGINT.
        self.resume()
        # Listed before the signal: afterwards the children of a dead parent can no longer be found.
        tree = [process.pid, *processes.descendants(process.pid)]
        process.send_signal(number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        processes.wait_gone(tree)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise LocalError(f"{self._title} is not running: start it first")
        return self._process
