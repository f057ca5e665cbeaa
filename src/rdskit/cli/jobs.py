"""``rdskit jobs``: long work that was interrupted, stopped or has failed."""

import asyncio
import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import rdskit
from rdskit.cli.endings import INTERRUPTED
from rdskit.cli.help import examples, group
from rdskit.cli.progress import mark, shown, stopping
from rdskit.cli.targets import AsJson, connects, reached, without_password
from rdskit.client.api import target_names
from rdskit.errors import PlanError
from rdskit.plans import FileJournal, Job, JobState, Journal, Plan, TableJournal, resume, undo
from rdskit.plans.model import replay

app = group(
    "jobs",
    "Long work that was interrupted, stopped or has failed.",
    "rdskit jobs list",
    "rdskit jobs resume ID",
    "rdskit jobs list --journal rds://orders/shop",
)

#: kind → "module:function" that rebuilds a job's plan: ``async with function(arguments, options) as plan``.
KINDS: dict[str, str] = {
    "migrations": "rdskit.cli.migrate_apply:rebuild",
    "shard-move": "rdskit.cli.shards:rebuild",
}

Rebuild = Callable[[Mapping[str, Any], Mapping[str, Any]], AbstractAsyncContextManager[Plan]]
Place = Annotated[
    str,
    typer.Option("--journal", help="Where the journal is: a directory, or the target of a database.", metavar="PLACE"),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `rdskit jobs list` shows it.")]


@app.command("list", epilog=examples("rdskit jobs list --json"))
@connects
def list_jobs(
    *,
    place: Place = ".rdskit/jobs",
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """List the jobs of a journal, oldest first, each with its state."""

    async def look() -> list[dict[str, Any]]:
        async with _journal(place, options) as journal:
            return [await _described(journal, job) for job in await journal.jobs()]

    jobs = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps({"jobs": jobs}, indent=2, ensure_ascii=False))
        return
    for each in jobs:
        typer.echo(f"{each['id']}  {each['state']:<12} {each['done']}/{len(each['steps'])}  {each['title']}")
    if not jobs:
        typer.echo(f"no jobs in {place}")


@app.command("show", epilog=examples("rdskit jobs show ID"))
@connects
def show_job(
    job: JobId,
    *,
    place: Place = ".rdskit/jobs",
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Show a job: each step, what became of it, and what to do next."""

    async def look() -> dict[str, Any]:
        async with _journal(place, options) as journal:
            return await _described(journal, job)

    found = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{found['title']}  ({found['kind']}, begun {found['created_at']}): {found['state']}")
    for step in found["steps"]:
        typer.echo(f"  {step['mark']} {step['name']}: {step['summary']}{_detail(step)}")


@app.command("resume", epilog=examples("rdskit jobs resume ID"))
@connects
def resume_job(
    job: JobId,
    *,
    place: Place = ".rdskit/jobs",
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Continue a job where it ended; what an interrupted step did is asked of the server first."""
    _finish(job, place, options, resume, as_json=as_json)


@app.command("undo", epilog=examples("rdskit jobs undo ID", "rdskit jobs undo ID --yes"))
@connects
def undo_job(
    job: JobId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Undo; without it the steps are only shown.")] = False,
    place: Place = ".rdskit/jobs",
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Undo what a job has done, last step first. Changes nothing without --yes."""
    if yes:
        _finish(job, place, options, undo, as_json=as_json)
        return

    async def look() -> dict[str, Any]:
        async with _journal(place, options) as journal:
            return await _described(journal, job)

    steps = [step for step in reversed(asyncio.run(look())["steps"]) if step["state"] not in {"pending", "undone"}]
    if as_json:
        typer.echo(json.dumps({"id": job, "to_be_undone": steps}, indent=2, ensure_ascii=False))
        return
    typer.echo("to be undone, in this order (nothing is changed without --yes):")
    for step in steps:
        typer.echo(f"  {step['name']}: {step['summary']}{'' if step['reversible'] else '  (has no way back)'}")


Run = Callable[..., Coroutine[Any, Any, Job]]


def _finish(job: str, place: str, options: dict[str, Any], run: Run, *, as_json: bool) -> None:
    ended = asyncio.run(_run(job, place, options, run))
    state = ended.state.value
    typer.echo(json.dumps({"id": job, "state": state}) if as_json else f"job {job}: {state}")
    raise typer.Exit(INTERRUPTED if ended.state is JobState.STOPPED else 0)


async def _run(job: str, place: str, options: dict[str, Any], run: Run) -> Job:
    console = Console(stderr=True)
    async with _journal(place, options) as journal:
        found = replay(job, await journal.read(job))
        async with _rebuild(found.kind)(_with_password(found.arguments, place), options) as plan:
            with shown(console, list(found.steps)) as progress, stopping(console) as stop:
                return await run(plan, journal, job, progress=progress, stop=stop)


def _with_password(value: Any, place: str) -> Any:
    """Return a job's arguments with the journal's URL as the caller gave it: journals keep no passwords."""
    if isinstance(value, Mapping):
        return {name: _with_password(each, place) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_password(each, place) for each in value]
    return place if value == without_password(place) else value


def _rebuild(kind: str) -> Rebuild:
    if kind not in KINDS:
        raise PlanError(f"jobs of kind {kind!r} are not known here; known: {', '.join(sorted(KINDS)) or 'none'}")
    module, _, name = KINDS[kind].partition(":")
    found: Rebuild = getattr(importlib.import_module(module), name)
    return found


def _is_directory(place: str) -> bool:
    """Return whether a journal is a directory, made or not, and no target."""
    return ":" not in place and (Path(place).exists() or place not in target_names())


@contextlib.asynccontextmanager
async def _journal(place: str, options: dict[str, Any]) -> AsyncIterator[Journal]:
    if _is_directory(place):
        yield FileJournal(Path(place))
        return
    place, options = reached(place, options)
    async with rdskit.connect(place, min_size=1, max_size=2, readers="off", **options) as db:
        yield TableJournal(db)


async def _described(journal: Journal, name: str) -> dict[str, Any]:
    job = replay(name, await journal.read(name))
    state = job.state.value
    if job.state in {JobState.OPEN, JobState.UNDOING}:
        verb = "undo " if job.state is JobState.UNDOING else ""
        state = f"{verb}{'running' if await journal.is_owned(name) else 'interrupted'}"
    steps = [
        {
            "name": step_name,
            "summary": step.summary,
            "state": step.state.value,
            "mark": mark(step.state),
            "attempts": step.attempts,
            "reversible": step.reversible,
            "detail": step.detail,
        }
        for step_name, step in job.steps.items()
    ]
    return {
        "id": name,
        "kind": job.kind,
        "title": job.title,
        "created_at": job.created_at,
        "state": state,
        "done": sum(step["state"] == "done" for step in steps),
        "steps": steps,
    }


def _detail(step: Mapping[str, Any]) -> str:
    return f"  [{step['detail']}]" if step["detail"] else ""
