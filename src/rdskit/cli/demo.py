"""``rdskit demo``."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rdskit.cli.endings import INTERRUPTED
from rdskit.cli.files import HtmlFile, JsonFile, write
from rdskit.cli.help import examples, single
from rdskit.demo.model import Report
from rdskit.demo.provisioning import DemoEngine
from rdskit.demo.report import as_json as as_figures
from rdskit.demo.report import as_page, as_text
from rdskit.demo.service import Demo, Plan
from rdskit.demo.view import view_for
from rdskit.local.lifecycle import data_directory

app = single()


@app.command(
    "demo",
    epilog=examples("rdskit demo", "rdskit demo --engine mysql --seconds 30", "rdskit demo --json > figures.json"),
)
def command(
    *,
    engine: Annotated[DemoEngine, typer.Option(help="What the instance runs.")] = "postgres",
    seconds: Annotated[float, typer.Option(min=2, help="How long the shop is open.")] = 15.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON; all else goes to stderr.")
    ] = False,
    json_file: JsonFile = None,
    html: HtmlFile = Path("demo-report.html"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local RDS up afterwards.")] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data directory; $RDSKIT_DATA, else ./.rdskit, by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the AWS API; 4566 by default.")] = None,
    writers: Annotated[int, typer.Option(min=1, help="How many customers order at the same time.")] = 8,
    readers: Annotated[int, typer.Option(min=0, help="How many visitors look at the same time.")] = 4,
) -> None:
    """Run a shop on a local RDS through a real failover, and count what is lost.

    Starts a local RDS with a Multi-AZ instance and a read replica, runs a shop on it, forces a failover in the
    middle, and counts. Exit status 1 when an order is lost or doubled, a read is stale, or no failover happened.
    """
    plan = Plan(data_directory(data), port, seconds, writers, readers, keep, engine)
    report = asyncio.run(run(plan, Console(highlight=False, stderr=as_json)))
    Console(highlight=False, soft_wrap=True, stderr=as_json).print("\n" + as_text(report), markup=False)
    figures = json.dumps(as_figures(report), indent=2)
    for path, content in ((json_file, f"{figures}\n"), (html, as_page(report))):
        if path is not None:
            write(path, content)
            typer.echo(f"written: {path}", err=as_json)
    if as_json:
        typer.echo(figures)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(1 if report.complaints else 0)


async def run(plan: Plan, console: Console) -> Report:
    """Run the plan; Ctrl-C ends it early and cleanly."""
    with view_for(console) as view:
        demo = Demo(plan, view)
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, demo.interrupt)
        try:
            return await demo.run()
        except asyncio.CancelledError:
            raise typer.Exit(INTERRUPTED) from None
