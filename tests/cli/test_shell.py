"""``rdskit shell``: in a terminal with a person's keys, and as a program in a pipe."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from rdskit.cli.main import app
from tests.cli.terminal import prompt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.postgres import TestDatabase

TABLE = "create table people (id int primary key, name varchar(40))"
ROWS = "insert into people values (1, 'Ada'), (2, null)"


def shell(target: str, *words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["shell", target, "--tls", "off", *words])
    assert result.exit_code == status, result.output
    return result.stdout


# -- without a terminal --------------------------------------------------------------------------------------------


def test_an_error_ends_a_script_with_1_and_names_its_cause(database: TestDatabase) -> None:
    result = CliRunner().invoke(app, ["shell", database.url, "--tls", "off", "--json"], input="select 1; select nope;")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["type"] == "StatementError"
    assert database.password not in result.output


def test_a_pipe_gets_whole_lines_and_nothing_for_a_terminal(database: TestDatabase) -> None:
    wide = "select repeat('x', 500) as wide, E'\\x1b[31mred' as colour"
    told = shell(database.url, "-c", wide)
    assert "x" * 500 in told
    assert "\x1b" not in told
    (heading, row) = csv.reader(io.StringIO(shell(database.url, "-c", wide, "--csv")))
    assert (heading, len(row[0])) == (["wide", "colour"], 500)


@pytest.mark.parametrize("words", [["--csv", "--json"], ["--native", "--csv", "-c", "select 1"], ["-c", "\\nonsense"]])
def test_what_makes_no_sense_ends_with_2(database: TestDatabase, words: list[str]) -> None:
    shell(database.url, *words, status=2)


def test_native_runs_the_engines_own_client_with_our_login(database: TestDatabase) -> None:
    command = [sys.executable, "-m", "rdskit", "shell", database.url, "--tls", "off", "--native", "-c", "select 6 * 7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if shutil.which("psql") is None:
        assert "psql" in done.stderr
        assert done.returncode != 0
    else:
        assert (done.returncode, "42" in done.stdout) == (0, True), done.stderr


def test_ctrl_c_ends_a_script_with_130_and_cancels_on_the_server(database: TestDatabase) -> None:
    words = ["shell", database.url, "--tls", "off", "-c", "select pg_sleep(600); select 'never'"]
    with subprocess.Popen([sys.executable, "-m", "rdskit", *words], stdout=subprocess.PIPE, text=True) as script:
        _await_sleep(database)
        script.send_signal(signal.SIGINT)
        told, _ = script.communicate(timeout=60)
    assert (script.returncode, told) == (130, "")


# -- in a terminal -------------------------------------------------------------------------------------------------


def test_a_conversation(database: TestDatabase, tmp_path: Path) -> None:
    shell(database.url, "-c", f"{TABLE}; {ROWS}")
    history = tmp_path / "state/history"
    with prompt(database.url, history, "--tls", "off") as terminal:
        terminal.until_written(f"{database.name}>")
        terminal.type("select name\r")
        terminal.until_written("..")
        terminal.type("from people where id = 1;\r")
        terminal.until_written("(1 row in ")
        terminal.type("selekt 1;\r")
        terminal.until_written('StatementError: syntax error at or near "selekt"')
        terminal.type("begin;\r")
        terminal.until_written(f"{database.name}*>")
        terminal.type("select pg_sleep(600);\r")
        terminal.until_written("pg_sleep(600)")
        _await_sleep(database)
        terminal.type("\x03")
        terminal.until_written("[SQLSTATE 57014]")
        terminal.type("rollback;\r")
        terminal.until_written("ROLLBACK")
        terminal.type(f"create role of_{database.name} password 'hunter2'; drop role of_{database.name};\r")
        terminal.until_written("DROP ROLE in")
        terminal.until_written(f"{database.name}>")
        terminal.type("\\d people\r")
        terminal.until_written("primary key")
        terminal.until_written(f"{database.name}>")
        terminal.type("\x04")
        assert terminal.end() == 0
        assert database.password not in terminal.written
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    kept = history.read_text()
    assert "from people where id = 1" in kept
    assert "hunter2" not in kept


def test_csv_comes_out_of_a_conversation(database: TestDatabase, tmp_path: Path) -> None:
    shell(database.url, "-c", f"{TABLE}; {ROWS}")
    with prompt(database.url, tmp_path / "history", "--tls", "off", "--csv") as terminal:
        terminal.until_written(f"{database.name}>")
        terminal.type("select * from people order by id;\r")
        terminal.until_written("id,name")
        terminal.until_written("1,Ada")
        terminal.until_written("2,")
        terminal.until_written(f"{database.name}>")
        terminal.type("\x04")
        assert terminal.end() == 0


def _await_sleep(database: TestDatabase) -> None:
    asleep = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
    while "    1\n" not in shell(database.url, "-c", asleep):
        pass
