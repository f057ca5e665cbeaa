"""Journals in a table of the affected database: any machine can resume a job, and its owner holds a lock there."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rdskit.client.api import dialect_of
from rdskit.errors import FailoverError, IntegrityError, PlanError, QueryError, QueryTimeout, RdskitError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.typing import override
from rdskit.plans.journal import Journal, Log, OwnershipLost, decode, encode
from rdskit.plans.tables import explained, is_missing, make_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Row
    from rdskit.plans.model import Entry

_LOCK_TIMEOUT = 1.0  # seconds: a live owner keeps its lock for the whole job


class TableJournal(Journal):
    """Keep journals in the table ``rdskit_journal``.

    Args:
        db: the database; its tables are made by ``setup``.
        locks: take an advisory lock for the owner of a job; False if the caller holds its own lock.
    """

    def __init__(self, db: Database, *, locks: bool = True) -> None:
        self._db = db
        self._locks = locks

    async def setup(self) -> None:
        """Create the tables that are missing; may be called again, and by several processes at once."""
        await make_tables(self._db)

    async def exists(self) -> bool:
        """Return whether the database has the tables."""
        try:
            await _from_writer(self._db, "select 1 from rdskit_journal where seq < 0")
        except QueryError as error:
            if is_missing(error):
                return False
            raise
        return True

    @override
    @contextlib.asynccontextmanager
    async def own(self, job: str) -> AsyncIterator[Log]:
        if not self._locks:
            yield _TableLog(self._db, job, await self._entries(job))
            return
        held = False
        try:
            async with self._db.lock(f"rdskit job {job}", timeout=_LOCK_TIMEOUT):
                held = True
                yield _TableLog(self._db, job, await self._entries(job))
                held = False
        except QueryTimeout as error:
            if held:
                raise
            raise PlanError(
                f"job {job} is being run by another process: wait for it, or stop it first", job=job
            ) from error
        except FailoverError as error:
            raise OwnershipLost(f"the lock of job {job} was lost: {error}", job=job) from error

    @override
    async def read(self, job: str) -> Sequence[Entry]:
        entries = await self._entries(job)
        if not entries:
            known = ", ".join(await self.jobs()) or "none"
            raise PlanError(
                f"there is no job {job!r} in the journal of this database; the jobs there are: {known}", job=job
            )
        return entries

    @override
    async def jobs(self) -> Sequence[str]:
        # MySQL's column is binary; on PostgreSQL a char(n) would be padded.
        name = "job" if dialect_of(self._db) is Dialect.POSTGRES else "cast(job as char(120))"
        text = f"select {name} from rdskit_journal where seq = 0 order by entered_at, job"  # noqa: S608 - one of two names
        try:
            rows = await _from_writer(self._db, text)
        except RdskitError as error:
            raise explained(error) from error
        return [row[0] for row in rows]

    @override
    async def is_owned(self, job: str) -> bool:
        try:
            async with self._db.lock(f"rdskit job {job}", timeout=0.2):
                return False
        except QueryTimeout:
            return True

    async def _entries(self, job: str) -> list[Entry]:
        text = "select entry from rdskit_journal where job = :job order by seq"
        try:
            rows = await _from_writer(self._db, text, job=job)
        except RdskitError as error:
            raise explained(error) from error
        return [decode(row[0], job) for row in rows]


class _TableLog(Log):
    def __init__(self, db: Database, job: str, entries: list[Entry]) -> None:
        self._db = db
        self._job = job
        self._entries = entries
        self._writing = asyncio.Lock()  # steps of a group end at the same time

    @property
    @override
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @override
    async def append(self, entry: Entry) -> None:
        line = encode(entry)
        async with self._writing:
            seq = len(self._entries)

            async def insert(tx: Transaction) -> None:
                text = "insert into rdskit_journal (job, seq, entry) values (:job, :seq, :entry)"
                # A COMMIT with a lost response is retried. An equal row is this attempt's own.
                there = await tx.fetch_value(
                    "select entry from rdskit_journal where job = :job and seq = :seq", job=self._job, seq=seq
                )
                if there != line:
                    await tx.execute(text, job=self._job, seq=seq, entry=line)

            try:
                await self._db.run(insert)
            except IntegrityError as error:
                raise PlanError(
                    f"another process has written to the journal of job {self._job}: this one stops", job=self._job
                ) from error
            self._entries.append(entry)


async def _from_writer(db: Database, text: str, **parameters: str) -> list[Row]:
    """Read where the journal is written: a replica may lag."""

    async def read(tx: Transaction) -> list[Row]:
        return await tx.fetch_all(text, parameters)

    return await db.run(read)
