"""A Multi-AZ instance has one name, which moves: it is looked up at every connect, and where it leads is verified."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.client.names import Names
from tests.client.readers import replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

NAME = "orders.example.internal"
PATIENCE = 60.0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def writes(db: rdskit.Database) -> bool:
    with contextlib.suppress(rdskit.RdskitError):
        return await db.execute("update moved set n = n + 1", timeout=5) == 1
    return False


async def holds_the_row(server: ThrowawayPostgres) -> bool:
    def ask() -> bool:
        with server.connect() as session:
            return bool(session.execute("select 1 from pg_tables where tablename = 'moved'")) and bool(
                session.execute("select 1 from moved")
            )

    return await asyncio.to_thread(ask)


async def test_the_name_is_followed_and_a_replica_behind_it_is_refused(tmp_path: Path, names: Names) -> None:
    with replicated(tmp_path, replicas=1) as servers:
        primary, (standby,) = servers.primary, servers.replicas
        keep_confidential(primary.password)
        names.lead(NAME, primary.host, primary.port)
        url = f"postgresql://{primary.superuser}:{primary.password}@{NAME}:5432/postgres"
        async with rdskit.connect(url, tls="off", min_size=1, max_size=2) as db:
            await db.execute("create table moved (n int)")
            await db.execute("insert into moved values (0)")
            await eventually(lambda: holds_the_row(standby), PATIENCE)  # it replicates asynchronously
            asked = len(names.lookups)
            names.lead(NAME, standby.host, standby.port)  # too early: it is still a replica
            primary.kill()
            with pytest.raises(rdskit.NoWriterError, match="its name still leads to another host"):
                await db.fetch_value("select n from moved", timeout=2)
            standby.promote()
            await eventually(lambda: writes(db), PATIENCE)
            assert await db.fetch_value("select count(*) from moved") == 1
            assert db.stats().writer.endpoint == f"{NAME}:5432"
            assert names.lookups[asked:].count(NAME) >= 2, "each connection looks the name up"


async def test_every_driver_is_given_the_name(target: TestDatabase | FamilyDatabase, names: Names) -> None:
    names.lead(NAME, target.host, target.port)
    url = target.url.replace(f"{target.host}:", f"{NAME}:")
    # By its name the host is not on this machine, so MySQL's full login needs the caller's word.
    async with rdskit.connect(url, tls="off", min_size=1, max_size=5, cleartext_password=True) as db:
        asked = len(names.lookups)
        names.lead(NAME, "127.0.0.1", 1)  # no server listens there
        with pytest.raises(rdskit.ConnectError, match=NAME):
            async with contextlib.AsyncExitStack() as all_of_them:
                for _ in range(5):  # the first of them may be ready
                    await all_of_them.enter_async_context(db.transaction(timeout=1))
        assert NAME in names.lookups[asked:]
        names.lead(NAME, target.host, target.port)
        assert await db.fetch_value("select 1") == 1
