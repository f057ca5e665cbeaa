"""A test that never ends is a failure too: its worker prints where it hangs, and ends.

pytest-timeout ends a test from inside. It stops looking once a test has failed, and a task that catches everything
catches its exception as well: then the clean-up of a failed test can wait for ever, and so can the whole run.
"""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMINAL = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hang_timeout", "seconds for the clean-up of one test; then its process ends", default="200")


def pytest_configure(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[TERMINAL] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[TERMINAL])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    config = item.config
    faulthandler.dump_traceback_later(float(config.getini("hang_timeout")), exit=True, file=config.stash[TERMINAL])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
