"""Breaches of the suite's own rules: each is named at the end, and the run fails.

With pytest-xdist each worker has a home, servers and rules of its own, and tells the controller what it found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

found: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    result = yield  # every rule has had its look by then
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["breaches"] = found
    elif found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    found.extend(getattr(node, "workeroutput", {}).get("breaches", ["a worker ended before it looked at its rules"]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for breach in found:
        terminalreporter.write_line(breach, red=True)
