"""Consumers from outside: how far they are, and how they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.position_text import position_to_text
from rdskit.kernel.sql import Dialect
from rdskit.stream.capture.checkpoints import Checkpoints, stored_consumers
from rdskit.stream.capture.postgres_source import PostgresSource, object_name

if TYPE_CHECKING:
    import datetime as dt

    from rdskit.client.api import Database

_SLOTS: Final = """
select slot_name::text as name, active, coalesce(wal_status::text, '') as wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8 as behind,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 as held
from pg_replication_slots where slot_type = 'logical' and slot_name like 'rdskit\\_%'
"""


class Status(NamedTuple):
    """How far a consumer is.

    Attributes:
        name: of the consumer.
        tables: that it captures.
        position: of the last checkpoint; empty while it is being created.
        updated_at: when that was stored.
        snapshot_runs: rows that were there before are still being read.
        is_active: a process reads the slot; None where the server does not tell.
        behind: bytes of log behind the checkpoint; None where the server does not tell.
        held: bytes of log that the server keeps for it; None where there is no slot.
        problem: what is wrong; empty if nothing is.
    """

    name: str
    tables: tuple[str, ...]
    position: str
    updated_at: dt.datetime
    snapshot_runs: bool
    is_active: bool | None
    behind: int | None
    held: int | None
    problem: str


async def status(db: Database) -> list[Status]:
    """Return how far each consumer of a database is.

    Args:
        db: the database.
    """
    writer = api.routed(db, lambda _statement, _scope: api.Route.WRITER)
    is_postgres = api.dialect_of(db) is Dialect.POSTGRES
    slots = {row["name"]: row for row in await writer.fetch_all(_SLOTS)} if is_postgres else {}
    found: list[Status] = []
    for name, (stored, updated_at) in (await stored_consumers(writer)).items():
        slot = slots.get(object_name(name))
        problem = ""
        if is_postgres and slot is None:
            problem = f"the slot {object_name(name)} is gone: drop the consumer, and begin again with start='snapshot'"
        elif slot is not None and slot["wal_status"] == "lost":
            problem = "the server has removed log that it needed: drop it, and begin again with start='snapshot'"
        found.append(
            Status(
                name,
                stored.tables,
                "" if stored.position is None else position_to_text(stored.position),
                updated_at,
                bool(stored.snapshot),
                None if slot is None else slot["active"],
                None if slot is None else slot["behind"],
                None if slot is None else slot["held"],
                problem,
            )
        )
    return found


async def drop(db: Database, name: str) -> None:
    """Remove a consumer: its checkpoint and, on PostgreSQL, its slot and publication.

    Args:
        db: the database.
        name: of the consumer.

    Raises:
        ConfigError: there is no consumer of this name.
        QueryError: a process still reads the slot.
    """
    writer = api.routed(db, lambda _statement, _scope: api.Route.WRITER)
    if name not in await stored_consumers(writer):
        raise ConfigError(f"there is no consumer {name!r}: rdskit changes status lists those there are")
    if api.dialect_of(db) is Dialect.POSTGRES:
        await PostgresSource(writer, name, ()).drop()
    await Checkpoints(writer, name).delete()
