"""``rdskit local``: the local RDS from the command line."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from rdskit.errors import ConfigError
from rdskit.local import doctor as examination
from rdskit.local import faults, site
from rdskit.local.fault_model import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.local.site import SiteStatus

__all__ = ["app"]

app = typer.Typer(
    name="local",
    help="The local RDS: the AWS API in front of real servers on this machine.",
    no_args_is_help=True,
    add_completion=False,
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Data directory. Default: $RDSKIT_DATA, else ./.rdskit.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Port = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="Port of the AWS API. Default: the last one, else 4566.", show_default=False
    ),
]

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "available": "green", "failed": "red", "stopped": "dim"}


@app.command()
def up(
    *,
    data: Data = None,
    port: Port = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay; Ctrl-C stops everything.")] = False,
    verify_signatures: Annotated[
        bool,
        typer.Option(
            "--verify-signatures/--no-verify-signatures", help="Answer only who signs with a key of this local RDS."
        ),
    ] = True,
    enforce_iam: Annotated[
        bool, typer.Option("--enforce-iam", help="Let the policies of the local IAM decide what a caller may do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local RDS; returns when it is ready."""
    directory = site.data_directory(data)
    guard = None if verify_signatures and not enforce_iam else site.Guard(verify_signatures, enforce_iam)
    if foreground:
        arguments, environment = site.foreground(directory, port, guard)
        os.execve(arguments[0], arguments, environment)  # noqa: S606 - our own daemon takes this process's place
    found = site.up(directory, port, guard)
    _warn_of_open_doors(found)
    if as_json:
        return _print_json(found.as_dict())
    verb = "already up" if found.already else f"up in {found.seconds:.1f} s"
    _say(f"[green]{verb}[/] at [bold]{found.endpoint}[/], data in {found.data}")
    place = f" --data {shlex.quote(str(data))}" if data else ""
    _say(f'eval "$(rdskit local env{place})" points AWS SDKs and rdskit at it')
    return None


@app.command()
def down(*, data: Data = None, as_json: AsJson = False) -> None:
    """Stop the local RDS and all its servers; the data stays."""
    found = site.down(site.data_directory(data))
    if as_json:
        return _print_json(found.as_dict())
    return _say("down" if found.seconds is not None else "it was not up", f"; data in {found.data}")


@app.command()
def status(*, data: Data = None, as_json: AsJson = False) -> None:
    """Show whether the local RDS is up, and its instances. Exit status 1 when it is down."""
    found = site.status(site.data_directory(data))
    _warn_of_open_doors(found)
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_status(found)
    if not found.running:
        raise typer.Exit(1)


@app.command()
def env(*, data: Data = None, as_json: AsJson = False) -> None:
    """Print exports for a POSIX shell: eval "$(rdskit local env)"."""
    variables = site.env(site.data_directory(data))
    if as_json:
        return _print_json(variables)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    return None


@app.command()
def doctor(*, data: Data = None, as_json: AsJson = False) -> None:
    """Look at what this machine offers, and say what to install. Exit status 1 when nothing would work."""
    findings = examination.examine(site.data_directory(data))
    if as_json:
        _print_json([asdict(each) for each in findings])
    else:
        rows = ((each.subject, _coloured(each.status), each.finding, each.next_step) for each in findings)
        _print_table(("what", "", "found", "next step"), rows)
    if any(each.status == "fail" for each in findings):
        raise typer.Exit(1)


@app.command()
def reset(
    *,
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the local RDS and delete all its data."""
    directory = site.data_directory(data)
    if not yes and not typer.confirm(f"Delete {directory} with all its databases?"):
        raise ConfigError(f"Nothing was deleted in {directory}: answer y, or use --yes.")
    found = site.reset(directory)
    if as_json:
        return _print_json(found.as_dict())
    return _say(f"{directory} is gone")


@app.command()
def fault(
    instance: Annotated[str, typer.Argument(help="Identifier of the DB instance.", show_default=False)],
    kind: Annotated[
        str, typer.Argument(help="kill, hang, blackhole, latency, reset, lag or full-disk; clear ends all of them.")
    ],
    amount: Annotated[
        str | None, typer.Argument(help="Of latency and lag: how much, as in 200ms or 5s.", show_default=False)
    ] = None,
    *,
    path: Annotated[
        str | None,
        typer.Option("--path", help="Of blackhole: client cuts off clients alone, all (the default) everybody."),
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Clear it by itself after this time.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Break an instance on purpose: its server dies or hangs, its network swallows or delays."""
    if kind == "clear":
        done = faults.clear(instance, data=data)
        text = f"{instance}: cleared {', '.join(done['cleared']) or 'nothing, no fault was in force'}"
    else:
        chosen = named_fault(kind, amount, path)
        seconds = parse_seconds(lasting) if lasting else None
        done = faults.inject(instance, chosen, lasting=seconds, data=data)
        text = f"{instance}: {kind} {amount or ''}".rstrip() + (f" for {lasting}" if lasting else "")
    if as_json:
        return _print_json(done)
    return _say(text)


def named_fault(kind: str, amount: str | None, path: str | None) -> faults.Fault:
    """The fault of these words; :class:`ConfigError` says what is wrong with them."""
    return faults.Fault(
        cast("faults.FaultKind", kind),
        parse_seconds(amount) if amount else 0.0,
        cast("faults.Path", path or "all"),
    )


def _warn_of_open_doors(found: SiteStatus) -> None:
    guard = (found.health or {}).get("guard", {})
    if not guard.get("verify_signatures", True):
        typer.echo("warning: signatures are not verified: everybody on this machine can do everything here", err=True)


def _print_status(found: SiteStatus) -> None:
    if not found.running:
        return _say(f"down; data in {found.data}: `rdskit local up` starts it")
    _say(f"[green]up[/] at [bold]{found.endpoint}[/], pid {found.pid}, data in {found.data}")
    rows = (
        (
            str(each["identifier"]),
            _coloured(str(each["status"])),
            str(each["engine"]),
            f"{each['address']}:{each['port']}" if each["address"] else "",
            " → ".join(str(zone) for zone in (each["zone"], each["secondary_zone"]) if zone),
            str(each["replica_of"] or ""),
        )
        for each in found.instances
    )
    if found.instances:
        _print_table(("instance", "status", "engine", "endpoint", "zones", "replica of"), rows)
    return None


def _print_table(headings: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("instance", "endpoint"))
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=False).print(table)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def _say(*words: str) -> None:
    Console(highlight=False, soft_wrap=True).print("".join(words))


def _coloured(word: str) -> str:
    return f"[{_COLOURS.get(word, 'cyan')}]{word}[/]"
