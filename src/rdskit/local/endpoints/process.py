"""Start the endpoint process, command it, and replace it if it dies. This is the daemon's side."""

from __future__ import annotations

import contextlib
import itertools
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.endpoints.model import Answer, Command, EndpointState, Question, TokenVerdict, decode_report, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    VerifyToken = Callable[[str, str, str], str]

_log = logging.getLogger(__name__)

_ANSWER_TIMEOUT = 10.0  # seconds
_QUICK_DEATHS = 5  # in a row; then restarting does not help
_VERIFIERS = 8  # threads


def refuse_all(name: str, user: str, token: str) -> str:  # noqa: ARG001 - the signature of VerifyToken
    """Refuse every token: for a local RDS without access keys."""
    return "IAM authentication is not set up"


class EndpointProcess:
    """The process that serves all endpoints.

    All of its state is also in this object: if it dies, a new process gets the same endpoints. It ends by itself when
    this process ends, because its standard input ends then.

    Args:
        verify: verifies an IAM token. It gets an endpoint's name, a user and the password that the client sent, and
            returns why the login is refused; empty if it is accepted. Several threads call it at a time.
    """

    def __init__(self, verify: VerifyToken = refuse_all) -> None:
        self._verify = verify
        self._verifiers = ThreadPoolExecutor(_VERIFIERS, "rdskit-verifier")
        self._table: dict[str, EndpointState] = {}  # the state that each endpoint must have, by name
        self._waiting: dict[int, Future[str]] = {}
        self._numbers = itertools.count(1)
        # Guards the attributes here, and each write to the pipe: lines of two threads must not mix.
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._closing = False

    def start(self) -> None:
        """Start the process, without any endpoint."""
        with self._lock:
            self._process = _spawn()
        self._reader = threading.Thread(target=self._read_reports, name="rdskit-endpoints", daemon=True)
        self._reader.start()

    def set(self, state: EndpointState, *, cut: bool = False) -> None:
        """Open an endpoint, or change one.

        Args:
            state: the endpoint's new state.
            cut: reset its existing connections after the change.

        Raises:
            LocalError: the address is taken, or the process does not answer.
        """
        # Table and pipe change under one lock, so the process sees changes of an endpoint in the order of the table.
        with self._lock:
            previous = self._table.get(state.name)
            self._table[state.name] = state
            answer = self._send(state.name, state, cut=cut)
        # Without the lock: the thread that reads the answers needs it.
        error = self._await(answer)
        if error:
            with self._lock:
                self._restore(state.name, previous)
            raise LocalError(f"{error}: free the address, or ask for another port")

    def remove(self, name: str) -> None:
        """Close an endpoint and reset its connections, if it exists."""
        with self._lock:
            self._table.pop(name, None)
            answer = self._send(name, None)
        self._await(answer)

    def close(self) -> None:
        """Close every endpoint and end the process."""
        # From here on no thread writes to the pipe or replaces the process.
        with self._lock:
            self._closing = True
            process = self._process
        self._verifiers.shutdown(wait=False, cancel_futures=True)
        if process is None:
            return
        _close_input(process)
        try:
            process.wait(_ANSWER_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()

    @property
    def pid(self) -> int | None:
        """The id of the current process; None before the start."""
        with self._lock:
            return self._process.pid if self._process else None

    def _restore(self, name: str, previous: EndpointState | None) -> None:
        if previous is None:
            self._table.pop(name, None)
        else:
            self._table[name] = previous

    def _send(self, name: str, state: EndpointState | None, *, cut: bool = False) -> Future[str]:
        # The caller holds the lock: the future is registered before the command can be answered.
        number = next(self._numbers)
        answer: Future[str] = Future()
        self._waiting[number] = answer
        self._write(Command(number, name, state, cut))
        return answer

    def _write(self, command: Command) -> None:
        process = self._process
        if self._closing or process is None or process.stdin is None:
            raise LocalError("the endpoint process is not running: start the local RDS first")
        try:
            process.stdin.write(encode(command))
            process.stdin.flush()
        except OSError as error:
            # The process has just died. Its successor gets the whole table, this change included.
            _log.warning("endpoint %s is changed by a restart of the endpoint process: %s", command.name, error)

    def _await(self, answer: Future[str]) -> str:
        try:
            return answer.result(_ANSWER_TIMEOUT)
        except FutureTimeout as error:
            raise LocalError(
                f"the endpoint process did not answer within {_ANSWER_TIMEOUT:g} s: restart the local RDS"
            ) from error

    def _read_reports(self) -> None:
        """Read what the process reports; replace the process when it dies."""
        quick_deaths = 0
        while quick_deaths < _QUICK_DEATHS:
            answered = sum(1 for _ in self._answers())
            with self._lock:
                if self._closing:
                    return
                # A new process answers once for each endpoint of the table: more answers mean that it did useful work.
                quick_deaths = 0 if answered > len(self._table) else quick_deaths + 1
                self._replace()
        _log.error("the endpoint process died %d times in a row: not starting it again", _QUICK_DEATHS)

    def _answers(self) -> Iterator[int]:
        # Only this thread replaces the process after the start, so reading the attribute needs no lock.
        process = self._process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            report = decode_report(line)
            if isinstance(report, Question):
                self._start_verification(process, report)
            else:
                self._resolve(report)
                yield report.number
        process.stdout.close()

    def _resolve(self, answer: Answer) -> None:
        with self._lock:
            waiting = self._waiting.pop(answer.number, None)
        if waiting is not None:
            waiting.set_result(answer.error)
        elif answer.error:  # a command of _replace(): no caller waits for it
            _log.error("%s", answer.error)

    def _start_verification(self, process: subprocess.Popen[bytes], question: Question) -> None:
        # In a pool: this thread must go on reading, and a verification waits for the monitor of the control plane.
        with self._lock:
            if not self._closing:  # a pool that was shut down raises
                self._verifiers.submit(self._answer, process, question)

    def _answer(self, process: subprocess.Popen[bytes], question: Question) -> None:
        try:
            reason = self._verify(question.name, question.user, question.token)
        except Exception:  # noqa: BLE001 - the verifier is a callback: any exception refuses the login
            _log.exception("the token of %s at endpoint %s cannot be verified", question.user, question.name)
            reason = "the token cannot be verified: see the log of the local RDS"
        # The verdict goes to the process that asked. A successor has its own numbers: there the verdict could accept
        # another login.
        with self._lock, contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.write(encode(TokenVerdict(question.number, reason)))
                process.stdin.flush()

    def _replace(self) -> None:
        if self._process is not None:
            _close_input(self._process)
            status = self._process.wait()
            _log.warning("the endpoint process %d ended (%s): starting another", self._process.pid, status)
        self._process = _spawn()
        # Callers that waited for the old process get success: the table that is sent now includes their changes. If the
        # new process refuses one of them, _resolve() logs that.
        interrupted, self._waiting = self._waiting, {}
        for state in self._table.values():
            self._write(Command(next(self._numbers), state.name, state, cut=False))
        for waiting in interrupted.values():
            waiting.set_result("")


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rdskit.local.endpoints"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach the daemon only, which closes the endpoints in order
    )


def _close_input(process: subprocess.Popen[bytes]) -> None:
    """Close the standard input of the process, which ends the process."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
