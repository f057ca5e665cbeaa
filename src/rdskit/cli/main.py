"""The root of the command line: which commands there are, and how errors and interrupts end a run.

Exit status: 0 fine, 1 an error or findings, 2 wrong usage, 130 interrupted. A command's module is imported when that
command runs, so that ``rdskit --help`` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from rdskit import __version__
from rdskit.cli.targets import in_options
from rdskit.errors import RdskitError
from rdskit.kernel.server_words import escaped
from rdskit.kernel.typing import override

#: name → (module that holds the Typer ``app``, what it is for)
COMMANDS = {
    "demo": ("rdskit.cli.demo", "A shop on a local RDS survives a real failover, and the figures prove it."),
    "check": ("rdskit.cli.check", "Why can I (not) connect? DNS, TCP, TLS, login, role and replicas, step by step."),
    "setup": ("rdskit.cli.setup", "Make the tables of rdskit in a database: fences, idempotency keys, outbox."),
    "topology": (
        "rdskit.cli.topology",
        "Who writes and who reads? The hosts of a cluster, each with its sign of life.",
    ),
    "top": ("rdskit.cli.top", "Watch a cluster live: roles, rates, latency, lag, and failovers while they happen."),
    "migrate": ("rdskit.cli.migrate", "Schema migrations: new, status, plan, lint, up, down."),
    "jobs": ("rdskit.cli.jobs", "Long work that was interrupted or has failed: list, show, resume, undo."),
    "local": ("rdskit.cli.local", "The local RDS: the AWS API in front of real servers on this machine."),
}


class LazyCommand(TyperCommand):
    """A command whose module is imported when it runs."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, callback=None, help=summary)
        self._module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Let the real command parse its arguments; the context carries it from here on."""
        app: typer.Typer = importlib.import_module(self._module).app
        return typer.main.get_command(app).make_context(info_name, args, parent, **extra)


class Root(TyperGroup):
    """The root group: finds commands lazily and turns an ``RdskitError`` into one message."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """A stand-in that imports the command when it runs."""
        found = COMMANDS.get(cmd_name)
        return LazyCommand(cmd_name, *found) if found else None

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; print an ``RdskitError`` as one message, with ``--debug`` as its traceback."""
        try:
            return super().invoke(ctx)
        except RdskitError as error:
            if ctx.params.get("debug"):
                raise
            print_error(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="rdskit",
    cls=Root,
    help="Python applications at home on Amazon RDS.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def print_error(error: RdskitError) -> None:
    """Print an error on stderr: its own words, and the name of its class for whoever looks it up."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{type(error).__name__}: ", style="bold red", end="")
    console.print("\n".join(map(escaped, in_options(str(error)).split("\n"))), markup=False)


def print_version(asked: bool) -> None:  # noqa: FBT001 - an option's callback takes its value by position
    """Print the version and end, when asked."""
    if asked:
        typer.echo(f"rdskit {__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Python applications at home on Amazon RDS."""
    del debug, version  # Root.invoke reads the one, its callback has done the other


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its status.

    Args:
        arguments: the words after ``rdskit``; ``sys.argv``'s when None.

    Raises:
        SystemExit: always, with the exit status.
    """
    app(arguments, prog_name="rdskit")
