"""``rdskit check`` against real servers: each obstacle is named at its own step, with what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.operate.observe.check import STEPS, check
from rdskit.operate.observe.diagnosis import Diagnosis, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

PASSWORD = "s3cr3t-and-never-shown"
SCHEMES = ("postgresql", "mysql", "mariadb")


@pytest.fixture(params=["database", "mysql_database", "mariadb_database"])
def server(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    """Return a fresh database on each engine."""
    database: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return database


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
    """Listen on a port where the kernel accepts connections and no program answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.asynccontextmanager
async def saying(words: bytes) -> AsyncIterator[int]:
    """Listen on a port that greets every connection with these bytes and closes it."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_can_be_used_passes_every_step(server: TestDatabase | FamilyDatabase) -> None:
    found = await check(server.url, tls="off")
    assert not found.failed, found
    assert statuses(found) == dict.fromkeys(STEPS, Status.OK) | {"tls": Status.WARN}
    words = {step.name: step.finding for step in found.steps}
    assert words["login"].startswith(f"logged in as {server.user}")
    assert words["login"].endswith(f" to database {server.name}")
    assert words["role"].lower().startswith(server.url.partition("://")[0])
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


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
async def test_a_greeting_without_tls_fails_at_tls(scheme: str) -> None:
    greeting = b"\x0a8.0.46\0" + bytes(13) + (0xFFFF & ~(1 << 11)).to_bytes(2, "little") + bytes(30)
    async with saying(len(greeting).to_bytes(3, "little") + b"\0" + greeting) as port:
        name, finding, advice = failure(await check(f"{scheme}://u:{PASSWORD}@127.0.0.1:{port}/x"))
    assert name == "tls"
    assert "does not offer TLS" in finding
    assert "tls='off'" in advice


@pytest.mark.parametrize("family", ["mysql_database", "mariadb_database"])
async def test_a_certificate_of_an_unknown_authority_fails_at_tls(family: str, request: pytest.FixtureRequest) -> None:
    name, finding, advice = failure(await check(request.getfixturevalue(family).url))
    assert name == "tls"
    assert "is refused: unable to get local issuer certificate" in finding
    assert "--ca PATH" in advice


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_server_that_never_answers_fails_within_the_timeout(silent_server: int, scheme: str) -> None:
    found = await check(f"{scheme}://u:{PASSWORD}@127.0.0.1:{silent_server}/x", timeout=0.3)
    name, finding, _ = failure(found)
    assert (name, finding) == ("tls", "no answer in time")
    assert sum(step.ms for step in found.steps) < 2000


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("words", [b"", b"H", b"HTTP/1.1 400 Bad Request\r\n", b"\x05\0\0\0\x0a8.0", b"\1\0\0\0\x09"])
async def test_what_is_no_such_server_is_told_at_tls(scheme: str, words: bytes) -> None:
    async with saying(words) as port:
        name, _, advice = failure(await check(f"{scheme}://u:{PASSWORD}@127.0.0.1:{port}/x"))
    assert name == "tls"
    product = "PostgreSQL" if scheme == "postgresql" else "MySQL or MariaDB"
    assert advice == f"check that a {product} server listens there, and no other program"


async def test_a_server_that_refuses_before_it_greets_is_quoted() -> None:
    message = b"\xff\x10\x04Too many connections"
    async with saying(len(message).to_bytes(3, "little") + b"\0" + message) as port:
        name, finding, advice = failure(await check(f"mysql://u:{PASSWORD}@127.0.0.1:{port}/x"))
    assert name == "tls"
    assert finding.endswith("refuses the connection: Too many connections (1040)")
    assert "max_connections" in advice


async def test_a_wrong_password_fails_at_login(server: TestDatabase | FamilyDatabase) -> None:
    url = server.url.replace(server.password, PASSWORD)
    name, _, advice = failure(await check(url, tls="off"))
    assert name == "login"
    assert "check user and password" in advice


async def test_a_database_that_does_not_exist_fails_at_login(server: TestDatabase | FamilyDatabase) -> None:
    name, finding, advice = failure(await check(server.url.replace(server.name, "nowhere"), tls="off"))
    assert name == "login"
    assert finding.startswith("database 'nowhere' does not exist")
    assert advice == "create it, or name another one in the target, as in …/dbname"


async def test_no_database_at_all_is_told(mysql_database: FamilyDatabase) -> None:
    found = await check(mysql_database.url.removesuffix(f"/{mysql_database.name}"), tls="off")
    assert not found.failed, found
    (login,) = (step for step in found.steps if step.name == "login")
    assert login.finding.endswith(" to no database")


async def test_a_target_that_cannot_be_read_fails_at_once_and_is_not_repeated() -> None:
    found = await check(f"postgresql://u:{PASSWORD}@host:port/x")
    name, _, _ = failure(found)
    assert name == "target"
    assert found.target == "?"


async def test_a_wrong_option_is_an_error_and_no_finding() -> None:
    with pytest.raises(ConfigError, match="timeout"):
        await check("postgresql://u@host/x", timeout=0)
