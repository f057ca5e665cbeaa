"""Many databases, or many schemas of one: a canary first, then waves, and again from where it stopped.

Each schema keeps its own history, so that it can be moved or restored by itself. Which targets are behind is asked of
all schemas of a database together: a deployment that changes nothing costs a query or two for hundreds of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import dialect_of, scoped
from rdskit.errors import ConfigError
from rdskit.evolve.migrations.files import read_directory
from rdskit.evolve.migrations.runner import Settings, resolve, up
from rdskit.inspect import schema_names, server_version
from rdskit.kernel.scope import Scope
from rdskit.kernel.sql import Dialect
from rdskit.plans import Plan, Step, TableJournal, done, not_done
from rdskit.plans import apply as run_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rdskit.client.api import Database, Transaction
    from rdskit.evolve.migrations.model import Migration
    from rdskit.plans import Job, Journal, Probe, Progress, StepContext, Stop

KIND: Final = "migrations"
_TOGETHER: Final = 200  # schemas whose histories one query reads


@dataclass(frozen=True, slots=True)
class Target:
    """A database that is migrated, or one schema of it.

    Attributes:
        name: how the journal and errors call it; no two targets of one call have the same.
        db: the database.
        schema: the schema; on MySQL and MariaDB a database of the same server. None for the database's own.
    """

    name: str
    db: Database
    schema: str | None = None

    @property
    def view(self) -> Database:
        """The database as the migrations of this target see it."""
        return self.db if self.schema is None else scoped(self.db, Scope(schema=self.schema))


@dataclass(frozen=True, slots=True)
class Waves:
    """In which order many targets are migrated. A wave begins when the one before it has succeeded as a whole.

    Attributes:
        canary: targets of the first wave.
        size: targets of each later wave.
        workers: targets that are migrated at the same time. Each needs four connections of its database's pool.
    """

    canary: int = 1
    size: int = 100
    workers: int = 4

    def __post_init__(self) -> None:
        """Refuse waves that migrate nothing.

        Raises:
            ConfigError: a number is below 1.
        """
        for name in ("canary", "size", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Waves({name}={getattr(self, name)!r}) migrates nothing: give 1 or more")


def in_schemas(db: Database, schemas: Iterable[str]) -> list[Target]:
    """Return a target for each schema of a database, named like the schema.

    Args:
        db: the database.
        schemas: their names; on MySQL and MariaDB names of databases.
    """
    return [Target(schema, db, schema) for schema in schemas]


async def behind(targets: Sequence[Target], directory: Path, *, to: str | None = None) -> list[Target]:
    """Return the targets that lack a migration of the directory, or have one with another text; change nothing.

    Args:
        targets: where to look.
        directory: the files.
        to: the last version that counts, or the beginning of its name; None for all.

    Raises:
        ConfigError: a file cannot be read, two targets have one name, or a schema does not exist.
    """
    _check_names(targets)
    by_database: defaultdict[int, list[Target]] = defaultdict(list)
    for target in targets:
        by_database[id(target.db)].append(target)
    late: set[str] = set()
    for group in by_database.values():
        db = group[0].db
        wanted = _checksums(read_directory(directory, (await server_version(db)).product), to)
        found = await _histories(db, group)
        late.update(each.name for each in group if not wanted.items() <= found[each.name].items())
    return [target for target in targets if target.name in late]


async def apply(
    targets: Sequence[Target],
    directory: Path,
    *,
    to: str | None = None,
    settings: Settings | None = None,
    waves: Waves | None = None,
    journal: Journal | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Stop | None = None,
) -> Job | None:
    """Apply what is pending to many databases or schemas: first to a few, then in waves.

    Each target is migrated as by ``up``. When one fails, its wave is finished and no other begins. To continue after a
    failure or a crash, call it again: targets that are done are not touched. ``rdskit jobs`` shows how far it came.

    Args:
        targets: what to migrate, the canary first.
        directory: the files.
        to: the last version to apply, or the beginning of its name; None for all.
        settings: how each is migrated.
        waves: how many at a time.
        journal: where its course is written; by default a table of the first target's database.
        progress: called with each change of a target.
        stop: asks for a stop between two waves.

    Returns:
        The job, with a step for each target that was behind; None when there was none.

    Raises:
        ConfigError: a file cannot be read, two targets have one name, or a schema does not exist; nothing was done.
        PlanError: a target could not be migrated; it names the target.
    """
    late = await behind(targets, directory, to=to)
    if not late:
        return None
    if journal is None:
        journal = TableJournal(targets[0].db)
        await journal.setup()
    return await run_plan(
        plan_for(late, directory, to=to, settings=settings, waves=waves),
        journal,
        progress=progress,
        stop=stop,
    )


def plan_for(
    targets: Sequence[Target],
    directory: Path,
    *,
    to: str | None = None,
    settings: Settings | None = None,
    waves: Waves | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the plan that migrates targets in waves. Arguments as for ``apply``.

    Args:
        targets: what to migrate.
        directory: the files.
        to: the last version to apply.
        settings: how each is migrated.
        waves: how many at a time.
        arguments: what the plan is rebuilt from, besides the names of its targets.
    """
    chosen = waves or Waves()

    def step(position: int, target: Target) -> Step:
        async def run(context: StepContext) -> list[str]:
            del context
            return await up(target.view, directory, to=to, settings=settings)

        async def is_done(context: StepContext) -> Probe:
            del context
            return not_done() if await behind([target], directory, to=to) else done([])

        wave = 0 if position < chosen.canary else 1 + (position - chosen.canary) // chosen.size
        where = "canary" if wave == 0 else f"wave {wave}"
        return Step(target.name, f"{where}: migrate {target.name}", run, is_done, group=where)

    return Plan(
        KIND,
        f"migrate {len(targets)} targets" + (f" to {to}" if to else ""),
        {"directory": str(directory), "to": to, "targets": [each.name for each in targets], **(arguments or {})},
        [step(position, target) for position, target in enumerate(targets)],
        workers=chosen.workers,
    )


