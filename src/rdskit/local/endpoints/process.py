"""The daemon's side of the endpoint process: starts it, commands it, and replaces it if it dies."""

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

    Judge = Callable[[str, str, str], str]

_log = logging.getLogger(__name__)

_ANSWER = 10.0
_QUICK_DEATHS = 5
_JUDGES = 8


def refuse_all(name: str, user: str, token: str) -> str:  # noqa: ARG001 - a judge is called with these
    """The judge of a local RDS that knows no access keys."""
    return "IAM authentication is not set up"


class EndpointProcess:
    """The process that serves all endpoints.

    It holds nothing that is not here too: when it dies, a new one gets the same table. It ends by itself when this
    process ends, since its standard input does.

    Args:
        judge: called with an endpoint's name, a user and the token that was given as its password; returns why the
            login is refused, empty if it is not. It runs in threads of this process, several at a time.
    """

    def __init__(self, judge: Judge = refuse_all) -> None:
        self._judge = judge
        self._judges = ThreadPoolExecutor(_JUDGES, "rdskit-judge")
        self._table: dict[str, EndpointState] = {}
        self._waiting: dict[int, Future[str]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._closing = False

    def start(self) -> None:
        """Start the process; it serves nothing yet."""
        with self._lock:
            self._process = _spawn()
        self._reader = threading.Thread(target=self._follow, name="rdskit-endpoints", daemon=True)
        self._reader.start()

    def set(self, state: EndpointState, *, cut: bool = False) -> None:
        """Open an endpoint, or change one.

        Args:
            state: what it shall be from now on.
            cut: reset its present connections, after the change.

        Raises:
            LocalError: its address is taken.
        """
        with self._lock:
            previous = self._table.get(state.name)
            self._table[state.name] = state
            answer = self._send(state.name, state, cut=cut)
        error = self._await(answer)
        if error:
            with self._lock:
                self._restore(state.name, previous)
            raise LocalError(f"{error}: free the address, or ask for another port")

    def remove(self, name: str) -> None:
        """Close an endpoint and reset its connections; one that is not there is fine."""
        with self._lock:
            self._table.pop(name, None)
            answer = self._send(name, None)
        self._await(answer)

    def close(self) -> None:
        """Close every endpoint and end the process."""
        with self._lock:
            self._closing = True
            process = self._process
        self._judges.shutdown(wait=False, cancel_futures=True)
        if process is None:
            return
        _hang_up(process)
        try:
            process.wait(_ANSWER)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()

    @property
    def pid(self) -> int | None:
        """The process that serves at the moment."""
        with self._lock:
            return self._process.pid if self._process else None

    def _restore(self, name: str, previous: EndpointState | None) -> None:
        if previous is None:
            self._table.pop(name, None)
        else:
            self._table[name] = previous

    def _send(self, name: str, state: EndpointState | None, *, cut: bool = False) -> Future[str]:
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
            # It has just died: its successor gets the whole table, this change included.
            _log.warning("endpoint %s is changed by a restart of the endpoint process: %s", command.name, error)

    def _await(self, answer: Future[str]) -> str:
        try:
            return answer.result(_ANSWER)
        except FutureTimeout as error:
            raise LocalError(
                f"the endpoint process did not answer within {_ANSWER:g} s: restart the local RDS"
            ) from error

    def _follow(self) -> None:
        """Take answers in; when the process dies, put another in its place."""
        quick_deaths = 0
        while quick_deaths < _QUICK_DEATHS:
            answered = sum(1 for _ in self._answers())
            with self._lock:
                if self._closing:
                    return
                quick_deaths = 0 if answered > len(self._table) else quick_deaths + 1
                self._replace()
        _log.error("the endpoint process died %d times in a row and is given up", _QUICK_DEATHS)

    def _answers(self) -> Iterator[int]:
        process = self._process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            report = decode_report(line)
            if isinstance(report, Question):
                self._consider(process, report)
            else:
                self._take(report)
                yield report.number
        process.stdout.close()

    def _take(self, answer: Answer) -> None:
        with self._lock:
            waiting = self._waiting.pop(answer.number, None)
        if waiting is not None:
            waiting.set_result(answer.error)
        elif answer.error:
            _log.error("%s", answer.error)

    def _consider(self, process: subprocess.Popen[bytes], question: Question) -> None:
        with self._lock:
            if not self._closing:
                self._judges.submit(self._pronounce, process, question)

    def _pronounce(self, process: subprocess.Popen[bytes], question: Question) -> None:
        try:
            reason = self._judge(question.name, question.user, question.token)
        except Exception:  # noqa: BLE001 - the judge is another room's: whatever it raises, the login is refused
            _log.exception("a login of %s at endpoint %s cannot be judged", question.user, question.name)
            reason = "the token cannot be judged: see the log of the local RDS"
        # Only the process that asked may hear it: its successor numbers its own questions.
        with self._lock, contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.write(encode(TokenVerdict(question.number, reason)))
                process.stdin.flush()

    def _replace(self) -> None:
        if self._process is not None:
            _hang_up(self._process)
            status = self._process.wait()
            _log.warning("the endpoint process %d ended (%s): starting another", self._process.pid, status)
        self._process = _spawn()
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
        start_new_session=True,  # a Ctrl-C in the terminal is for the daemon, which closes the endpoints in order
    )


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe by which the process knows that we live."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
