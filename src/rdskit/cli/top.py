"""``rdskit top``."""

import asyncio
import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from rdskit.cli.help import examples, single
from rdskit.cli.targets import Target, connects
from rdskit.errors import ConfigError
from rdskit.local.fault_model import parse_seconds
from rdskit.operate.top.keys import Look
from rdskit.operate.top.model import Frame
from rdskit.operate.top.render import render
from rdskit.operate.top.screen import Screen
from rdskit.operate.top.watch import watching

app = single()


@app.command("top", epilog=examples("rdskit top rds://orders", "rdskit top orders --once --json"))
@connects
def command(
    target: Target,
    *,
    interval: Annotated[str, typer.Option(metavar="TIME", help="Time between two polls, such as 500ms or 2s.")] = "1s",
    once: Annotated[bool, typer.Option("--once", help="Print one frame as text; also where there is no terminal.")] = (
        False
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one frame as JSON.")] = False,
    reader: Annotated[
        list[str] | None, typer.Option(metavar="HOST[:PORT]", help="A reader to watch too; may be given again.")
    ] = None,
    options: dict[str, Any],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one attempt to connect.")] = 5.0,
) -> None:
    """Watch a cluster live: roles, rates, latency, connections, lag, and failovers while they happen.

    Keys: q quit, p pause, s sort, + and - look less and more often, ? help. Exit status of --once and --json: 1 when a
    host does not respond.
    """
    options |= {"connect_timeout": timeout, "readers": tuple(reader or ()) or "auto"}
    console = Console(highlight=False, soft_wrap=True)
    if once or as_json or not is_interactive(console):
        frame = asyncio.run(_one_frame(target, _seconds(interval), options))
        _print(frame, console, as_json=as_json)
        raise typer.Exit(0 if frame.ok else 1)
    raise typer.Exit(asyncio.run(_live(target, _seconds(interval), options, console)))


def is_interactive(console: Console) -> bool:
    """Return whether there is a terminal to draw on, and keys to read."""
    return console.is_terminal and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"


async def _one_frame(target: str, interval: float, options: dict[str, Any]) -> Frame:
    async with watching(target, interval=interval, **options) as watch:
        return await watch.compared()


async def _live(target: str, interval: float, options: dict[str, Any], console: Console) -> int:
    async with watching(target, interval=interval, **options) as watch:
        return await Screen(watch, console).run()


def _print(frame: Frame, console: Console, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(frame.as_dict(), indent=2, ensure_ascii=False))
        return
    width = console.width if console.is_terminal else 1000
    for line in render(frame, Look(interval=frame.interval), width):
        console.print(line)


def _seconds(interval: str) -> float:
    seconds = parse_seconds(interval)
    if seconds < 0.1:  # noqa: PLR2004 - more often would be load and not a look
        raise ConfigError(f"--interval {interval} is too short: 100ms at least")
    return seconds