def _check_names(targets: Sequence[Target]) -> None:
    names = [target.name for target in targets]
    if twice := {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set():
        raise ConfigError(f"target {min(twice)!r} stands twice: give each target a name of its own")


def _checksums(migrations: Sequence[Migration], to: str | None) -> dict[str, str]:
    last = None if to is None else resolve(to, [each.version for each in migrations])
    return {each.version: each.checksum for each in migrations if last is None or each.version <= last}


async def _histories(db: Database, targets: Sequence[Target]) -> dict[str, dict[str, str]]:
    """Return the checksum of each version that is applied, by target.

    Raises:
        ConfigError: a schema does not exist.
    """
    own = await db.fetch_value("select current_schema()" if _is_postgres(db) else "select database()")
    names = {target.name: target.schema or own for target in targets}
    there = await schema_names(db)
    if missing := [schema for schema in names.values() if schema not in there]:
        raise ConfigError(
            f"schema {missing[0]!r} does not exist in this database"
            + (f", nor do {len(missing) - 1} others" if missing[1:] else "")
            + ": create it first, or leave it out"
        )
    with_history = await schema_names(db, with_table="rdskit_migration")
    histories: dict[str, dict[str, str]] = {schema: {} for schema in names.values()}
    known = [schema for schema in histories if schema in with_history]
    for start in range(0, len(known), _TOGETHER):
        for schema, version, checksum in await _read(db, known[start : start + _TOGETHER]):
            histories[schema][version] = checksum
    return {name: histories[schema] for name, schema in names.items()}


async def _read(db: Database, schemas: Sequence[str]) -> list[tuple[str, str, str]]:
    quote = '"' if _is_postgres(db) else "`"
    version = "version" if _is_postgres(db) else "cast(version as char(255))"
    text = " union all ".join(
        f"select :s{number}, {version}, checksum from {quote}{schema.replace(quote, quote * 2)}{quote}.rdskit_migration"  # noqa: S608 - quoted
        for number, schema in enumerate(schemas)
    )

    async def read(tx: Transaction) -> list[tuple[str, str, str]]:  # on the writer: a replica may lag
        rows = await tx.fetch_all(text, {f"s{number}": schema for number, schema in enumerate(schemas)})
        return [(row[0], row[1], row[2]) for row in rows]

    return await db.run(read)


def _is_postgres(db: Database) -> bool:
    return dialect_of(db) is Dialect.POSTGRES
