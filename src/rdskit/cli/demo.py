"""``rdskit demo``."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rdskit.demo.estate import DemoEngine
from rdskit.demo.model import Report
from rdskit.demo.report import as_json, as_page, as_text
from rdskit.demo.service import Demo, Plan
from rdskit.demo.view import view_for
from rdskit.errors import ConfigError
from rdskit.local.site import data_directory

app = typer.Typer(rich_markup_mode=None, add_completion=False)

INTERRUPTED = 130


@app.command("demo")
def command(
    *,
    engine: Annotated[DemoEngine, typer.Option(help="What the instance runs.")] = "postgres",
    seconds: Annotated[float, typer.Option(min=2, help="How long the shop is open.")] = 15.0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.")] = None,
    html_file: Annotated[
        Path, typer.Option("--html", metavar="FILE", help="Write the report with its picture there.")
    ] = Path("demo-report.html"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local RDS up afterwards.")] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data directory; $RDSKIT_DATA, else ./.rdskit, by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the AWS API; 4566 by default.")] = None,
    writers: Annotated[int, typer.Option(min=1, help="How many customers order at the same time.")] = 8,
    readers: Annotated[int, typer.Option(min=0, help="How many visitors look at the same time.")] = 4,
) -> None:
    """A shop on a local RDS survives a real failover, and the figures prove it.

    Starts a local RDS with a Multi-AZ instance and a read replica, runs a shop on it, forces a failover in the
    middle, and counts. Exit status 1 when an order is lost or doubled, a read is stale, or no failover happened.
    """
    plan = Plan(data_directory(data), port, seconds, writers, readers, keep, engine)
    report = asyncio.run(run(plan, Console(highlight=False)))
    Console(highlight=False, soft_wrap=True).print("\n" + as_text(report), markup=False)
    written = write(report, json_file, html_file)
    typer.echo("Written: " + ", ".join(str(path) for path in written))
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(1 if report.complaints else 0)


async def run(plan: Plan, console: Console) -> Report:
    """Run the plan; Ctrl-C ends it early and clean.

    Raises:
        typer.Exit: interrupted before there was anything to report.
    """
    with view_for(console) as view:
        demo = Demo(plan, view)
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, demo.interrupt)
        try:
            return await demo.run()
        except asyncio.CancelledError:
            raise typer.Exit(INTERRUPTED) from None


def write(report: Report, json_file: Path | None, html_file: Path) -> list[Path]:
    """Write the report's files and tell which.

    Raises:
        ConfigError: one of them cannot be written.
    """
    contents = {html_file: as_page(report)}
    if json_file is not None:
        contents[json_file] = json.dumps(as_json(report), indent=2) + "\n"
    for path, content in contents.items():
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written: {error.strerror}; choose another with --html and --json"
            ) from error
    return list(contents)
