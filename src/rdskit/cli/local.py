"""``rdskit local``: the local RDS from the command line."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from typing import Annotated, Literal, cast

import typer
from rich.console import Console

from rdskit.cli import local_instances
from rdskit.cli.help import examples, group
from rdskit.cli.local_options import AsJson, Data, print_json, warn_of_open_doors
from rdskit.cli.shells import Shell, assignment
from rdskit.cli.tables import print_table
from rdskit.errors import LocalError
from rdskit.local import doctor as examination
from rdskit.local import faults, lifecycle
from rdskit.local.fault_model import parse_seconds

__all__ = ["app"]

app = group(
    "local",
    "The local RDS: the AWS API in front of real servers on this machine.",
    "rdskit local up",
    "rdskit local create orders --multi-az --replicas 1 --wait",
    'eval "$(rdskit local env)"',
    "rdskit local fault orders kill",
)
app.command(epilog=examples("rdskit local status", "rdskit local status --json"))(local_instances.status)
app.command(epilog=examples("rdskit local create orders", "rdskit local create shop --engine mysql --multi-az --wait"))(
    local_instances.create
)
app.command("list", epilog=examples("rdskit local list"))(local_instances.list_clouds)
app.command(epilog=examples("rdskit local logs orders -f", "rdskit local logs -n 20"))(local_instances.logs)

Port = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="Port of the AWS API. Default: the last one, else 4566.", show_default=False
    ),
]

_FAULTS = "kill, hang, blackhole, latency, reset, lag or full-disk; clear ends all of them."


@app.command(epilog=examples("rdskit local up", "rdskit local up --port 4570 --data /tmp/second"))
def up(
    *,
    data: Data = None,
    port: Port = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay; Ctrl-C stops everything.")] = False,
    verify_signatures: Annotated[
        bool,
        typer.Option(
            "--verify-signatures/--no-verify-signatures",
            help="Accept only requests signed with a key of this local RDS.",
        ),
    ] = True,
    enforce_iam: Annotated[
        bool, typer.Option("--enforce-iam", help="Let the policies of the local IAM decide what a caller may do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local RDS; returns when it is ready."""
    directory = lifecycle.data_directory(data)
    guard = None if verify_signatures and not enforce_iam else lifecycle.Guard(verify_signatures, enforce_iam)
    if foreground:
        arguments, environment = lifecycle.foreground(directory, port, guard)
        os.execve(arguments[0], arguments, environment)  # noqa: S606 - our own daemon takes this process's place
    found = lifecycle.up(directory, port, guard)
    warn_of_open_doors(found)
    if as_json:
        return print_json(found.as_dict())
    verb = "already up" if found.already else f"up in {found.seconds:.1f} s"
    _say(f"[green]{verb}[/] at [bold]{found.endpoint}[/], data in {found.data}")
    place = f" --data {shlex.quote(str(data))}" if data else ""
    _say(f'eval "$(rdskit local env{place})" points AWS SDKs and rdskit at it')
    return None


@app.command(epilog=examples("rdskit local down"))
def down(*, data: Data = None, as_json: AsJson = False) -> None:
    """Stop the local RDS and all its servers; the data stays."""
    found = lifecycle.down(lifecycle.data_directory(data))
    if as_json:
        return print_json(found.as_dict())
    return _say("down" if found.seconds is not None else "it was not up", f"; data in {found.data}")


@app.command(epilog=examples('eval "$(rdskit local env)"', "rdskit local env --shell fish | source"))
def env(
    *,
    shell: Annotated[Shell, typer.Option("--shell", help="The syntax; bash and zsh use posix.")] = "posix",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print exports for a shell, for AWS SDKs and rdskit."""
    variables = lifecycle.env(lifecycle.data_directory(data))
    if as_json:
        return print_json(variables)
    for name, value in variables.items():
        typer.echo(assignment(shell, name, value))
    return None


@app.command(epilog=examples("rdskit local doctor"))
def doctor(*, data: Data = None, as_json: AsJson = False) -> None:
    """Check this machine's prerequisites, and report what to install. Exit status 1 when nothing would work."""
    findings = examination.examine(lifecycle.data_directory(data))
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        rows = [(each.subject, each.status, each.finding, each.next_step) for each in findings]
        print_table(("what", "state", "found", "next step"), rows)
    if any(each.status == "fail" for each in findings):
        raise typer.Exit(1)


@app.command(epilog=examples("rdskit local reset --yes"))
def reset(
    *,
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the local RDS and delete all its data."""
    directory = lifecycle.data_directory(data)
    if not yes and not typer.confirm(f"Delete {directory} with all its databases?"):
        raise LocalError(f"nothing was deleted in {directory}: answer y, or use --yes")
    found = lifecycle.reset(directory)
    if as_json:
        return print_json(found.as_dict())
    return _say(f"{directory} is gone")


@app.command(
    epilog=examples(
        "rdskit local fault orders kill",
        "rdskit local fault orders latency 200ms --for 10s",
        "rdskit local fault orders clear",
    )
)
def fault(
    instance: Annotated[
        str, typer.Argument(metavar="INSTANCE", help="Identifier of the DB instance.", show_default=False)
    ],
    kind: Annotated[
        Literal["kill", "hang", "blackhole", "latency", "reset", "lag", "full-disk", "clear"],
        typer.Argument(metavar="FAULT", help=_FAULTS, show_default=False),
    ],
    amount: Annotated[
        str | None,
        typer.Argument(
            metavar="[TIME]", help="For latency and lag: the amount, such as 200ms or 5s.", show_default=False
        ),
    ] = None,
    *,
    path: Annotated[
        Literal["client", "all"] | None,
        typer.Option("--path", help="For blackhole: client cuts off clients only, all (the default) everything."),
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Clear it by itself after this time.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Inject a fault into an instance: its server dies or hangs, its network drops or delays packets."""
    if kind == "clear":
        done = faults.clear(instance, data=data)
        text = f"{instance}: cleared {', '.join(done['cleared']) or 'nothing, no fault was in force'}"
    else:
        chosen = named_fault(kind, amount, path)
        seconds = parse_seconds(lasting) if lasting else None
        done = faults.inject(instance, chosen, lasting=seconds, data=data)
        text = f"{instance}: {kind} {amount or ''}".rstrip() + (f" for {lasting}" if lasting else "")
    if as_json:
        return print_json(done)
    return _say(text)


def named_fault(kind: str, amount: str | None, path: str | None) -> faults.Fault:
    """Return the fault for the words of the command line; raise :class:`ConfigError` if they are wrong."""
    return faults.Fault(
        cast("faults.FaultKind", kind),
        parse_seconds(amount) if amount else 0.0,
        cast("faults.Path", path or "all"),
    )


def _say(*words: str) -> None:
    Console(highlight=False, soft_wrap=True, emoji=False).print("".join(words))
