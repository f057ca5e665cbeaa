"""``rdskit local``: the instances of a local RDS: status, create, list, logs."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text

from rdskit.cli.local_options import AsJson, Data, print_json, warn_of_open_doors
from rdskit.cli.tables import COLOURS, print_table
from rdskit.errors import LocalError
from rdskit.kernel.server_words import escaped
from rdskit.local import instances, lifecycle
from rdskit.local.control import clouds
from rdskit.local.control.loopback import url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rdskit.local.lifecycle import LocalStatus

_SCHEMES = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mariadb"}
_POLL = 0.2  # seconds between two polls of a followed log


def status(*, data: Data = None, as_json: AsJson = False) -> None:
    """Show whether the local RDS is up, and its instances: URL, user, secret, faults in force.

    Exit status 1 when it is down.
    """
    found = lifecycle.status(lifecycle.data_directory(data))
    warn_of_open_doors(found)
    if as_json:
        print_json(found.as_dict())
    else:
        _print_status(found)
    if not found.running:
        raise typer.Exit(1)


def list_clouds(*, as_json: AsJson = False) -> None:
    """List every local RDS that runs on this machine."""
    found = sorted(clouds.running(), key=lambda each: each.port)
    if as_json:
        print_json([each._asdict() | {"endpoint": url(each.port)} for each in found])
    elif found:
        rows = [(str(each.data), url(each.port), str(each.pid), each.user) for each in found]
        print_table(("data", "endpoint", "pid", "user"), rows)
    else:
        typer.echo("none runs: `rdskit local up` starts one")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Identifier of the DB instance.", show_default=False)],
    *,
    engine: Annotated[Literal["postgres", "mysql", "mariadb"], typer.Option(help="What it runs.")] = "postgres",
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Of the engine, as in 18 or 8.4; else the default one.")
    ] = None,
    database: Annotated[str, typer.Option(metavar="NAME", help="The initial database.")] = instances.DEFAULT_DATABASE,
    multi_az: Annotated[bool, typer.Option("--multi-az", help="With a standby to fail over to.")] = False,
    replicas: Annotated[int, typer.Option(min=0, max=15, metavar="N", help="How many read replicas.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all are available.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a DB instance with a managed secret for its password; with replicas it waits for the instance itself."""
    directory = lifecycle.data_directory(data)
    wanted = instances.Wanted(name, engine, version, database, multi_az=multi_az, replicas=replicas)
    made = instances.create(directory, wanted)
    for each in made if wait else ():
        instances.await_available(directory, each)
    found = [
        each for each in lifecycle.status(directory).instances if each["identifier"] in {name.lower() for name in made}
    ]
    if as_json:
        print_json({"instances": found})
        return
    for line in _described(found):
        Console(highlight=False, soft_wrap=True).print(line)
    if not wait:
        typer.echo(f"`rdskit local status` tells when it is available; then: rdskit shell rds://{made[0]}/{database}")


def logs(
    instance: Annotated[
        str | None,
        typer.Argument(
            metavar="[INSTANCE]", help="Identifier; without it the log of the local RDS.", show_default=False
        ),
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new lines as they are written.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 100,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print the last lines of the logs of an instance's servers, or of the local RDS itself."""
    files = instances.log_files(lifecycle.data_directory(data), instance)
    if as_json:
        print_json([{"file": str(path), "lines": _last_lines(path, lines)} for path in files])
        return
    for path in files:
        if len(files) > 1:
            typer.echo(f"==> {path} <==")
        for line in _last_lines(path, lines):
            typer.echo(line)
    if follow:
        for line in _followed(files):
            typer.echo(line)


def _last_lines(path: Path, count: int) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [escaped(line.rstrip("\n")) for line in collections.deque(file, count)]
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}; run as the user who started it") from error


def _followed(paths: Sequence[Path]) -> Iterator[str]:
    """Yield new lines as they are written, with the file's name if there are several. Never ends."""
    ends = {path: path.stat().st_size for path in paths}
    last: Path | None = None
    while True:
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            with path.open("rb") as file:
                file.seek(ends[path] if size >= ends[path] else 0)
                written, newline, _ = file.read().rpartition(b"\n")
                if not newline:
                    continue
                ends[path] = file.tell() - len(_)
            if len(paths) > 1 and path != last:
                yield f"==> {path} <=="
            last = path
            yield from (escaped(line) for line in written.decode(errors="replace").splitlines())
        time.sleep(_POLL)


def _print_status(found: LocalStatus) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not found.running:
        console.print(f"down; data in {found.data}: `rdskit local up` starts it", markup=False, emoji=False)
        return
    where = (f", pid {found.pid}, data in {found.data}",)
    console.print(Text.assemble(("up", "green"), " at ", (str(found.endpoint), "bold"), *where))
    for line in _described(found.instances):
        console.print(line)
    if not found.instances:
        console.print("no instances: `rdskit local create NAME` makes one")


def _described(found: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield the lines that describe instances, narrow enough for any terminal."""
    for each in found:
        status_ = str(each["status"])
        colour = COLOURS.get(status_, "cyan")
        yield Text.assemble("\n", (str(each["identifier"]), "bold"), "  ", (status_, colour), f"  {each['engine']}")
        facts = {
            "url": url_of(each),
            "user": each.get("user"),
            "secret": each.get("secret"),
            "zones": " → ".join(str(zone) for zone in (each["zone"], each["secondary_zone"]) if zone),
            "replica of": each["replica_of"],
            "faults": ", ".join(map(_fault, each.get("faults", ()))),
        }
        for name, value in facts.items():
            if value:
                yield Text.assemble((f"  {name:<10}  ", "dim"), (str(value), "red" if name == "faults" else ""))


def url_of(instance: Mapping[str, Any]) -> str | None:
    """Return the URL of an instance, without its password; None while it has no address."""
    if not instance["address"]:
        return None
    family = str(instance["engine"]).partition(" ")[0].removeprefix("aurora-")
    scheme = next((name for engine, name in _SCHEMES.items() if family.startswith(engine)), family)
    user = f"{instance['user']}@" if instance.get("user") else ""
    return f"{scheme}://{user}{instance['address']}:{instance['port']}/{instance.get('database') or ''}"


def _fault(fault: Mapping[str, Any]) -> str:
    amount = f" {fault['seconds']:g}s" if fault["seconds"] else ""
    return f"{fault['kind']}{amount}" + (f" ({fault['path']})" if fault["kind"] == "blackhole" else "")
