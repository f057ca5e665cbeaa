"""``rdskit check`` against real servers: each obstacle is named at its own step, with what to do about it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.operate.observe.check import STEPS, check
from rdskit.operate.observe.diagnosis import Diagnosis, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.postgres import TestDatabase

PASSWORD = "s3cr3t-and-never-shown"


def statuses(found: Diagnosis) -> dict[str, Status]:
    return {step.name: step.status for step in found.steps}


def failure(found: Diagnosis) -> tuple[str, str, str]:
    """Name, finding and advice of the one step that failed; everything after it is skipped."""
    names = [step.name for step in found.steps]
    assert tuple(names) == STEPS
    (failed,) = (step for step in found.steps if step.status is Status.FAIL)
    after = found.steps[names.index(failed.name) + 1 :]
    assert all(step.status is Status.SKIPPED and step.finding == "not reached" for step in after)
    assert PASSWORD not in json.dumps(found.as_json())
    assert failed.next_step
    return failed.name, failed.finding, failed.next_step


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port on which connections are accepted by the kernel and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_server_that_can_be_used_passes_every_step(database: TestDatabase) -> None:
    found = await check(database.url, tls="off")
    assert not found.failed
    assert statuses(found) == dict.fromkeys(STEPS, Status.OK) | {"tls": Status.WARN}
    words = {step.name: step.finding for step in found.steps}
    assert words["login"] == f"logged in as {database.user} to database {database.name}"
    assert "writer: accepts writes" in words["role"]
    assert found.as_json()["ok"] is True


async def test_a_name_that_does_not_exist_fails_at_dns() -> None:
    name, finding, _ = failure(await check(f"postgresql://u:{PASSWORD}@no-such-host.invalid/x"))
    assert name == "dns"
    assert "no-such-host.invalid does not resolve" in finding


async def test_a_port_without_a_listener_fails_at_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    name, finding, _ = failure(await check(f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/x"))
    assert name == "tcp"
    assert finding == f"nothing listens on 127.0.0.1:{port}"


async def test_a_server_without_tls_fails_at_tls(database: TestDatabase) -> None:
    name, finding, advice = failure(await check(database.url))
    assert name == "tls"
    assert "does not offer TLS" in finding
    assert "tls='off'" in advice


async def test_a_server_that_never_answers_fails_within_the_timeout(silent_server: int) -> None:
    found = await check(f"postgresql://u:{PASSWORD}@127.0.0.1:{silent_server}/x", timeout=0.3)
    name, finding, _ = failure(found)
    assert (name, finding) == ("tls", "no answer in time")
    assert sum(step.ms for step in found.steps) < 2000


async def test_a_wrong_password_fails_at_login(database: TestDatabase) -> None:
    url = database.url.replace(database.password, PASSWORD)
    name, _, advice = failure(await check(url, tls="off"))
    assert name == "login"
    assert "check user and password" in advice


async def test_a_database_that_does_not_exist_fails_at_login(database: TestDatabase) -> None:
    name, finding, _ = failure(await check(database.url.replace(database.name, "nowhere"), tls="off"))
    assert name == "login"
    assert "nowhere" in finding


async def test_a_target_that_cannot_be_read_fails_at_once_and_is_not_repeated() -> None:
    found = await check(f"postgresql://u:{PASSWORD}@host:port/x")
    name, _, _ = failure(found)
    assert name == "target"
    assert found.target == "?"


async def test_a_wrong_option_is_an_error_and_no_finding() -> None:
    with pytest.raises(ConfigError, match="timeout"):
        await check("postgresql://u@host/x", timeout=0)
