"""``rdskit setup``."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

import rdskit
from rdskit.client.api import TABLES

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("setup")
def command(
    target: Annotated[str, typer.Argument(help="postgresql://…, rds://IDENTIFIER or secretsmanager:ID")],
    *,
    credentials: Annotated[str | None, typer.Option(help="env, iam, ssm:/path or secretsmanager:ID")] = None,
    tls: Annotated[str, typer.Option(help="verify-full, require or off")] = "verify-full",
    ca: Annotated[Path | None, typer.Option(help="A PEM file with one more authority to trust.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """Make the tables of rdskit in a database: fences, idempotency keys, outbox. May be run again."""
    options = {"credentials": credentials, "tls": tls, "ca": ca}
    made = asyncio.run(_set_up(target, {name: value for name, value in options.items() if value is not None}))
    if as_json:
        typer.echo(json.dumps({"tables": list(made)}))
        return
    for name in made:
        typer.echo(f"✓ {name:<20}{TABLES[name]}")


async def _set_up(target: str, options: dict[str, Any]) -> tuple[str, ...]:
    async with rdskit.connect(target, min_size=1, max_size=1, readers="off", **options) as db:
        return await db.setup()
