"""The options by which every command reaches a database."""

from pathlib import Path
from typing import Annotated, Any

import typer

Target = Annotated[str, typer.Argument(help="postgresql://…, mysql://…, rds://IDENTIFIER or secretsmanager:ID")]
Credentials = Annotated[str | None, typer.Option(help="env, iam, secretsmanager:ID or ssm:/path")]
Tls = Annotated[str, typer.Option(help="verify-full, require or off")]
Ca = Annotated[Path | None, typer.Option(help="A PEM file with one more authority to trust.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def connect_options(credentials: str | None, tls: str, ca: Path | None) -> dict[str, Any]:
    """Return the keyword arguments of ``rdskit.connect`` that were given."""
    options = {"credentials": credentials, "tls": tls, "ca": ca}
    return {name: value for name, value in options.items() if value is not None}
