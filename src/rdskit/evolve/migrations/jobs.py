"""Jobs of migrations whose statements commit one by one: their ids, and which have not ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rdskit.evolve.migrations.model import Direction
from rdskit.plans import JobState, TableJournal
from rdskit.plans.model import replay

if TYPE_CHECKING:
    from rdskit.client.api import Database
    from rdskit.plans import Job

_ID: Final = re.compile(r"migration-(?P<version>.+)-(?P<direction>up|down)-(?P<number>\d+)")
_ENDED: Final = {JobState.DONE, JobState.UNDONE}


async def jobs_of(db: Database) -> list[tuple[str, Direction, int, Job]]:
    """Return version, direction, number and state of each job of a migration, oldest first; none without a journal."""
    journal = TableJournal(db)
    if not await journal.exists():
        return []
    found = []
    for name in await journal.jobs():
        if match := _ID.fullmatch(name):
            job = replay(name, await journal.read(name))
            found.append((match["version"], Direction(match["direction"]), int(match["number"]), job))
    return found


async def interrupted_versions(db: Database) -> set[str]:
    """Return the versions that are partly applied or partly undone."""
    last = {version: job for version, _, _, job in await jobs_of(db)}
    return {version for version, job in last.items() if job.state not in _ENDED}


async def last_job(db: Database, version: str, direction: Direction) -> tuple[int, Job | None]:
    """Return number and state of the last job of a migration in one direction; 0 and None if there was none."""
    found = [(number, job) for each, way, number, job in await jobs_of(db) if (each, way) == (version, direction)]
    return max(found, key=lambda pair: pair[0]) if found else (0, None)


def job_id(version: str, direction: Direction, number: int) -> str:
    """Return the id of a migration's job."""
    return f"migration-{version}-{direction.value}-{number}"
