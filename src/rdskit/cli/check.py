"""``rdskit check``."""

import asyncio
import json
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from rdskit.cli.help import examples, single
from rdskit.cli.targets import Target, connects, in_options
from rdskit.operate.observe.check import check
from rdskit.operate.observe.diagnosis import Diagnosis, Status, Step

app = single()

_MARKS = {
    Status.OK: ("✓", "green"),
    Status.WARN: ("!", "yellow"),
    Status.FAIL: ("✗", "bold red"),
    Status.SKIPPED: ("·", "dim"),
}


@app.command(
    "check",
    epilog=examples(
        "rdskit check rds://orders", "rdskit check postgresql://app@db.example.com/shop --credentials iam --json"
    ),
)
@connects
def command(
    target: Target,
    *,
    options: dict[str, Any],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all steps together.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Diagnose a connection step by step: DNS, TCP, TLS, login, role and replicas.

    Exit status 1 when a step failed.
    """
    found = asyncio.run(check(target, timeout=timeout, **options))
    found = replace(found, steps=tuple(_in_options(step) for step in found.steps))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        show(found, Console(highlight=False, soft_wrap=True))
    raise typer.Exit(1 if found.failed else 0)


def _in_options(step: Step) -> Step:
    advice = step.next_step and in_options(step.next_step)
    return replace(step, finding=in_options(step.finding), next_step=advice)


def show(found: Diagnosis, console: Console) -> None:
    """Print the steps, each with what to do about it."""
    for step in found.steps:
        mark, style = _MARKS[step.status]
        took = "" if step.status is Status.SKIPPED else f"  ({step.ms:.0f} ms)"
        console.print(Text.assemble((f"{mark} {step.name:<9}", style), step.finding, (took, "dim")))
        if step.next_step:
            console.print(Text(f"            → {step.next_step}", style="yellow"))
