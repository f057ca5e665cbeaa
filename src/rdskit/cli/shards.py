"""``rdskit shards``: the map of shards, and moving buckets between them."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from rdskit.cli.endings import INTERRUPTED
from rdskit.cli.help import examples, group
from rdskit.cli.progress import shown, stopping
from rdskit.cli.targets import AsJson, connects
from rdskit.errors import ConfigError
from rdskit.plans import FileJournal, Job, JobState, Plan
from rdskit.plans import apply as run_plan
from rdskit.scale.sharding import BUCKETS, ShardMap, Shards
from rdskit.scale.sharding.model import Slice
from rdskit.scale.sharding.move import SLICE, plan_for, range_to, rebalancing
from rdskit.scale.sharding.service import read_config

app = group(
    "shards",
    "Several databases that share the rows of one application: their map, and moving buckets.",
    "rdskit shards init shards.toml",
    "rdskit shards status shards.toml",
    "rdskit shards move shards.toml --yes",
)

_RANGE: Final = re.compile(r"(\d{1,4})-(\d{1,4})")
_CONNECTIONS: Final = 4
Config = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration, such as shards.toml.")]


@app.command("init", epilog=examples("rdskit shards init shards.toml"))
@connects
def init(config: Config, *, options: dict[str, Any], as_json: AsJson = False) -> None:
    """Create the map and the tables of rdskit on each shard. May be run again, and after a shard was added.

    A shard that joins a map gets no buckets by that: see `rdskit shards move`.
    """

    async def work() -> ShardMap:
        async with _shards(config, options) as shards:
            return await shards.setup()

    _tell(asyncio.run(work()), config, as_json=as_json)


@app.command("status", epilog=examples("rdskit shards status shards.toml --json"))
@connects
def status(config: Config, *, options: dict[str, Any], as_json: AsJson = False) -> None:
    """Show how many buckets each shard has, and which are being moved."""

    async def work() -> ShardMap:
        async with _shards(config, options) as shards:
            return await shards.map()

    _tell(asyncio.run(work()), config, as_json=as_json)


@app.command("move", epilog=examples("rdskit shards move shards.toml --buckets 0-15 --to s2 --yes"))
@connects
def move(
    config: Config,
    *,
    to: Annotated[str | None, typer.Option(metavar="SHARD", help="The shard that gets the buckets.")] = None,
    buckets: Annotated[str | None, typer.Option(metavar="LOW-HIGH", help="Which buckets move.")] = None,
    together: Annotated[
        int, typer.Option("--slice", min=1, help="Buckets that move together; their keys wait for as long.")
    ] = SLICE,
    place: Annotated[Path, typer.Option("--journal", metavar="DIR", help="Where the job's journal is.")] = Path(
        ".rdskit/jobs"
    ),
    yes: Annotated[bool, typer.Option("--yes", help="Move; without it the plan is only shown.")] = False,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Move buckets to another shard; without --to and --buckets, so that all shards have equally many.

    Changes nothing without --yes. After a crash go on with `rdskit jobs resume ID`, or back with `rdskit jobs undo ID`.
    """
    if (to is None) != (buckets is None):
        raise ConfigError("--to SHARD and --buckets LOW-HIGH belong together: give both, or neither to balance all")
    found = _RANGE.fullmatch(buckets) if buckets is not None else None
    if buckets is not None and found is None:
        raise ConfigError(f"--buckets {buckets} is no range: give LOW-HIGH, such as 0-15")
    ends = None if found is None or to is None else (int(found[1]), int(found[2]), to)
    told, job = asyncio.run(_move(config.absolute(), options, ends, together, place if yes else None))
    if as_json:
        typer.echo(json.dumps({"steps": told, "job": None if job is None else job.id}, indent=2))
    elif not told:
        typer.echo("nothing to move")
    elif job is None:
        typer.echo("\n".join([*told, "nothing was changed: give --yes to move"]))
    else:
        typer.echo(f"job {job.id}: {job.state.value}")
    raise typer.Exit(INTERRUPTED if job is not None and job.state is JobState.STOPPED else 0)


async def _move(
    config: Path, options: dict[str, Any], ends: tuple[int, int, str] | None, together: int, place: Path | None
) -> tuple[list[str], Job | None]:
    async with _shards(config, options) as shards:
        known = await shards.map()
        slices = rebalancing(shards, known, together) if ends is None else range_to(shards, known, *ends, together)
        plan = plan_for(shards, slices, arguments={"config": str(config)})
        told = [f"{step.name}: {step.summary}" for step in plan.steps]
        if place is None or not slices:
            return told, None
        console = Console(stderr=True)
        with shown(console, [step.name for step in plan.steps]) as progress, stopping(console) as stop:
            return told, await run_plan(plan, FileJournal(place), progress=progress, stop=stop)


@contextlib.asynccontextmanager
async def rebuild(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> AsyncIterator[Plan]:
    """Rebuild the plan of a job that was interrupted; for ``rdskit jobs``.

    Args:
        arguments: of the job's journal.
        options: of ``rdskit.connect``.
    """
    async with _shards(Path(arguments["config"]), dict(options)) as shards:
        slices = [Slice(*each) for each in arguments["slices"]]
        yield plan_for(shards, slices, arguments={"config": arguments["config"]})


def _shards(config: Path, options: dict[str, Any]) -> Shards:
    return Shards.connect(
        read_config(config),
        min_size=0,
        max_size=_CONNECTIONS,
        readers="off",
        application_name="rdskit shards",
        **options,
    )


def _tell(known: ShardMap, config: Path, *, as_json: bool) -> None:
    counts = {name: known.counts()[name] for name in read_config(config).shards}
    if as_json:
        typer.echo(json.dumps({"epoch": known.epoch, "buckets": counts, "moving": sorted(known.closed)}, indent=2))
        return
    for name, count in counts.items():
        typer.echo(f"{name:<24}{count:>6} buckets{100 * count / BUCKETS:>7.1f} %")
    if known.closed:
        typer.echo(f"{len(known.closed)} buckets are being moved: see `rdskit jobs list`")
