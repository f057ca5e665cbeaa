"""The common options of all commands of ``rdskit local``, and their output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rdskit.local.lifecycle import LocalStatus

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Data directory. Default: $RDSKIT_DATA, else ./.rdskit.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def warn_of_open_doors(found: LocalStatus) -> None:
    """Say on stderr that a local RDS answers callers that have no key of it."""
    guard = (found.health or {}).get("guard", {})
    if not guard.get("verify_signatures", True):
        typer.echo("warning: signatures are not verified: everybody on this machine can do everything here", err=True)
