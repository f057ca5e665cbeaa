"""``rdskit topology``."""

import asyncio
import json
from typing import Annotated, Any

import typer

from rdskit.cli.help import examples, single
from rdskit.cli.tables import print_table
from rdskit.cli.targets import Target, connects, in_options
from rdskit.client.api import Health, HostHealth, connect
from rdskit.kernel.topology import Host, Role, Topology

app = single()


@app.command("topology", epilog=examples("rdskit topology rds://orders", "rdskit topology orders --json"))
@connects
def command(
    target: Target,
    *,
    options: dict[str, Any],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one attempt to connect.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hosts as JSON.")] = False,
) -> None:
    """List the hosts of a cluster with their roles and whether they respond.

    Exit status 1 when a host does not.
    """
    topology, health = asyncio.run(_look(target, options | {"connect_timeout": timeout}))
    hosts = described(topology, health)
    if as_json:
        typer.echo(json.dumps({"status": health.status, "hosts": hosts}, indent=2, ensure_ascii=False))
    else:
        _show(hosts)
    raise typer.Exit(0 if health.status == "ok" else 1)


async def _look(target: str, options: dict[str, Any]) -> tuple[Topology, Health]:
    async with connect(target, min_size=0, max_size=1, application_name="rdskit topology", **options) as db:
        return await db.topology(), await db.health()


def described(topology: Topology, health: Health) -> list[dict[str, Any]]:
    """Return one mapping for each host, the writer first."""
    signs = {reader.name: reader for reader in health.readers}
    ordered = sorted(topology.hosts, key=lambda host: host.role is not Role.WRITER)
    return [_described(host, health.writer if host.role is Role.WRITER else signs[host.identifier]) for host in ordered]


def _described(host: Host, sign: HostHealth) -> dict[str, Any]:
    return {
        "identifier": host.identifier,
        "role": host.role.value,
        "endpoint": str(host.endpoint),
        "zone": host.zone,
        "latency_ms": None if sign.latency is None else round(sign.latency * 1e3, 2),
        "problem": sign.problem and in_options(sign.problem),
    }


def _show(hosts: list[dict[str, Any]]) -> None:
    rows = [
        (
            host["identifier"],
            host["role"],
            host["endpoint"],
            host["zone"] or "",
            host["problem"] or f"{host['latency_ms']} ms",
        )
        for host in hosts
    ]
    print_table(("identifier", "role", "endpoint", "zone", "response"), rows)
