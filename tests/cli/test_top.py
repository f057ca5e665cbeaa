"""``rdskit top`` in a real terminal, on a real cluster whose writer is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from rdskit.cli.main import app
from rdskit.local import faults, lifecycle
from tests.chaos.clusters import PASSWORD, Cluster, aurora
from tests.cli.terminal import PATIENCE, rdskit_in_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds
    from tests.plugins.postgres import TestDatabase


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds) -> Iterator[Cluster]:
    with aurora(local_rds, "watched", readers=1) as cluster:
        yield cluster


def role_of(frame: str, host: str) -> str:
    found = re.search(rf"^(\w+) +{host} .*\bup\b", frame, re.MULTILINE)
    return found[1] if found else "not up"


def test_a_failover_is_seen_while_it_happens(cluster: Cluster) -> None:
    first, second = cluster.instances
    with rdskit_in_terminal(["top", cluster.target, "--interval", "200ms"]) as terminal:
        before = terminal.settings()
        frame = terminal.until(lambda frame: {role_of(frame, first), role_of(frame, second)} == {"writer", "reader"})
        writer, reader = (first, second) if role_of(frame, first) == "writer" else (second, first)
        assert PASSWORD not in terminal.written

        terminal.type("?")
        terminal.until(lambda frame: "this help" in frame)
        terminal.type("?s")
        terminal.until(lambda frame: "this help" not in frame and "by name" in frame)
        terminal.type("\x1b[A")  # an arrow, which ends in a letter
        terminal.type("p")
        terminal.until(lambda frame: "PAUSED" in frame)
        terminal.type("p")
        terminal.resize(60, 12)
        terminal.until(lambda frame: max(map(len, frame.splitlines())) <= 60 and len(frame.splitlines()) <= 12)
        terminal.resize(160, 40)

        await_in_sync(cluster, reader)
        faults.inject(writer, faults.kill(), data=cluster.local_rds.data)
        frame = terminal.until(lambda frame: role_of(frame, reader) == "writer")
        assert re.search(r"the writer is lost: looking for the new one", frame)
        assert re.search(rf"{reader}  is the writer now, and was the reader", frame)
        assert re.search(r"a writer answers again, \d+\.\d\d s after it was lost", frame)
        terminal.until(lambda frame: role_of(frame, writer) == "reader")
        terminal.until(lambda frame: "RDS: " in frame)

        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.settings() == before
        for taken, given_back in (("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")):  # screen, cursor
            assert terminal.written.rindex(given_back) > terminal.written.rindex(taken)


def await_in_sync(cluster: Cluster, reader: str) -> None:
    """Wait until nothing is lost when the writer dies."""
    end = time.monotonic() + PATIENCE
    while in_sync(cluster) != [reader]:
        assert time.monotonic() < end
        time.sleep(0.05)


def in_sync(cluster: Cluster) -> object:
    (found,) = [each for each in lifecycle.clusters(cluster.local_rds.data) if each["identifier"] == cluster.identifier]
    return found["in_sync"]


# -- without a terminal, and without a cluster -------------------------------------------------------------------------


def test_without_a_terminal_one_frame_is_printed(database: TestDatabase) -> None:
    result = CliRunner().invoke(app, ["top", database.url, "--tls", "off", "--interval", "100ms"])
    assert result.exit_code == 0, result.output
    assert f"{database.host}:{database.port}" in result.stdout
    assert "latency" in result.stdout
    assert "\x1b" not in result.stdout
    assert database.password not in result.output


def test_one_frame_as_json(database: TestDatabase) -> None:
    reader = "127.0.0.1:1"
    options = ["--tls", "off", "--interval", "100ms", "--timeout", "1", "--reader", reader, "--json"]
    result = CliRunner().invoke(app, ["top", database.url, *options])
    told = json.loads(result.stdout)
    assert [host["role"] for host in told["hosts"]] == ["writer", "reader"]
    assert told["hosts"][0]["max_connections"] > 0
    assert reader in told["hosts"][1]["problem"]
    assert (told["ok"], result.exit_code) == (False, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["postgresql://u:s3cret@127.0.0.1:1/x", "--timeout", "1"], "127.0.0.1:1"),
        (["postgresql://u:s3cret@127.0.0.1:1/x", "--interval", "soon"], "'soon' is not a duration"),
        (["postgresql://u:s3cret@127.0.0.1:1/x", "--interval", "1ms"], "--interval 1ms is too short: 100ms at least"),
        (["nonsense"], "target 'nonsense' is not one that rdskit knows"),
    ],
)
def test_an_error_is_one_clear_line(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["top", *arguments])
    assert result.exit_code == (1 if "--timeout" in arguments else 2)
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "s3cret" not in result.output


def test_an_error_in_a_terminal_is_one_clear_line_too(database: TestDatabase) -> None:
    wrong = database.url.replace(database.password, "wrong-password")
    with rdskit_in_terminal(["top", wrong, "--tls", "off"]) as terminal:
        assert terminal.end() == 1
        assert "AuthenticationError: " in terminal.written
        assert "Traceback" not in terminal.written
        assert "\x1b[?1049h" not in terminal.written, "the screen was never taken"


def test_a_key_ends_it_and_the_shell_can_stop_it_meanwhile(database: TestDatabase) -> None:
    with rdskit_in_terminal(["top", database.url, "--tls", "off", "--interval", "100ms"]) as terminal:
        before = terminal.settings()
        terminal.until(lambda frame: " up " in frame)
        terminal.type("\x1a")  # Ctrl-Z
        assert terminal.stopped()
        assert terminal.settings() == before
        assert terminal.written.rindex("\x1b[?1049l") > terminal.written.rindex("\x1b[?1049h")
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.type("+")
        terminal.until(lambda frame: "every 0.2 s" in frame)
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.settings() == before
