"""The root of the command line: exit statuses, one message for each error, and help that imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

import rdskit
from rdskit.cli import main
from rdskit.errors import LocalError

TARGET = "postgresql://u:s3cret@127.0.0.1:1/x"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))


def test_the_version_is_the_packages_own() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"rdskit {rdskit.__version__} ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check"], ["check", TARGET, "--nonsense"], ["demo", "--seconds", "x"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_and_tells_the_same_in_the_list(name: str) -> None:
    assert name in invoke("--help").stdout
    assert invoke(name, "--help").exit_code == 0


@pytest.mark.no_server
def test_help_imports_neither_drivers_nor_servers() -> None:
    program = "import sys; from rdskit.cli.main import Root, LazyCommand; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "rdskit.cli.main" in loaded
    assert {"boto3", "moto", "asyncpg", "psycopg", "rdskit.local.lifecycle", "rdskit.demo.service"}.isdisjoint(loaded)


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register a command that ends in an error of rdskit's."""

    def fail() -> None:
        raise LocalError("port 4566 is taken by [someone]; use --port N")

    module = type(sys)("failing_command")
    module.app = main.typer.Typer(add_completion=False)  # type: ignore[attr-defined] # a module made on the spot
    module.app.command()(fail)
    monkeypatch.setitem(sys.modules, "failing_command", module)
    monkeypatch.setitem(main.COMMANDS, "fail", ("failing_command", "fails"))
    return "fail"


def test_an_error_of_ours_is_one_message_and_1(failing_command: str) -> None:
    result = invoke(failing_command)
    assert result.exit_code == 1
    assert result.stderr == "LocalError: port 4566 is taken by [someone]; use --port N\n"
    assert result.stdout == ""


def test_debug_lets_the_error_through_with_its_traceback(failing_command: str) -> None:
    result = invoke("--debug", failing_command)
    assert isinstance(result.exception, LocalError)


@pytest.mark.no_server
def test_the_module_is_the_command() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "rdskit", "check", TARGET], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "nothing listens on 127.0.0.1:1" in answer.stdout
    assert "s3cret" not in answer.stdout + answer.stderr
