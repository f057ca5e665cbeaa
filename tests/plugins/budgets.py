"""What each room of the suite takes, beside its budget; and the order of the files: longest first.

``tests/budgets.toml`` holds both.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.isolation import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUDGETS = CHECKOUT / "tests/budgets.toml"
SPLIT = "local"  # this room is so large that its folders have budgets of their own

spent: defaultdict[str, float] = defaultdict(float)  # seconds of each room: set-up, call and teardown of its tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rooms", action="store_true", help="print the seconds of each room beside its budget")


def room_of(nodeid: str) -> str:
    """Return the room of a test: its folder below ``tests``, such as ``client`` or ``local/fleet``."""
    _, *folders, _ = nodeid.partition("::")[0].split("/")
    if not folders:
        return "public"
    return "/".join(folders[:2]) if folders[0] == SPLIT else folders[0]


def table(seconds: Mapping[str, float], workers: int, budgets: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each room: its seconds, its budget, and whether it is over it.

    Args:
        seconds: of the tests of each room.
        workers: how many ran tests at the same time. A room takes its seconds divided by them.
        budgets: the content of ``tests/budgets.toml``.
    """
    yield f"{'room':20}{'seconds':>9}{'budget':>9}"
    taken = {room: total / workers for room, total in seconds.items()}
    for room in sorted(taken, key=taken.__getitem__, reverse=True):
        budget = budgets["rooms"].get(room, budgets["other_room"])
        over = "  OVER: move what repeats to soak, or share servers" if taken[room] > budget else ""
        yield f"{room:20}{taken[room]:9.1f}{budget:9}{over}"
    yield f"{'all':20}{sum(taken.values()):9.1f}{sum(budgets['rooms'].values()):9}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # With whole files handed out, a long one at the end would keep one worker busy while the others have nothing to do.
    if hasattr(config, "workerinput"):
        lengths: Mapping[str, float] = _budgets()["files"]
        items.sort(key=lambda item: -lengths.get(item.nodeid.partition("::")[0].removeprefix("tests/"), 0.0))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    spent[room_of(report.nodeid)] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.rooms:
        for line in table(spent, config.option.numprocesses or 1, _budgets()):
            terminalreporter.write_line(line)


def _budgets() -> dict[str, Any]:
    return tomllib.loads(BUDGETS.read_text(encoding="utf-8"))
