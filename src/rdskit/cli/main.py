"""The root of the command line: which commands there are, and how errors and interrupts end a run.

A command's module is imported when that command runs, so that ``rdskit --help`` costs nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from rdskit import __version__
from rdskit.cli.completion import complete_at_first_tab
from rdskit.cli.endings import FAILED, UsageError, missing_extra, report, report_usage, wants_json
from rdskit.cli.help import Group, examples
from rdskit.errors import RdskitError
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: name → (module that holds the Typer ``app``, what it is for)
COMMANDS = {
    "demo": ("rdskit.cli.demo", "Run a shop on a local RDS through a real failover, and count what is lost."),
    "check": ("rdskit.cli.check", "Diagnose a connection step by step: DNS, TCP, TLS, login, role and replicas."),
    "shell": ("rdskit.cli.shell", "SQL prompt on the writer, with the target's credentials and TLS."),
    "setup": ("rdskit.cli.setup", "Create rdskit's tables in a database: commit markers, idempotency keys, outbox."),
    "topology": (
        "rdskit.cli.topology",
        "List the hosts of a cluster with their roles and whether they respond.",
    ),
    "top": ("rdskit.cli.top", "Watch a cluster live: roles, rates, latency, lag, and failovers while they happen."),
    "migrate": ("rdskit.cli.migrate", "Schema migrations: new, status, plan, lint, up, down."),
    "changes": ("rdskit.cli.changes", "Change capture: check, status, tail, drop."),
    "cache": ("rdskit.cli.cache", "The cache of query results: what it does, and making it forget."),
    "jobs": ("rdskit.cli.jobs", "Long work that was interrupted or has failed: list, show, resume, undo."),
    "tenants": ("rdskit.cli.tenants", "The tenants of an application: list, add, migrate."),
    "shards": ("rdskit.cli.shards", "Several databases that share the rows of one application: map, move buckets."),
    "local": ("rdskit.cli.local", "The local RDS: the AWS API in front of real servers on this machine."),
}


class LazyCommand(TyperCommand):
    """A command whose module is imported when it runs."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, callback=None, help=summary)
        self._module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Let the real command parse its arguments; the context carries it from here on.

        Raises:
            ConfigError: the command needs an extra that is not installed.
        """
        with installed_extras(self.name or ""):
            app: typer.Typer = importlib.import_module(self._module).app
        return typer.main.get_command(app).make_context(info_name, args, parent, **extra)


class Root(Group):
    """The root group: it imports commands lazily, and ends each run with one message and the right status."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Return all commands, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Return a stand-in that imports the command when it runs."""
        found = COMMANDS.get(cmd_name)
        return LazyCommand(cmd_name, *found) if found else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is asked for; a name that is nearly one is suggested."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if near := difflib.get_close_matches(args[0], COMMANDS, 2):
                error.message = f"{error.message.rstrip('.')}. Did you mean {' or '.join(map(repr, near))}?"
            raise

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # - Typer's signature
        windows_expand_args: bool = True,  # - same
        **extra: Any,
    ) -> NoReturn:
        """Run the words of a command line and end the process with its status.

        Raises:
            SystemExit: always.
        """
        as_json = wants_json(sys.argv[1:] if args is None else args)
        try:
            with installed_extras():
                found = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except UsageError as error:
            sys.exit(report_usage(error, as_json=as_json))
        except RdskitError as error:
            if self.debug:
                raise
            sys.exit(report(error, as_json=as_json))
        except typer.Abort:
            typer.echo("Aborted: nothing was changed", err=True)
            sys.exit(FAILED)
        sys.exit(found if isinstance(found, int) else 0)

    #: ``--debug`` was given.
    debug = False

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        self.debug = bool(ctx.params.get("debug"))
        return super().invoke(ctx)


@contextlib.contextmanager
def installed_extras(command: str = "") -> Iterator[None]:
    """Turn a missing module of a third party into an error that names the extra.

    Args:
        command: the running command, if it is known.

    Raises:
        ConfigError: an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_extra(error, command)
        if missing is None:
            raise
        raise missing from error


app = typer.Typer(
    name="rdskit",
    cls=Root,
    help="Python applications at home on Amazon RDS.",
    epilog=examples(
        "rdskit demo",
        "rdskit local up",
        "rdskit check rds://orders",
        "rdskit shell rds://orders/shop",
        "rdskit --install-completion",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


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
    complete_at_first_tab()
    app(arguments, prog_name="rdskit")
