"""200 ms deadlines while the synchronous standby is gone: whatever a caller is told is true."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING

import psycopg
import pytest

import rdskit
from rdskit.local.engines.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.client.transactions import Transaction
    from rdskit.local.engines.throwaway import ThrowawayPostgres

CALLERS = 40
DEADLINE = 0.2
TOLD_DONE = "done"
TOLD_UNKNOWN = "unknown"
TOLD_UNDONE = "undone"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThrowawayPostgres]:
    """A PostgreSQL of this test's own: every commit on it is made to wait."""
    with throwaway_postgres(tmp_path / "server") as server:
        yield server


def _wait_for_standby(server: ThrowawayPostgres, names: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"alter system set synchronous_standby_names = '{names}'")
        connection.execute("select pg_reload_conf()")


class Calls:
    """Writes with a deadline, in three ways, and what each caller was told."""

    def __init__(self, db: rdskit.Database) -> None:
        self._db = db
        self.told: dict[int, str] = {}

    async def make(self, number: int) -> None:
        """Write one row, and note what became of it by the error's own promise."""
        try:
            await (self._plain, self._block, self._exactly_once)[number % 3](number)
        except rdskit.OutcomeUnknown:
            self.told[number] = TOLD_UNKNOWN
        except (rdskit.QueryTimeout, rdskit.FailoverError, rdskit.ConnectError):
            self.told[number] = TOLD_UNDONE
        else:
            self.told[number] = TOLD_DONE

    async def _plain(self, number: int) -> None:
        await self._db.execute("insert into written values (:n)", n=number, timeout=DEADLINE)

    async def _block(self, number: int) -> None:
        async with self._db.transaction(timeout=DEADLINE) as tx:
            await self._insert(tx, number)

    async def _exactly_once(self, number: int) -> None:
        await self._db.run(self._insert, args=(number,), exactly_once=True, timeout=DEADLINE)

    async def _insert(self, tx: Transaction, number: int) -> None:
        await tx.execute("insert into written values (:n)", n=number)


@pytest.mark.chaos
async def test_every_outcome_reported_is_true(server: ThrowawayPostgres) -> None:
    url = f"postgresql://{server.superuser}:{server.password}@{server.host}:{server.port}/postgres"
    async with rdskit.connect(url, tls="off", max_size=10) as db:
        await db.setup()
        await db.execute("create table written (n int)")
        calls = Calls(db)
        await asyncio.gather(*(calls.make(number) for number in range(CALLERS)))
        _wait_for_standby(server, "gone")
        await asyncio.gather(*(calls.make(number) for number in range(CALLERS, 2 * CALLERS)))
        _wait_for_standby(server, "")
        await asyncio.gather(*(calls.make(number) for number in range(2 * CALLERS, 3 * CALLERS)))
        rows = await db.fetch_all("select n from written", timeout=10)
    present = collections.Counter(row.n for row in rows)
    told = collections.Counter(calls.told.values())
    assert max(present.values()) == 1
    assert {number for number, what in calls.told.items() if what == TOLD_DONE} <= set(present)
    assert {number for number, what in calls.told.items() if what == TOLD_UNDONE}.isdisjoint(present)
    assert told[TOLD_DONE] >= CALLERS
    assert told[TOLD_UNKNOWN] > 0
    assert any(calls.told[number] == TOLD_UNKNOWN for number in present)
