"""``rdskit migrate apply``: many databases, or many schemas of one, in waves."""

import asyncio
import contextlib
import fnmatch
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

import rdskit
from rdskit.cli.endings import INTERRUPTED
from rdskit.cli.migrate_options import Dir, LockTimeout, Patience, To
from rdskit.cli.progress import shown, stopping
from rdskit.cli.targets import AsJson, connects, without_password
from rdskit.client.api import Database
from rdskit.errors import ConfigError
from rdskit.evolve.migrations import Settings, Target, Waves, behind
from rdskit.evolve.migrations.targets import plan_for
from rdskit.inspect import schema_names
from rdskit.plans import Job, JobState, Plan, TableJournal
from rdskit.plans import apply as run_plan

_CONNECTIONS: Final = 4  # that one target needs
_USER: Final = re.compile(r"//[^@/]*@")


@connects
def apply(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET", help="One or more databases.")],
    *,
    schemas: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Migrate each schema of this name, such as 'tenant_*'.")
    ] = None,
    to: To = None,
    directory: Dir = Path("migrations"),
    canary: Annotated[int, typer.Option(min=1, help="Targets that are migrated before all others.")] = 1,
    wave: Annotated[int, typer.Option(min=1, help="Targets of each later wave.")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Targets that are migrated at the same time.")] = 4,
    lock_timeout: LockTimeout = 2.0,
    patience: Patience = 600.0,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Apply what is pending to many databases or schemas: a canary first, then in waves.

    When one fails, its wave is finished and no other begins. Run it again to continue.
    """
    waves = Waves(canary, wave, workers)
    settings = Settings(lock_timeout, patience)
    job = asyncio.run(_apply(targets, schemas, directory.absolute(), to, settings, waves, options))
    done = [] if job is None else [name for name, step in job.steps.items() if step.state.value == "done"]
    if as_json:
        typer.echo(json.dumps({"job": None if job is None else job.id, "applied": done}))
    elif job is None:
        typer.echo("nothing to do")
    else:
        typer.echo(f"job {job.id}: {job.state.value}, {len(done)} of {len(job.steps)} targets")
    raise typer.Exit(INTERRUPTED if job is not None and job.state is JobState.STOPPED else 0)


async def _apply(
    urls: list[str],
    pattern: str | None,
    directory: Path,
    to: str | None,
    settings: Settings,
    waves: Waves,
    options: dict[str, Any],
) -> Job | None:
    async with _databases(urls, waves.workers, options) as databases:
        places = [place for number, db in enumerate(databases) for place in await _places(number, db, pattern)]
        if not places:
            raise ConfigError(f"no schema is called {pattern!r}: nothing was done")
        late = await behind(_targets(urls, databases, places), directory, to=to)
        if not late:
            return None
        names = {target.name for target in late}
        arguments = {
            "urls": [without_password(url) for url in urls],
            "places": [place for place in places if _name(urls, *place) in names],
            "waves": [waves.canary, waves.size, waves.workers],
            "settings": [settings.lock_timeout, settings.patience],
        }
        plan = plan_for(late, directory, to=to, settings=settings, waves=waves, arguments=arguments)
        journal = TableJournal(databases[0])
        await journal.setup()
        console = Console(stderr=True)
        with shown(console, [step.name for step in plan.steps]) as progress, stopping(console) as stop:
            return await run_plan(plan, journal, progress=progress, stop=stop)


@contextlib.asynccontextmanager
async def rebuild(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> AsyncIterator[Plan]:
    """Rebuild the plan of a job that was interrupted; for ``rdskit jobs``.

    Args:
        arguments: of the job's journal.
        options: of ``rdskit.connect``.
    """
    waves = Waves(*arguments["waves"])
    lock_timeout, patience = arguments["settings"]
    async with _databases(arguments["urls"], waves.workers, dict(options)) as databases:
        yield plan_for(
            _targets(arguments["urls"], databases, arguments["places"]),
            Path(arguments["directory"]),
            to=arguments["to"],
            settings=Settings(lock_timeout, patience),
            waves=waves,
            arguments={name: arguments[name] for name in ("urls", "places", "waves", "settings")},
        )


@contextlib.asynccontextmanager
async def _databases(urls: list[str], workers: int, options: dict[str, Any]) -> AsyncIterator[list[Database]]:
    async with contextlib.AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(
                rdskit.connect(
                    url,
                    min_size=0,
                    max_size=_CONNECTIONS * workers + 1,
                    readers="off",
                    application_name="rdskit migrate",
                    **options,
                )
            )
            for url in urls
        ]


async def _places(number: int, db: Database, pattern: str | None) -> list[tuple[int, str | None]]:
    if pattern is None:
        return [(number, None)]
    return [(number, schema) for schema in sorted(await schema_names(db)) if fnmatch.fnmatchcase(schema, pattern)]


def _targets(urls: list[str], databases: list[Database], places: list[tuple[int, str | None]]) -> list[Target]:
    return [Target(_name(urls, number, schema), databases[number], schema) for number, schema in places]


def _name(urls: list[str], number: int, schema: str | None) -> str:
    """Return a target's name, which identifies it and contains nothing of its login."""
    parts = [_USER.sub("//", urls[number])] if len(urls) > 1 or schema is None else []
    return " ".join([*parts, *([schema] if schema is not None else [])])
