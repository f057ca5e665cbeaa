"""``rdskit changes``: what is committed in a database, and the consumers that follow it."""

import asyncio
import base64
import datetime as dt
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

import rdskit
from rdskit.cli.help import examples, group
from rdskit.cli.targets import AsJson, Target, connects
from rdskit.client.api import Database
from rdskit.reports import Report, as_text
from rdskit.reports import as_json as as_report_json
from rdskit.stream import capture

app = group(
    "changes",
    "Change capture: what is committed, as typed rows, and the consumers that follow it.",
    "rdskit changes check rds://orders/shop --table orders",
    "rdskit changes tail orders --table orders",
    "rdskit changes status orders",
)

Tables = Annotated[list[str], typer.Option("--table", metavar="NAME", help="A table; give it once for each.")]


@app.command("check", epilog=examples("rdskit changes check orders --table orders --table sales.items"))
@connects
def check(target: Target, *, tables: Tables = [], options: dict[str, Any], as_json: AsJson = False) -> None:  # noqa: B006 - Typer's way
    """Show what keeps a database or its tables from being captured, each with its fix.

    Exit status 1 when something does.
    """
    findings = _run(target, options, lambda db: capture.check(db, tables))
    report = Report.of_findings("rdskit changes check", findings, checked=len(tables) + 1)
    typer.echo(json.dumps(as_report_json(report), indent=2, ensure_ascii=False) if as_json else as_text(report))
    raise typer.Exit(0 if report.good else 1)


@app.command("status", epilog=examples("rdskit changes status orders --json"))
@connects
def status(target: Target, *, options: dict[str, Any], as_json: AsJson = False) -> None:
    """Show how far each consumer is, and how much log the server keeps for it.

    Exit status 1 when one cannot go on.
    """
    found = _run(target, options, capture.status)
    if as_json:
        typer.echo(json.dumps({"consumers": [each._asdict() for each in found]}, indent=2, default=str))
    for each in [] if as_json else found:
        typer.echo(f"{each.name}  {each.position or '(being created)'}  stored {each.updated_at:%Y-%m-%d %H:%M:%S} UTC")
        typer.echo(f"    tables {', '.join(each.tables)}{', snapshot under way' if each.snapshot_runs else ''}")
        if each.behind is not None:
            reader = "read now" if each.is_active else "not being read"
            typer.echo(f"    {each.behind:,} bytes behind, {each.held or 0:,} bytes of log kept for it, {reader}")
        if each.problem:
            typer.echo(f"    {each.problem}")
    if not found and not as_json:
        typer.echo("no consumers")
    raise typer.Exit(1 if any(each.problem for each in found) else 0)


@app.command("tail", epilog=examples("rdskit changes tail orders --table orders --limit 10"))
@connects
def tail(
    target: Target,
    *,
    tables: Tables,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many changes.")] = None,
    options: dict[str, Any],
    as_json: AsJson = False,  # noqa: ARG001 - each line is JSON already
) -> None:
    """Print each change from now on as a line of JSON; nothing is stored on the server."""
    _run(target, options, lambda db: _tail(db, tables, limit))


@app.command("drop", epilog=examples("rdskit changes drop orders billing --yes"))
@connects
def drop(
    target: Target,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The consumer.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it.")] = False,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Remove a consumer: its checkpoint and, on PostgreSQL, its slot and publication. Changes nothing without --yes."""
    if not yes:
        typer.echo(f"nothing was changed: {name} could not go on where it is, and removing it needs --yes", err=True)
        raise typer.Exit(1)
    _run(target, options, lambda db: capture.drop(db, name))
    typer.echo(json.dumps({"dropped": name}) if as_json else f"dropped {name}")


async def _tail(db: Database, tables: list[str], limit: int | None) -> None:
    count = 0
    async with capture.changes(db, tables=tables) as stream:
        async for change in stream:
            typer.echo(json.dumps(_plain(change), ensure_ascii=False, default=_text))
            count += 1
            if count == limit:
                return


def _plain(change: capture.Change) -> dict[str, Any]:
    return {
        "kind": str(change.kind),
        "table": change.table,
        "old": None if change.old is None else dict(change.old.items()),
        "new": None if change.new is None else dict(change.new.items()),
        "transaction": change.transaction,
        "committed_at": change.committed_at,
    }


def _text(value: object) -> str:
    """Write what JSON has no form for; bytes as base64."""
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _run(target: str, options: dict[str, Any], work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with rdskit.connect(
            target, min_size=0, max_size=2, readers="off", application_name="rdskit changes", **options
        ) as db:
            return await work(db)

    return asyncio.run(run())
