"""``rdskit shell``."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

import rdskit
from rdskit.cli.endings import INTERRUPTED
from rdskit.cli.help import examples, single
from rdskit.cli.targets import Target, connects
from rdskit.client.api import Database
from rdskit.errors import ConfigError
from rdskit.kernel.server_words import escaped
from rdskit.operate.shell.model import Format, Settings
from rdskit.operate.shell.native import native_program
from rdskit.operate.shell.running import GivenUpError
from rdskit.operate.shell.script import run_script
from rdskit.operate.shell.session import ShellSession

app = single()


@app.command(
    "shell",
    epilog=examples(
        "rdskit shell orders",
        'rdskit shell rds://orders/shop -c "select count(*) from users"',
        'rdskit shell orders -c "select * from users" --csv > users.csv',
        "rdskit shell orders < script.sql",
        "rdskit shell orders --native",
    ),
)
@connects
def command(
    target: Target,
    *,
    statements: Annotated[
        str | None, typer.Option("--command", "-c", metavar="SQL", help="Run these statements and end.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print answers as JSON.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows that the prompt shows of a query; 0: all.")
    ] = 1000,
    native: Annotated[bool, typer.Option("--native", help="Run psql, mysql or mariadb instead.")] = False,
    options: dict[str, Any],
) -> None:
    r"""Open an SQL prompt on the writer of a target, with its credentials and TLS; it continues after a failover.

    Without a terminal it reads statements from standard input. \? at the prompt lists its commands; the first Ctrl-C
    cancels the statement that runs. Exit status 1 when a statement failed.
    """
    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    form: Format = "csv" if as_csv else "json" if as_json else "table"
    if native:
        _execute(target, options, statements, form)
    if statements is None and not sys.stdin.isatty():
        statements = sys.stdin.read()
    try:
        asyncio.run(_run(target, options, statements, form, limit))
    except GivenUpError:
        raise typer.Exit(INTERRUPTED) from None


def _execute(target: str, options: dict[str, Any], statements: str | None, form: Format) -> None:
    """Run the engine's own client, and end with its status."""
    if form != "table":
        raise typer.BadParameter("--csv and --json are rdskit's own: leave them out, or leave --native out")
    program = asyncio.run(native_program(target, options, statements))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's: it cancels a statement
    ended = subprocess.run(program.arguments, env={**os.environ, **program.environment}, check=False)
    raise typer.Exit(ended.returncode)


async def _run(target: str, options: dict[str, Any], statements: str | None, form: Format, limit: int) -> None:
    connecting = rdskit.connect(
        target, min_size=1, max_size=3, readers="off", timeout=None, application_name="rdskit shell", **options
    )
    async with connecting as db:
        if statements is None:
            await _converse(db, limit, form)
            return
        session = ShellSession(db, _say)
        await session.open()
        try:
            console = Console()
            width = console.width if console.is_terminal else None
            await run_script(session, statements, form, _write, _say, width)
        finally:
            await session.close()


async def _converse(db: Database, limit: int, form: Format) -> None:
    try:
        from rdskit.operate.shell.screen import Screen  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"prompt_toolkit", "pygments"}:
            raise
        missing = "the prompt needs prompt_toolkit, which is not installed"
        raise ConfigError(f"{missing}: pip install 'rdskit[shell]', or use -c or --native") from error
    session = ShellSession(db, _notice)
    await session.open()
    try:
        screen = Screen(session, await _name(session), Settings(limit=limit, form=form))
        typer.echo(f"rdskit {rdskit.__version__}, the writer at {session.host}; \\? for help, \\q to leave")
        await screen.run()
    finally:
        await session.close()


async def _name(session: ShellSession) -> str:
    name = "database()" if session.dialect.name == "MYSQL" else "current_database()"
    return escaped(str((await session.query(f"select {name}"))[0][0] or ""))


def _say(words: str) -> None:
    typer.echo(f"-- {escaped(words)}", err=True)


def _notice(words: str) -> None:
    typer.echo(f"-- {escaped(words)}")


def _write(text: str) -> None:
    typer.echo(text, nl=False)
