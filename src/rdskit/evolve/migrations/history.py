"""The history of migrations in a database: which were applied, with which text."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, QueryError
from rdskit.evolve.migrations.model import Applied, Entry, State
from rdskit.kernel.sql import Dialect
from rdskit.plans.tables import is_missing, make_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from rdskit.client.api import Database, Transaction
    from rdskit.evolve.migrations.model import Migration

#: Each schema has a table of its own, which moves with it.
_POSTGRES: Final = """
    create table if not exists rdskit_migration (
        version text primary key,
        checksum text not null,
        source text not null,
        applied_at timestamptz not null default current_timestamp)
"""
_MYSQL: Final = """
    create table if not exists rdskit_migration (
        version varbinary(255) primary key,
        checksum char(64) character set ascii not null,
        source longtext character set utf8mb4 not null,
        applied_at datetime(6) not null default current_timestamp(6)) engine = innodb
"""


async def make_history(db: Database) -> None:
    """Create the tables of migrations and their journal; may be called again. Its caller holds the migration lock."""
    await db.execute(_POSTGRES if dialect_of(db) is Dialect.POSTGRES else _MYSQL)
    await make_tables(db)


async def read_history(db: Database) -> dict[str, Applied]:
    """Return what was applied, by version; nothing where the tables are missing.

    Args:
        db: the database; the writer is asked.
    """
    text_of = "{0}" if dialect_of(db) is Dialect.POSTGRES else "cast({0} as char(255))"
    text = (
        f"select {text_of.format('version')}, checksum, source, applied_at from rdskit_migration "  # noqa: S608 - constants
        "order by version"
    )

    async def read(tx: Transaction) -> dict[str, Applied]:
        rows = await tx.fetch_all(text)
        return {row[0]: Applied(row[0], row[1], row[2], f"{row[3]:%Y-%m-%d %H:%M:%S}") for row in rows}

    try:
        return await db.run(read)
    except QueryError as error:
        if is_missing(error):
            return {}
        raise


async def record(tx: Transaction, migration: Migration) -> None:
    """Record that a migration was applied, in the same transaction."""
    await tx.execute(
        "insert into rdskit_migration (version, checksum, source) values (:version, :checksum, :source)",
        version=migration.version,
        checksum=migration.checksum,
        source=migration.source,
    )


async def forget(tx: Transaction, migration: Migration) -> None:
    """Record that a migration was undone, in the same transaction."""
    await tx.execute("delete from rdskit_migration where version = :version", version=migration.version)


def status_of(
    migrations: Sequence[Migration], history: dict[str, Applied], interrupted: Collection[str]
) -> list[Entry]:
    """Return every migration of the directory and of the history with its state, in order.

    Args:
        migrations: of the directory.
        history: of the database.
        interrupted: versions whose journal has not ended.
    """
    there = {migration.version: migration for migration in migrations}
    entries = []
    for version in sorted({*there, *history}):
        applied = history.get(version)
        if version in interrupted:
            state = State.INTERRUPTED
        elif applied is None:
            state = State.PENDING
        elif version not in there:
            state = State.MISSING
        else:
            state = State.APPLIED if applied.checksum == there[version].checksum else State.MODIFIED
        entries.append(Entry(version, state, applied.applied_at if applied else None))
    return entries


def check_unmodified(migrations: Iterable[Migration], history: dict[str, Applied]) -> None:
    """Raise if a file has changed since it was applied.

    Raises:
        ConfigError: with the difference.
    """
    for migration in migrations:
        applied = history.get(migration.version)
        if applied is not None and applied.checksum != migration.checksum:
            lines = difflib.unified_diff(
                applied.source.splitlines(), migration.source.splitlines(), "applied", str(migration.path), lineterm=""
            )
            raise ConfigError(
                f"{migration.path} has changed since it was applied ({applied.applied_at}): put it back, and write "
                "what is new into a migration of its own\n" + "\n".join(list(lines)[:40])
            )
