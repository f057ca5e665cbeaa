"""The tables of plans in a database: journals, and the marks of atomic steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, QueryError, RdskitError
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.api import Database

_LOCK: Final = "rdskit plans setup"
_POSTGRES: Final = (
    """
    create table if not exists rdskit_journal (
        job text not null,
        seq int not null,
        entry text not null,
        entered_at timestamptz not null default current_timestamp,
        primary key (job, seq))
    """,
    """
    create table if not exists rdskit_step (
        job text not null,
        step text not null,
        result text,
        done_at timestamptz not null default current_timestamp,
        primary key (job, step))
    """,
)
# Binary columns: under a padded collation two names that differ in trailing blanks or case would be one.
_MYSQL: Final = (
    """
    create table if not exists rdskit_journal (
        job varbinary(120) not null,
        seq int not null,
        entry longtext character set utf8mb4 not null,
        entered_at datetime(6) not null default current_timestamp(6),
        primary key (job, seq)) engine = innodb
    """,
    """
    create table if not exists rdskit_step (
        job varbinary(120) not null,
        step varbinary(480) not null,
        result longtext character set utf8mb4,
        done_at datetime(6) not null default current_timestamp(6),
        primary key (job, step)) engine = innodb
    """,
)
_NO_SUCH_TABLE: Final = {"42P01", 1146}


async def make_tables(db: Database) -> None:
    """Create the tables that are missing, one process at a time."""
    async with db.lock(_LOCK, timeout=60.0):
        for statement in _POSTGRES if dialect_of(db) is Dialect.POSTGRES else _MYSQL:
            await db.execute(statement)


def is_missing(error: QueryError) -> bool:
    """Return whether a statement was refused because its table does not exist."""
    return bool(_NO_SUCH_TABLE.intersection({error.sqlstate, error.errno}))


def explained(error: RdskitError) -> RdskitError:
    """Return the error of a statement on one of the tables, with the next step where the table is missing."""
    if isinstance(error, QueryError) and is_missing(error):
        return ConfigError(
            "this database has no journal of jobs: create its tables with `await TableJournal(db).setup()`, or keep "
            "the journal in a directory"
        )
    return error
