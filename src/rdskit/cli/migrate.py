"""``rdskit migrate``: schema migrations."""

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import rdskit
from rdskit import __version__
from rdskit.cli.files import HtmlFile, SarifFile, write
from rdskit.cli.help import examples, group
from rdskit.cli.migrate_apply import apply
from rdskit.cli.migrate_options import Dir, LockTimeout, Patience, To, Wait
from rdskit.cli.targets import AsJson, Target, connects
from rdskit.client.api import Database
from rdskit.errors import ConfigError
from rdskit.evolve import migrations
from rdskit.evolve.migrations import Direction, Settings, State
from rdskit.evolve.migrations.ddl import deletes_rows, drops_data, read_ddl
from rdskit.evolve.migrations.explain import Explained
from rdskit.evolve.migrations.files import new_file, read_directory
from rdskit.evolve.migrations.history import read_history
from rdskit.evolve.migrations.lint import RULES, lint_migrations, lint_sql
from rdskit.evolve.migrations.lint.projects import alembic_revisions, django_migrations
from rdskit.evolve.migrations.runner import to_take_back
from rdskit.inspect import server_version, table_sizes
from rdskit.kernel.sql import Dialect
from rdskit.reports import Finding, Report, as_page, as_sarif, as_text
from rdskit.reports import as_json as as_report_json

app = group(
    "migrate",
    "Schema migrations: plain SQL files, applied in order, once, and gently to a busy database.",
    "rdskit migrate new add_users",
    "rdskit migrate plan rds://orders/shop",
    "rdskit migrate up orders --credentials iam",
)
app.command("apply", epilog=examples("rdskit migrate apply orders"))(apply)

_MARKS = {State.APPLIED: "✓", State.PENDING: "·", State.MODIFIED: "≠", State.MISSING: "?", State.INTERRUPTED: "…"}


@app.command("new", epilog=examples("rdskit migrate new add_users"))
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it does, such as add_users.")],
    *,
    directory: Dir = Path("migrations"),
    as_json: AsJson = False,
) -> None:
    """Write an empty migration with a version after all existing ones."""
    existing = [path.name.partition(".")[0] for path in directory.iterdir()] if directory.is_dir() else []
    try:
        written = new_file(directory, name, dt.datetime.now(dt.UTC), existing)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}; choose another with --dir") from error
    typer.echo(json.dumps({"file": str(written)}) if as_json else str(written))


@app.command("status", epilog=examples("rdskit migrate status orders --json"))
@connects
def status(
    target: Target,
    *,
    directory: Dir = Path("migrations"),
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Show which migrations are applied, pending, modified, missing or interrupted.

    Exit status 1 when one is modified, missing or interrupted.
    """
    entries = _run(target, options, lambda db: migrations.status(db, directory))
    if as_json:
        listed = [
            {"version": each.version, "state": each.state.value, "applied_at": each.applied_at} for each in entries
        ]
        typer.echo(json.dumps({"migrations": listed}, indent=2))
    else:
        for each in entries:
            typer.echo(f"{_MARKS[each.state]} {each.version}  {each.state.value}  {each.applied_at or ''}".rstrip())
        if not entries:
            typer.echo(f"no migrations in {directory}")
    bad = {State.MODIFIED, State.MISSING, State.INTERRUPTED}
    raise typer.Exit(1 if any(each.state in bad for each in entries) else 0)


@app.command("up", epilog=examples("rdskit migrate up rds://orders/shop", "rdskit migrate up orders --to 0007"))
@connects
def up(
    target: Target,
    *,
    to: To = None,
    directory: Dir = Path("migrations"),
    lock_timeout: LockTimeout = 2.0,
    patience: Patience = 600.0,
    wait: Wait = 600.0,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Apply what is pending. Processes that call it at once wait for one another, and all end with status 0."""
    settings = Settings(lock_timeout, patience, wait, _progress(as_json=as_json))
    done = _run(target, options, lambda db: migrations.up(db, directory, to=to, settings=settings))
    _tell("applied", done, as_json=as_json)


@app.command(
    "down", epilog=examples("rdskit migrate down orders --steps 2", "rdskit migrate down orders --to 0005 --yes")
)
@connects
def down(
    target: Target,
    *,
    to: To = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many to undo; 1 by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Undo even migrations that drop tables, columns or rows.")] = False,
    directory: Dir = Path("migrations"),
    lock_timeout: LockTimeout = 2.0,
    patience: Patience = 600.0,
    wait: Wait = 600.0,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Undo the latest migration, or those after --to. Migrations that drop data change nothing without --yes."""
    settings = Settings(lock_timeout, patience, wait, _progress(as_json=as_json))
    losing = [] if yes else _run(target, options, lambda db: _losing(db, directory, to, steps))
    if losing:
        typer.echo("nothing was changed: this would lose data, which needs --yes:", err=True)
        for line in losing:
            typer.echo(f"  {line}", err=True)
        raise typer.Exit(1)
    done = _run(target, options, lambda db: migrations.down(db, directory, to=to, steps=steps, settings=settings))
    _tell("undone", done, as_json=as_json)


@app.command("plan", epilog=examples("rdskit migrate plan orders"))
@connects
def plan(
    target: Target,
    *,
    directory: Dir = Path("migrations"),
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Show each pending statement: its lock, the size of its table, and what would wait. Nothing is changed."""
    found = _run(target, options, lambda db: migrations.explain(db, directory))
    if as_json:
        typer.echo(json.dumps({"statements": [_plain(each) for each in found]}, indent=2, ensure_ascii=False))
        return
    for each in found:
        typer.echo("\n".join(_explained(each)))
    if not found:
        typer.echo("nothing is pending")


@app.command(
    "lint", epilog=examples("rdskit migrate lint", "rdskit migrate lint --alembic alembic.ini --sarif lint.sarif")
)
@connects
def lint(
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="A database: its version and table sizes count then.")
    ] = None,
    *,
    directory: Dir = Path("migrations"),
    product: Annotated[
        Literal["postgres", "mysql", "mariadb"] | None, typer.Option(help="The target's by default.")
    ] = None,
    alembic: Annotated[
        Path | None, typer.Option(metavar="INI", help="Check the revisions of an Alembic project.")
    ] = None,
    django: Annotated[
        Path | None, typer.Option(metavar="MANAGE", help="Check the migrations of a Django project.")
    ] = None,
    options: dict[str, Any],
    as_json: AsJson = False,
    sarif: SarifFile = None,
    html: HtmlFile = None,
) -> None:
    """Find statements that would block production. Exit status 1 when a finding counts."""
    rows: dict[str, int] = {}
    if target is not None:
        found_product, rows = _run(target, options, _product_and_rows)
        product = product or found_product
    title, checked, findings = _linted(directory, product or "postgres", rows, alembic, django)
    report = Report.of_findings(title, findings, checked=checked)
    if sarif is not None:
        rules = {rule.id: rule.about for rule in RULES}
        write(sarif, json.dumps(as_sarif(report, version=__version__, rules=rules), indent=2))
    if html is not None:
        write(html, as_page(report))
    typer.echo(json.dumps(as_report_json(report), indent=2, ensure_ascii=False) if as_json else as_text(report))
    raise typer.Exit(0 if report.good else 1)


