"""What every database server of ours has: a data directory, a log beside it, and a process with all that it forks."""

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
    """A server on this machine, started and ended by us alone.

    Args:
        product: its name, for messages.
        data: its data directory, in which it works; by that it is found again after its owner has crashed.
        address: where it listens.
        account: its superuser, which also replicates.
        complaint: a line of its log that tells of trouble.
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
        self._log_start = 0

    def fence(self) -> None:
        """SIGKILL to every process of the server: when this returns it can acknowledge nothing any more."""
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
        """Hang the server: every process of it is stopped where it is, when this returns."""
        processes.suspend_tree(self._running.pid)

    def resume(self) -> None:
        """Let a paused server go on."""
        processes.resume_tree(self._running.pid)

    def remove(self) -> None:
        """Delete the data directory and the log of a stopped server."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    @property
    def alive(self) -> bool:
        """Whether the server's process runs (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def suspended(self) -> bool:
        """Whether the server's parent process is stopped by a signal: it accepts no connection."""
        return self.alive and processes.is_suspended(self._running.pid)

    @property
    def pid(self) -> int | None:
        """The process that was started last."""
        return self._process.pid if self._process else None

    def log_excerpt(self) -> str:
        """What the server has complained of since its last start; the end of its log if of nothing."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "it has no log"
        complaints = [line for line in lines if self._complaint.search(line)]
        return "\n".join(complaints or lines)[-_LOG_TAIL:]

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str], identity: Identity) -> None:
        """Start the process; it is not ready yet."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal is for the owner, who stops its servers in order
                **identity,
            )

    def _end(self, number: signal.Signals, timeout: float) -> None:
        """Ask the server to end by a signal; kill it if it does not within ``timeout`` seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self.resume()
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
