"""``rdskit cache``: what the cache of a namespace does, and making it forget."""

import asyncio
import json
from typing import Annotated, Any

import typer

from rdskit.cli.help import examples, group
from rdskit.cli.tables import print_table
from rdskit.cli.targets import AsJson, Target, connects
from rdskit.client.api import connect
from rdskit.errors import ConnectError
from rdskit.scale.cache import Cache
from rdskit.scale.cache.report import Report, report_on

app = group(
    "cache",
    "The cache of query results: what it does, and making it forget.",
    "rdskit cache stats --redis redis://cache:6379 --namespace shop",
    "rdskit cache invalidate orders users --namespace shop",
)

Redis = Annotated[
    str,
    typer.Option(
        "--redis", envvar="REDIS_URL", metavar="URL", help="The server, as in redis://cache:6379.", show_default=False
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", metavar="NAME", help="As the application's cache has it.")]
_TIMEOUT = 5.0  # seconds for the connection to the cache
_ANSWER = 1.0  # seconds for an answer: a person waits longer than a query


@app.command("stats", epilog=examples("rdskit cache stats --redis redis://cache:6379 --namespace shop"))
def stats(*, redis: Redis, namespace: Namespace, as_json: AsJson = False) -> None:
    """Show what the caches of all processes of a namespace have done, and what the server holds."""
    found = asyncio.run(report_on(redis, namespace, _TIMEOUT))
    if as_json:
        typer.echo(json.dumps(_described(found), indent=2))
        return
    print_table(("figure", "value"), [(name, str(value)) for name, value in _described(found).items()])


@app.command("invalidate", epilog=examples("rdskit cache invalidate orders users --namespace shop"))
@connects
def invalidate(
    target: Target,
    tables: Annotated[list[str] | None, typer.Argument(metavar="TABLE", help="Without any, everything.")] = None,
    *,
    options: dict[str, Any],
    redis: Redis,
    namespace: Namespace,
    as_json: AsJson = False,
) -> None:
    """Invalidate every result that depends on some tables, in all processes: after an import, for example."""
    names = tuple(tables or ())
    asyncio.run(_invalidate(target, options, redis, namespace, names))
    if as_json:
        typer.echo(json.dumps({"namespace": namespace, "invalidated": list(names) or "everything"}))
    else:
        typer.echo(f"invalidated in {namespace}: {', '.join(names) or 'everything'}")


async def _invalidate(
    target: str, options: dict[str, Any], redis: str, namespace: str, tables: tuple[str, ...]
) -> None:
    await report_on(redis, namespace, _TIMEOUT)  # it is an error here if the cache is not there
    async with (
        connect(target, min_size=0, max_size=2, application_name="rdskit cache", **options) as db,
        Cache(db, redis, namespace=namespace, timeout=_ANSWER) as cache,
    ):
        await cache.require_tables(*tables)
        await cache.invalidate(*tables)
        if cache.stats.outages:
            raise ConnectError("the cache did not answer, so nothing is invalidated: is its URL right, and is it up?")


def _described(report: Report) -> dict[str, Any]:
    return {
        "hit_rate": None if report.hit_rate is None else round(report.hit_rate, 4),
        **report.counters,
        "server": report.server,
        "memory_bytes": report.memory,
        "evicted_keys": report.evicted,
    }
