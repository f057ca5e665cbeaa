"""Migrate a database up and down, and explain what would happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.client.api import without_timeout
from rdskit.errors import ConfigError, FailoverError
from rdskit.evolve.migrations.execution import Execution
from rdskit.evolve.migrations.explain import Explained, explained
from rdskit.evolve.migrations.files import read_directory
from rdskit.evolve.migrations.history import check_unmodified, make_history, read_history, status_of
from rdskit.evolve.migrations.jobs import interrupted_versions
from rdskit.evolve.migrations.lock import migration_lock
from rdskit.evolve.migrations.model import Direction
from rdskit.evolve.migrations.statements import Patience
from rdskit.inspect import server_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rdskit.client.api import Database
    from rdskit.evolve.migrations.model import Applied, Entry, Migration

_FAILOVERS = 10  # how often one call continues after the connection with its lock was lost


@dataclass(frozen=True, slots=True)
class Settings:
    """How a database is migrated.

    Attributes:
        lock_timeout: seconds that a statement waits for a lock, unless its file says otherwise. Statements of the
            application wait behind it for as long.
        patience: seconds for which a statement is tried again when it does not get its lock.
        wait: seconds to wait while another process migrates the database.
        progress: called with the version, the direction, and what is being done.
    """

    lock_timeout: float = 2.0
    patience: float = 600.0
    wait: float = 600.0
    progress: Callable[[str, Direction, str], None] = lambda *_: None


async def status(db: Database, directory: Path) -> list[Entry]:
    """Return every migration with its state; nothing is changed.

    Args:
        db: the database.
        directory: the files.

    Raises:
        ConfigError: a file cannot be read.
    """
    migrations = read_directory(directory, (await server_version(db)).product)
    return status_of(migrations, await read_history(db), await interrupted_versions(db))


async def explain(db: Database, directory: Path) -> list[Explained]:
    """Return each pending statement with the lock that it takes, the size of its table, and who waits; change nothing.

    Args:
        db: the database.
        directory: the files.
    """
    version = await server_version(db)
    history = await read_history(db)
    pending = [each for each in read_directory(directory, version.product) if each.version not in history]
    return await explained(db, version, pending)


async def up(db: Database, directory: Path, *, to: str | None = None, settings: Settings | None = None) -> list[str]:
    """Apply the migrations that are pending, in the order of their versions; return those versions.

    Processes that call this at the same time wait for one another, and each migration is applied once. A migration that
    an earlier process left unfinished is finished first. A failover in the middle is survived.

    Args:
        db: the database; its pool must hold four connections.
        directory: the files.
        to: the last version to apply, or the beginning of its name; None for all.
        settings: how.

    Raises:
        ConfigError: a file cannot be read, or has changed since it was applied; nothing was done.
        QueryError: a statement was refused; the migrations before it are applied.
        PlanError: a statement that commits by itself failed, or its outcome is unknown after an interruption.
        QueryTimeout: another process migrated the database all the time.
    """
    chosen = settings or Settings()

    async def work(run: _Run) -> None:
        pending = [each for each in run.migrations if each.version not in run.history]
        if to is not None:
            last = resolve(to, [each.version for each in run.migrations])
            pending = [each for each in pending if each.version <= last]
        begun = await interrupted_versions(run.db)
        for migration in sorted(pending, key=lambda each: (each.version not in begun, each.version)):
            await run.execution.run(migration, Direction.UP)

    return await _locked(db, directory, chosen, work)


async def down(
    db: Database,
    directory: Path,
    *,
    to: str | None = None,
    steps: int | None = None,
    settings: Settings | None = None,
) -> list[str]:
    """Undo the latest migrations, the last one first; return their versions.

    Args:
        db: the database; its pool must hold four connections.
        directory: the files.
        to: the version that stays applied, or the beginning of its name.
        steps: how many to undo, without ``to``; one by default.
        settings: how.

    Raises:
        ConfigError: a migration has no way back, or its file is gone or has changed; nothing was done.
        QueryError: a statement was refused; the migrations before it are undone.
        PlanError: as for ``up``.
    """
    chosen = settings or Settings()

    async def work(run: _Run) -> None:
        leaving = to_take_back(run.migrations, run.history, to, steps)
        for migration in leaving:
            await run.execution.run(migration, Direction.DOWN)

    return await _locked(db, directory, chosen, work)


def to_take_back(
    migrations: Sequence[Migration], history: dict[str, Applied], to: str | None, steps: int | None
) -> list[Migration]:
    """Return the migrations that ``down`` undoes, the last one first.

    Raises:
        ConfigError: one of them cannot be undone, or the arguments do not fit.
    """
    applied = sorted(history)
    if to is not None and steps is not None:
        raise ConfigError("give either the version that stays (--to) or a number of steps (--steps), not both")
    if steps is not None and steps < 1:
        raise ConfigError(f"--steps {steps} takes nothing back: give 1 or more")
    kept = applied.index(resolve(to, applied)) + 1 if to is not None else max(0, len(applied) - (steps or 1))
    there = {migration.version: migration for migration in migrations}
    leaving = []
    for version in reversed(applied[kept:]):
        migration = there.get(version)
        if migration is None:
            raise ConfigError(f"migration {version} is applied, and its file is gone: put it back to take it back")
        if migration.down is None and not migration.is_python:
            raise ConfigError(f"{migration.path} has no way back: it has no section `-- down`; nothing was changed")
        leaving.append(migration)
    return leaving


def resolve(text: str, versions: Sequence[str]) -> str:
    """Return the one version that a text names, in whole or by its beginning.

    Raises:
        ConfigError: there is none, or more than one.
    """
    if text in versions:
        return text
    found = [version for version in versions if version.startswith(text)]
    if len(found) != 1:
        known = ", ".join(found or versions) or "none"
        raise ConfigError(f"{text!r} is {'several versions' if found else 'no version here'}; there are: {known}")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Run:
    db: Database
    migrations: list[Migration]
    history: dict[str, Applied]
    execution: Execution


async def _locked(
    db: Database,
    directory: Path,
    settings: Settings,
    work: Callable[[_Run], Awaitable[None]],
) -> list[str]:
    """Do the work under the lock; after a failover, acquire it again on the new writer and continue."""
    patient = without_timeout(db)
    product = (await server_version(db)).product
    migrations = read_directory(directory, product)
    finished: list[str] = []
    for attempt in range(_FAILOVERS):
        try:
            async with migration_lock(patient, settings.wait) as lock:
                await make_history(patient)
                history = await read_history(patient)
                check_unmodified(migrations, history)
                patience = Patience(settings.lock_timeout, settings.patience)
                execution = Execution(patient, product, lock, patience, settings.progress, finished)
                await work(_Run(patient, migrations, history, execution))
        except FailoverError:
            if attempt + 1 == _FAILOVERS:
                raise
        else:
            break
    return finished


__all__ = ["Settings", "down", "explain", "resolve", "status", "to_take_back", "up"]
