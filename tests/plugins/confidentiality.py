"""No password and no token of this run is shown anywhere: what tests print and log, what rdskit raises and tells.

Every login that the client makes is registered by itself, IAM tokens included; fixtures add the passwords of their
servers. Each error is looked at when it is made, so those that a test expects and catches count too.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError, Login
from rdskit.runtime.observers import Observers
from tests.plugins import breaches
from tests.plugins.isolation import run_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.kernel.events import Event

#: Shorter ones, and those with spaces, are made up by tests: they are words that occur elsewhere too.
SHORTEST = 12
_SIGNATURE = re.compile(r"X-Amz-Signature=([0-9a-f]{64})")

secrets: set[str] = set()
shown: dict[str, None] = {}  # in order, each once
_running = "before the first test"


def keep_confidential(secret: str | None) -> None:
    """Fail the run if this is shown anywhere from now on."""
    if secret is None or len(secret) < SHORTEST or " " in secret:
        return
    secrets.add(secret)
    secrets.update(_SIGNATURE.findall(secret))  # a token that is cut off or quoted otherwise is still known by it


def look_at(text: str, where: str) -> None:
    """Remember the place if a secret is in the text; never the secret itself."""
    if any(secret in text for secret in secrets):
        shown[f"{_running}: a password or token is in {where}"] = None


def _recorded_login(made: Any) -> Any:
    @functools.wraps(made)
    def init(self: Login, user: str, password: str | None) -> None:
        keep_confidential(password)
        made(self, user, password)

    return init


def _recorded_error(made: Any) -> Any:
    @functools.wraps(made)
    def init(self: Exception, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        look_at(f"{self} {self!r}", f"the message of {type(self).__name__}")

    return init


def _recorded_event(notify: Any) -> Any:
    @functools.wraps(notify)
    def told(self: Observers, event: Event) -> None:
        look_at(repr(event), f"an event of the class {type(event).__name__}")
        notify(self, event)

    return told


def _with_subclasses(kind: type[Exception]) -> Iterable[type[Exception]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _with_subclasses(one)


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(Login, "__init__", _recorded_login(Login.__init__))
    for kind in {*_with_subclasses(RdskitError), DriverError}:
        if "__init__" in vars(kind) or kind is RdskitError:
            patch.setattr(kind, "__init__", _recorded_error(kind.__dict__.get("__init__", Exception.__init__)))
    patch.setattr(Observers, "notify", _recorded_event(Observers.notify))


def pytest_runtest_logstart(nodeid: str) -> None:
    global _running  # noqa: PLW0603 - one run, one test at a time
    _running = nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, text in report.sections:
        look_at(text, name.lower())


def pytest_sessionfinish() -> None:
    for log in run_directory().rglob("*.log"):
        look_at(log.read_text(errors="replace"), f"the file {log.relative_to(run_directory())}")
    breaches.found.extend(f"SHOWN {place}" for place in shown)
