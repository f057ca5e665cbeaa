"""``rdskit tenants``: list and add tenants, and apply their migrations."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console

import rdskit
from rdskit.cli.help import examples, group
from rdskit.cli.migrate_options import To
from rdskit.cli.progress import shown, stopping
from rdskit.cli.targets import AsJson, Target, connects
from rdskit.client.api import Database
from rdskit.errors import ConfigError
from rdskit.evolve import migrations
from rdskit.evolve.migrations import Target as MigrationTarget
from rdskit.evolve.migrations import Waves
from rdskit.plans import JobState, TableJournal
from rdskit.scale.tenancy import KnownTenant, Tenants, TenantTable

app = group(
    "tenants",
    "The tenants of an application: list, add, migrate.",
    "rdskit tenants add orders acme",
    "rdskit tenants list orders",
    "rdskit tenants migrate orders",
)

_TOGETHER: Final = 50  # tenants with databases of their own that are connected at the same time
_CONNECTIONS: Final = 4  # that the migration of one target needs

Id = Annotated[str, typer.Argument(metavar="ID", help="The tenant's id: lower-case letters, digits, '_' and '-'.")]
By = Annotated[
    Literal["schema", "database", "row"],
    typer.Option(help="What each tenant has: a schema (on MySQL a database), a database of its own, or rows."),
]
Migrations = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Migrations that are applied to the new tenant.")
]


@app.command("add", epilog=examples("rdskit tenants add orders acme --dir migrations"))
@connects
def add(
    target: Target,
    tenant: Id,
    *,
    by: By = "schema",
    at: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Where the tenant's own database is; it must exist.")
    ] = None,
    schema: Annotated[str, typer.Option(metavar="TEMPLATE", help="The name of its schema.")] = "tenant_{id}",
    directory: Migrations = None,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Add a tenant to the table rdskit_tenant, and create its schema. May be run again after an interruption."""
    if (by == "database") != (at is not None):
        raise ConfigError("--by database and --at TARGET belong together: give both, or neither")

    async def work() -> KnownTenant | None:
        async with _opened(target, options) as db:
            table = TenantTable(db)
            await table.setup()
            tenants = Tenants(
                None if by == "database" else db, by=by, schema=schema, table=_Later(db, directory, options)
            )
            await tenants.add(tenant, target=at)
            return await table.get(tenant)

    known = asyncio.run(work())
    if as_json:
        typer.echo(json.dumps(_as_mapping(known)))
    elif known is not None:
        typer.echo(f"✓ {known.id}: {known.target or known.schema or 'rows'}")


class _Later(TenantTable):
    """The table, in which a tenant is ready after its migrations."""

    def __init__(self, db: Database, directory: Path | None, options: dict[str, Any]) -> None:
        super().__init__(db)
        self._directory = directory
        self._options = options
        self._control = db

    async def finish(self, tenant: str) -> None:
        known = await self.get(tenant)
        if self._directory is not None and known is not None:
            async with _targets(self._control, [known], self._options, 1) as found:
                for each in found:
                    await migrations.up(each.view, self._directory.absolute())
        await super().finish(tenant)


@app.command("list", epilog=examples("rdskit tenants list orders --json"))
@connects
def list_tenants(target: Target, *, options: dict[str, Any], as_json: AsJson = False) -> None:
    """List the tenants of the table rdskit_tenant: where each is, and whether it is ready."""

    async def look() -> list[KnownTenant]:
        async with _opened(target, options) as db:
            return await TenantTable(db).all()

    found = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps({"tenants": [_as_mapping(each) for each in found]}, indent=2))
        return
    for each in found:
        typer.echo(f"{each.id:<24}{'ready' if each.ready else 'adding':<8}{each.target or each.schema or 'rows'}")
    if not found:
        typer.echo("no tenants yet")


@app.command("migrate", epilog=examples("rdskit tenants migrate orders --canary 2"))
@connects
def migrate(
    target: Target,
    *,
    to: To = None,
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the files are.")] = Path("migrations"),
    canary: Annotated[int, typer.Option(min=1, help="Tenants that are migrated before all others.")] = 1,
    wave: Annotated[int, typer.Option(min=1, help="Tenants of each later wave.")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Tenants that are migrated at the same time.")] = 4,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Apply what is pending to all tenants: a canary first, then in waves. Run it again to continue.

    Tenants with databases of their own are reached fifty at a time.
    """
    done = asyncio.run(_migrate(target, options, directory.absolute(), to, Waves(canary, wave, workers)))
    if as_json:
        typer.echo(json.dumps({"applied": done}))
    else:
        typer.echo(f"{len(done)} tenants migrated" if done else "nothing to do")


async def _migrate(target: str, options: dict[str, Any], directory: Path, to: str | None, waves: Waves) -> list[str]:
    done: list[str] = []
    console = Console(stderr=True)
    async with _opened(target, options, _CONNECTIONS * waves.workers + 2) as db:
        known = [each for each in await TenantTable(db).all() if each.schema is not None or each.target is not None]
        shared = [each for each in known if each.target is None]
        own = [each for each in known if each.target is not None]
        groups = [shared, own[: waves.canary]]
        groups += [own[start : start + _TOGETHER] for start in range(waves.canary, len(own), _TOGETHER)]
        journal = TableJournal(db)
        await journal.setup()
        for group_of in filter(None, groups):
            async with _targets(db, group_of, options, waves.workers) as found:
                with shown(console, [each.name for each in found]) as progress, stopping(console) as stop:
                    job = await migrations.apply(
                        found, directory, to=to, waves=waves, journal=journal, progress=progress, stop=stop
                    )
            done += [] if job is None else [name for name, step in job.steps.items() if step.state.value == "done"]
            if job is not None and job.state is not JobState.DONE:
                break
    return done


@contextlib.asynccontextmanager
async def _targets(
    db: Database, known: list[KnownTenant], options: dict[str, Any], workers: int
) -> AsyncIterator[list[MigrationTarget]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for each in known:
            place = db
            if each.target is not None:
                place = await stack.enter_async_context(_opened(each.target, options, _CONNECTIONS * workers + 1))
            found.append(MigrationTarget(each.id, place, each.schema))
        yield found


def _opened(target: str, options: dict[str, Any], most: int = 5) -> Any:
    return rdskit.connect(
        target, min_size=0, max_size=most, readers="off", application_name="rdskit tenants", **options
    )


def _as_mapping(known: KnownTenant | None) -> dict[str, Any] | None:
    if known is None:
        return None
    return {"id": known.id, "target": known.target, "schema": known.schema, "ready": known.ready}
