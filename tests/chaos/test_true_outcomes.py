"""200 ms deadlines while the synchronous standby is gone: every answer is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

import rdskit
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.chaos.calls_with_deadline import DONE, UNKNOWN, Calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

CALLERS = 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThrowawayPostgres]:
    """Yield a PostgreSQL of this test's own on which every commit waits."""
    with throwaway_postgres(tmp_path / "server") as server:
        yield server


def _wait_for_standby(server: ThrowawayPostgres, names: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"alter system set synchronous_standby_names = '{names}'")
        connection.execute("select pg_reload_conf()")


@pytest.mark.chaos
async def test_every_outcome_reported_is_true(server: ThrowawayPostgres) -> None:
    url = f"postgresql://{server.superuser}:{server.password}@{server.host}:{server.port}/postgres"
    async with rdskit.connect(url, tls="off", max_size=10) as db:
        await db.setup()
        await db.execute("create table written (n int)")
        calls = Calls(db)
        await calls.make(CALLERS)
        _wait_for_standby(server, "gone")
        await calls.make(CALLERS)
        _wait_for_standby(server, "")
        await calls.make(CALLERS)
        present = [row.n for row in await db.fetch_all("select n from written", timeout=10)]
    calls.assert_true(present)
    assert calls.numbers(DONE)
    assert calls.numbers(UNKNOWN) & set(present)
