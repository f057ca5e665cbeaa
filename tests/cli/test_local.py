"""``rdskit local`` on the command line, as its users type it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "data"
    share_templates(directory / "fleet")
    yield directory
    rdskit("local", "reset", "--yes", data=directory)


def rdskit(*words: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rdskit", *words],
        env={**os.environ, "RDSKIT_DATA": str(data), **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_up_status_env_down(data: Path) -> None:
    port = free_port()
    up = rdskit("local", "up", "--port", port, data=data)
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{port}" in up.stdout

    again = rdskit("local", "up", "--json", data=data)
    assert json.loads(again.stdout)["already"] is True
    status = json.loads(rdskit("local", "status", "--json", data=data).stdout)
    assert status["running"] is True
    assert status["health"]["engines"][0]["engine"] == "postgres"

    shell = rdskit("local", "env", data=data)
    echoed = subprocess.run(
        ["sh", "-c", f'{shell.stdout}\nprintf %s "$AWS_ENDPOINT_URL"; test -r "$RDSKIT_CA"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert echoed.stdout == f"http://127.0.0.1:{port}"
    assert set(json.loads(rdskit("local", "env", "--json", data=data).stdout)) == {
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "RDSKIT_CA",
        "NODE_EXTRA_CA_CERTS",
        "NO_PROXY",
        "no_proxy",
    }
    fish = rdskit("local", "env", "--shell", "fish", data=data).stdout
    assert f"set -gx AWS_ENDPOINT_URL 'http://127.0.0.1:{port}'" in fish.splitlines()

    down = rdskit("local", "down", data=data)
    assert (down.returncode, down.stdout.startswith("down")) == (0, True)
    gone = rdskit("local", "status", data=data)
    assert gone.returncode == 1
    assert "rdskit local up" in gone.stdout
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)


def test_taken_port_is_one_clear_error(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = rdskit("local", "up", "--port", str(listener.getsockname()[1]), data=data)
    assert refused.returncode == 1
    assert "is taken by" in refused.stderr
    assert "--port N" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_profile_that_does_not_exist_does_not_matter(data: Path) -> None:
    up = rdskit("local", "up", "--port", free_port(), data=data, AWS_PROFILE="nowhere", AWS_DEFAULT_REGION="mars-1")
    assert up.returncode == 0, up.stderr


def test_foreground_stays_until_it_is_interrupted(data: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "rdskit", "local", "up", "--foreground", "--port", port, "--data", str(data)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert any("ready at" in line for line in process.stderr)
        process.send_signal(2)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert rdskit("local", "status", data=data).returncode == 1


def test_doctor_and_reset(data: Path) -> None:
    findings = json.loads(rdskit("local", "doctor", "--json", data=data).stdout)
    assert {"subject", "status", "finding", "next_step"} == set(findings[0])
    assert rdskit("local", "env", data=data).returncode == 1
    assert rdskit("local", "up", "--port", free_port(), data=data).returncode == 0
    unsure = subprocess.run(
        [sys.executable, "-m", "rdskit", "local", "reset", "--data", str(data)],
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert unsure.returncode == 1
    assert data.exists()
    assert rdskit("local", "reset", "--yes", data=data).returncode == 0
    assert not data.exists()


def test_unknown_option_is_a_usage_error(data: Path) -> None:
    assert rdskit("local", "up", "--nonsense", data=data).returncode == 2
