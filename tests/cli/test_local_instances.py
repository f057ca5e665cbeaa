"""``rdskit local create``, ``list``, ``logs``, ``status`` on a real local RDS; ``rdskit shell`` through a failover."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from rdskit.cli.local_instances import url_of
from rdskit.cli.main import app
from rdskit.local import faults
from tests.cli.terminal import prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from tests.plugins.local_rds import LocalRds


def invoke(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["local", *words], env=environment)


@pytest.fixture(scope="module")
def created(local_rds: LocalRds) -> Iterator[Result]:
    """Create an instance with a replica; a dead proxy, a profile and a region that do not exist are in the way."""
    yield invoke(
        *("create", "Made", "--multi-az", "--replicas", "1", "--wait", "--data", str(local_rds.data), "--json"),
        HTTP_PROXY="http://127.0.0.1:9",
        http_proxy="http://127.0.0.1:9",
        AWS_DEFAULT_REGION="mars-1",
        AWS_PROFILE="nowhere",
    )
    local_rds.delete("made-r1", "made")


def test_create_waits_for_the_instance_and_its_replica(created: Result) -> None:
    assert created.exit_code == 0, created.output
    made = json.loads(created.stdout)["instances"]
    assert [(each["identifier"], each["status"]) for each in made] == [("made", "available"), ("made-r1", "available")]


def test_status_tells_url_user_secret_and_faults_and_cuts_nothing(created: Result, local_rds: LocalRds) -> None:
    assert created.exit_code == 0
    with faults.injected("made", faults.latency(0.2), data=local_rds.data):
        shown = invoke("status", "--data", str(local_rds.data), COLUMNS="60")
        told = json.loads(invoke("status", "--data", str(local_rds.data), "--json").stdout)
    assert shown.exit_code == 0
    instance = next(each for each in told["instances"] if each["identifier"] == "made")
    assert instance["secret"] == local_rds.secret("made")
    assert instance["faults"] == [{"kind": "latency", "seconds": 0.2, "path": "all"}]
    for words in (instance["secret"], str(url_of(instance)), "latency 0.2s", "replica of  made"):
        assert words in shown.stdout
    assert "password" not in json.dumps(told)


def test_what_the_api_refuses_is_one_error(created: Result, local_rds: LocalRds) -> None:
    assert created.exit_code == 0
    again = invoke("create", "made", "--data", str(local_rds.data))
    assert (again.exit_code, "DBInstanceAlreadyExists" in again.stderr) == (2, True)


def test_list_has_every_local_rds_and_a_taken_port_names_its_own(local_rds: LocalRds, tmp_path: Path) -> None:
    found = json.loads(invoke("list", "--json").stdout)
    mine = next(each for each in found if each["data"] == str(local_rds.data))
    assert mine["endpoint"] == os.environ["AWS_ENDPOINT_URL"]
    assert str(local_rds.data) in invoke("list", COLUMNS="60").stdout
    refused = invoke("up", "--data", f"{tmp_path}/other", "--port", str(mine["port"]))
    assert refused.exit_code == 1
    assert f"taken by the local RDS on {local_rds.data} (pid {mine['pid']})" in refused.stderr


def test_logs_of_an_instance_and_of_the_local_rds(created: Result, local_rds: LocalRds) -> None:
    assert created.exit_code == 0
    data = str(local_rds.data)
    assert "ready to accept connections" in invoke("logs", "made", "--data", data).stdout
    (own,) = json.loads(invoke("logs", "-n", "2", "--data", data, "--json").stdout)
    assert (own["file"], len(own["lines"])) == (str(local_rds.data / "daemon.log"), 2)
    unknown = invoke("logs", "nonsense", "--data", data)
    assert (unknown.exit_code, "made-r1" in unknown.stderr) == (1, True)


def test_logs_are_followed_until_ctrl_c(created: Result, local_rds: LocalRds) -> None:
    assert created.exit_code == 0
    command = [sys.executable, "-m", "rdskit", "local", "logs", "made", "-f", "-n", "1", "--data", str(local_rds.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as f:
        assert f.stdout is not None
        first = f.stdout.readline()
        local_rds.rds.reboot_db_instance(DBInstanceIdentifier="made")
        assert first
        assert any("shutdown" in line or "shutting down" in line for line in f.stdout)
        f.send_signal(signal.SIGINT)
        f.stdout.read()
    assert f.returncode == 130
    local_rds.await_available("made")


def test_the_prompt_survives_a_failover_in_mid_session(created: Result, local_rds: LocalRds, tmp_path: Path) -> None:
    assert created.exit_code == 0
    with prompt("rds://made/app", tmp_path / "history") as terminal:
        terminal.until_written("app>")
        terminal.type("create table kept as select 1 as id;\r")
        terminal.until_written("CREATE TABLE")
        local_rds.fail_over("made")
        terminal.type("select id + 41 as answer from kept;\r")
        terminal.until_written("was lost; connecting again")
        terminal.until_written("42")
        terminal.type("set work_mem = '8MB';\rbegin;\r")
        terminal.until_written("app*>")
        local_rds.fail_over("made")
        terminal.type("select 1;\r")
        terminal.until_written("was lost, with its open transaction and its settings and temporary tables")
        terminal.until_written("FailoverError")
        terminal.type("select 43 as again;\r")
        terminal.until_written("(1 row in ")
        terminal.until_written("app>")
        terminal.type("\\q\r")
        assert terminal.end() == 0
