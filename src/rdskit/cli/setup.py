"""``rdskit setup``."""

import asyncio
import json
from typing import Annotated, Any

import typer

import rdskit
from rdskit.cli.help import examples, single
from rdskit.cli.targets import Target, connects
from rdskit.client.api import TABLES

app = single()


@app.command("setup", epilog=examples("rdskit setup rds://orders/shop"))
@connects
def command(
    target: Target,
    *,
    options: dict[str, Any],
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """Create rdskit's tables in a database: commit markers, idempotency keys, outbox. May be run again."""
    made = asyncio.run(_set_up(target, options))
    if as_json:
        typer.echo(json.dumps({"tables": list(made)}))
        return
    for name in made:
        typer.echo(f"✓ {name:<20}{TABLES[name]}")


async def _set_up(target: str, options: dict[str, Any]) -> tuple[str, ...]:
    async with rdskit.connect(target, min_size=1, max_size=1, readers="off", **options) as db:
        return await db.setup()
