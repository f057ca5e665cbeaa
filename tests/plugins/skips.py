"""Nothing is skipped silently: in CI, a skip or an expected failure that is not listed here fails the run."""

from __future__ import annotations

import os

import pytest

#: node id -> why it may be skipped in CI
LISTED: dict[str, str] = {}

unlisted: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and report.nodeid not in LISTED:
        unlisted.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unlisted and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for nodeid in unlisted:
        terminalreporter.write_line(f"NOT RUN {nodeid}: skipped, and not listed in tests/plugins/skips.py", red=True)
