"""The three speeds of the suite: ``make quick``, ``make test`` and ``make soak``.

``quick`` selects the tests that start no server, and refuses to start one while they run. ``gate``, the default, is
everything but the tests marked ``soak``; ``soak`` is those alone. Quick and gate are deterministic.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.plugins.no_servers import sitecustomize
from tests.plugins.reach import starts_server

SPEEDS = ("quick", "gate", "soak", "all")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--speed", choices=SPEEDS, default="gate", help="which tests run: see CONTRIBUTING.md")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Printed numbers reproduce a random example that fails in a soak run; the gate has the same examples each time.
    hypothesis.settings.register_profile("gate", derandomize=True, database=None)
    hypothesis.settings.register_profile("soak", print_blob=True, database=None)
    hypothesis.settings.load_profile("soak" if config.option.speed == "soak" else "gate")


def pytest_sessionstart(session: pytest.Session) -> None:
    is_controller = bool(getattr(session.config.option, "numprocesses", None))
    if session.config.option.speed == "quick" and not is_controller:
        refuse_servers()


def refuse_servers() -> None:
    """Refuse to start a server from now on, in this process and in the Python processes that it starts."""
    sys.addaudithook(sitecustomize.refuse)
    folder = str(Path(sitecustomize.__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))


def is_selected(item: pytest.Item, speed: str) -> bool:
    """Return whether a test runs at a speed."""
    is_soak = item.get_closest_marker("soak") is not None
    if speed == "quick":
        return not is_soak and not starts_server(item)
    return speed == "all" or is_soak == (speed == "soak")


def pytest_collection_finish() -> None:
    # Thousands of tests and the modules of the AWS SDK stay until the end: the collector need not look at them again.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = {item: is_selected(item, config.option.speed) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not chosen[item]])
    items[:] = [item for item in items if chosen[item]]
