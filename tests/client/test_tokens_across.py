"""Tokens between processes on real servers: through a replica, and over a failover that one of them has not noticed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client.credentials import StaticCredentials
from rdskit.client.database.opening import open_database
from rdskit.client.failover.access import Access
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.tasks import TaskOwner
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

KEY = "a key for both processes"
COUNT = "select count(*) from note where key = :key"
PATIENCE = 60.0

READER = """
import asyncio, json, sys
import rdskit

async def main():
    url, readers, token = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    seen, by_readers = [], 0
    async with rdskit.connect(url, tls="off", readers=readers) as db:
        async with asyncio.timeout(60):
            while not by_readers:
                seen.append(await db.fetch_value("select count(*) from note where key = 1", after=token))
                by_readers = sum(db.stats().reads_by_reader.values())
    print(json.dumps(seen))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """For all tests of the file; the last one loses its primary."""
    with replicated(tmp_path_factory.mktemp("tokens")) as cluster:
        keep_confidential(cluster.primary.password)
        with cluster.primary.connect() as session:
            session.execute("create table note (key bigint primary key, text text)")
        yield cluster


async def test_another_process_sees_through_a_replica_what_a_token_says(
    cluster: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDSKIT_TOKEN_KEY", KEY)
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as db:
        await db.execute("insert into note values (1, 'x')")
        token = await db.token()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, cluster.url, json.dumps(cluster.readers), token, stdout=-1, env=dict(os.environ)
    )
    said, _ = await process.communicate()
    seen = json.loads(said)
    assert seen
    assert set(seen) == {1}, "any host that answered, the last time a replica"


class Moving:
    """A cluster whose writer moves; who has connected learns of it when it looks again."""

    cluster = "shop"
    changes = True
    refresh_interval = 0.1

    def __init__(self, writer: ThrowawayPostgres, reader: ThrowawayPostgres) -> None:
        self.writer, self.reader = writer, reader

    async def topology(self) -> Topology:
        hosts = {Role.WRITER: self.writer, Role.READER: self.reader}
        return Topology(tuple(Host(one.host, Endpoint(one.host, one.port), role) for role, one in hosts.items()))


@asynccontextmanager
async def connected(source: Moving) -> AsyncIterator[rdskit.Database]:
    credentials = StaticCredentials(source.writer.superuser, source.writer.password)
    access = Access(
        AsyncpgDriver(), credentials, database="postgres", tls=None, connect_timeout=5.0, application_name="test"
    )
    resolved = Resolved(Target(), Engine.POSTGRES, Dialect.POSTGRES, source, access)
    db = await open_database(resolved, Options(tls="off", token_key=KEY), TaskOwner("test"))
    try:
        yield db
    finally:
        await db.close()


async def is_served_by_a_reader(db: rdskit.Database, after: str) -> bool:
    before = sum(db.stats().reads_by_reader.values())
    await db.fetch_value(COUNT, key=1, after=after)
    return sum(db.stats().reads_by_reader.values()) > before


async def test_a_token_of_after_a_failover_is_not_satisfied_by_a_replica_that_holds_what_was_lost(
    cluster: Replicated,
) -> None:
    """The replica is ahead of the place where the new timeline begins, so its bare position seems to say enough."""
    old, (heir, ahead) = cluster.primary, cluster.replicas
    source = Moving(old, ahead)
    async with connected(source) as unaware:
        await unaware.execute("insert into note values (1, 'x') on conflict do nothing")
        before = await unaware.token()
        await eventually(lambda: is_served_by_a_reader(unaware, before), PATIENCE)
        await asyncio.to_thread(_lose_the_tail, old, heir, ahead)
        source.writer = heir

        async with connected(Moving(heir, ahead)) as writing:
            await writing.execute("insert into note values (2, 'of the new timeline')")
            after = await writing.token()
        with ahead.connect() as session:
            assert session.execute("select count(*) from note where key = 2") == [("0",)]
            assert session.execute("select count(*) from note where key >= 1000") == [("1000",)], (
                "which the heir never had"
            )

        assert await unaware.fetch_value(COUNT, key=2, after=after) == 1
        async with unaware.session(after=after) as session_of_one:
            assert await session_of_one.fetch_value(COUNT, key=2) == 1
        assert await unaware.fetch_value(COUNT, key=1, after=before) == 1, "a token of before counts on"
        assert await unaware.fetch_value("select count(*) from note where key >= 1000", after=before) == 0


def _lose_the_tail(old: ThrowawayPostgres, heir: ThrowawayPostgres, ahead: ThrowawayPostgres) -> None:
    """Promote a replica that has missed a thousand rows, which the other one has."""
    heir.stop()
    with old.connect() as session:
        session.execute("insert into note select n, repeat('x', 100) from generate_series(1000, 1999) n")
    asyncio.run(eventually(lambda: _holds(ahead, 1000), PATIENCE))
    old.kill()
    heir.start()
    heir.promote()


async def _holds(server: ThrowawayPostgres, rows: int) -> bool:
    with server.connect() as session:
        return session.execute("select count(*) from note where key >= 1000") == [(str(rows),)]
