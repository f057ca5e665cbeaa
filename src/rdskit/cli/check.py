"""``rdskit check``."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rdskit.operate.observe.check import check
from rdskit.operate.observe.diagnosis import Diagnosis, Status

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_MARKS = {
    Status.OK: ("✓", "green"),
    Status.WARN: ("!", "yellow"),
    Status.FAIL: ("✗", "bold red"),
    Status.SKIPPED: ("·", "dim"),
}


@app.command("check")
def command(
    target: Annotated[
        str, typer.Argument(help="postgresql://…, mysql://…, mariadb://…, rds://IDENTIFIER or secretsmanager:ID")
    ],
    *,
    credentials: Annotated[str | None, typer.Option(help="env, iam, secretsmanager:ID or ssm:/PATH")] = None,
    tls: Annotated[str, typer.Option(help="verify-full, require or off")] = "verify-full",
    ca: Annotated[Path | None, typer.Option(help="A PEM file with one more authority to trust.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all steps together.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Why can I (not) connect? DNS, TCP, TLS, login, role and replicas, step by step.

    Exit status 1 when a step failed.
    """
    found = asyncio.run(check(target, credentials=credentials, tls=tls, ca=ca, timeout=timeout))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        show(found, Console(highlight=False, soft_wrap=True))
    raise typer.Exit(1 if found.failed else 0)


def show(found: Diagnosis, console: Console) -> None:
    """Print the steps, each with what to do about it."""
    for step in found.steps:
        mark, style = _MARKS[step.status]
        took = "" if step.status is Status.SKIPPED else f"  ({step.ms:.0f} ms)"
        console.print(Text.assemble((f"{mark} {step.name:<9}", style), step.finding, (took, "dim")))
        if step.next_step:
            console.print(Text(f"            → {step.next_step}", style="yellow"))