def _linted(
    directory: Path, product: str, rows: dict[str, int], alembic: Path | None, django: Path | None
) -> tuple[str, int, list[Finding]]:
    """Return title, number of migrations and findings of what is to be checked."""
    if alembic is None and django is None:
        files = read_directory(directory, product)
        return f"rdskit migrate lint {directory} ({product})", len(files), lint_migrations(files, product, rows)
    revisions = alembic_revisions(alembic) if alembic is not None else django_migrations(django or Path("manage.py"))
    findings = [
        finding
        for revision in revisions
        for finding in lint_sql(revision.name, revision.sql, product, transactional=revision.transactional, rows=rows)
    ]
    return f"rdskit migrate lint {alembic or django} ({product})", len(revisions), findings


async def _product_and_rows(db: Database) -> tuple[str, dict[str, int]]:
    sizes = await table_sizes(db)
    rows = {size.name.lower(): size.rows for size in sizes}
    return (await server_version(db)).product, rows | {name.rpartition(".")[2]: count for name, count in rows.items()}


async def _losing(db: Database, directory: Path, to: str | None, steps: int | None) -> list[str]:
    """Return the statements of a way back that lose data, each with its place."""
    product = (await server_version(db)).product
    dialect = Dialect.POSTGRES if product == "postgres" else Dialect.MYSQL
    history = await read_history(db)
    leaving = to_take_back(read_directory(directory, product), history, to, steps)
    return [
        f"{migration.path}:{statement.line}: {' '.join(statement.text.split())[:100]}"
        for migration in leaving
        for statement in (migration.down.statements if migration.down else ())
        if drops_data(read_ddl(statement.text, dialect)) or deletes_rows(statement.text, dialect)
    ]


def _plain(each: Explained) -> dict[str, Any]:
    """Return a statement for JSON, with the units in the names."""
    plain = each._asdict()
    plain["waits_for_seconds"] = plain.pop("waits_for")
    return plain


def _explained(each: Explained) -> list[str]:
    size = "" if each.rows is None else f", about {each.rows:,} rows, {(each.table_bytes or 0) / 1e6:,.1f} MB"
    lines = [f"{each.version}:{each.line}  {' '.join(each.sql.split())}"]
    if each.table:
        lines.append(f"    table {each.table}{size}")
    lines.append(f"    {'lock ' + each.lock if each.lock else 'no lock'}: waits behind it: {each.blocks}")
    if each.waits_for:
        ages = ", ".join(f"{age:.0f} s" for age in each.waits_for[:3])
        lines.append(f"    open transactions that it would wait for: {len(each.waits_for)} (oldest {ages})")
    return lines


def _run(target: str, options: dict[str, Any], work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with _connected(target, options) as db:
            return await work(db)

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def _connected(target: str, options: dict[str, Any]) -> AsyncIterator[Database]:
    async with rdskit.connect(
        target, min_size=0, max_size=5, readers="off", application_name="rdskit migrate", **options
    ) as db:
        yield db


def _progress(*, as_json: bool) -> Callable[[str, Direction, str], None]:
    def tell(version: str, direction: Direction, text: str) -> None:
        typer.echo(f"{version} {direction.value}: {text}", err=as_json)

    return tell


def _tell(verb: str, versions: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({verb.replace(" ", "_"): versions}))
    else:
        typer.echo(f"{verb}: {', '.join(versions)}" if versions else "nothing to do")
