"""The topology of a DB cluster as its servers tell it: how answers read, and a failover between real servers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.client.credentials import StaticCredentials
from rdskit.client.database.opening import open_database
from rdskit.client.failover.access import Access
from rdskit.client.failover.cluster_source import SqlSource
from rdskit.client.failover.views import AURORA_POSTGRES, MULTI_AZ_POSTGRES, Member, View, topology_of
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import Resolved
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.errors import NoWriterError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import Engine, Target
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.runtime.tasks import TaskOwner
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import rdskit

ENDPOINTS = {name: Endpoint(name, 5432) for name in "abcdef"}

# -- how answers read --------------------------------------------------------------------------------------------------

told = st.lists(
    st.builds(Member, st.sampled_from("abcdefgh"), st.booleans(), st.none() | st.floats(0, 1e9)), max_size=8
)


@given(told)
def test_a_topology_has_one_writer_and_each_host_once(rows: list[Member]) -> None:
    found = topology_of(rows, ENDPOINTS)
    if found is None:
        return
    names = [host.identifier for host in found.hosts]
    assert len(names) == len(set(names))
    assert [host.role for host in found.hosts].count(Role.WRITER) == 1
    assert set(names) == {row.identifier for row in rows} & set(ENDPOINTS)


def test_without_a_writer_the_answer_is_of_no_use_and_of_two_the_later_one_counts() -> None:
    assert topology_of([Member("a", False, 1.0)], ENDPOINTS) is None
    assert topology_of([Member("unknown", True, 1.0)], ENDPOINTS) is None
    found = topology_of([Member("a", True, 5.0), Member("b", True, 9.0), Member("c", False, 9.0)], ENDPOINTS)
    assert found is not None
    assert found.writer == Host("b", ENDPOINTS["b"], Role.WRITER)
    assert [host.identifier for host in found.readers] == ["a", "c"]


# -- real servers ------------------------------------------------------------------------------------------------------

# Plain servers with functions of those names: each says of itself and the others what the table says.
FUNCTIONS = """
create table told (server_id text primary key, writes bool, updated timestamptz default now());
insert into told values ('one', true), ('two', false), ('three', false);
create function aurora_replica_status(
    out server_id text, out session_id text, out last_update_timestamp timestamptz) returns setof record
language sql stable as $$
    select told.server_id, case when told.writes then 'MASTER_SESSION_ID' else 'some-reader' end, told.updated from told
$$;
create function aurora_db_instance_identifier() returns text language sql stable
as $$ select coalesce((select server_id from told where told.writes and not pg_is_in_recovery()), 'some-reader') $$;
create schema rds_tools;
create function rds_tools.show_topology(text) returns table (id text, endpoint text, port int) language sql stable
as $$ select 'db-' || told.server_id, told.server_id || '.xyz.eu-west-1.rds.amazonaws.com', 5432 from told $$;
create function rds_tools.multi_az_db_cluster_source_dbi_resource_id() returns text language sql stable
as $$ select case when pg_is_in_recovery() then 'db-one' end $$;
create function rds_tools.dbi_resource_id() returns text language sql stable as $$ select 'db-one' $$;
"""


class Described:
    """What the API says, which is not always up to date."""

    cluster = "shop"
    changes = True
    refresh_interval = 1.0

    def __init__(self, hosts: dict[str, Endpoint], writer: str | None) -> None:
        self.hosts, self.writer, self.asked = hosts, writer, 0

    async def topology(self) -> Topology:
        self.asked += 1
        if self.writer is None:
            raise NoWriterError("DB cluster 'shop' has no writer")
        roles = {name: Role.WRITER if name == self.writer else Role.READER for name in self.hosts}
        return Topology(tuple(Host(name, endpoint, roles[name]) for name, endpoint in self.hosts.items()))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Replicated]:
    with replicated(tmp_path) as cluster:
        keep_confidential(cluster.primary.password)
        with cluster.primary.connect() as session:
            for statement in FUNCTIONS.split(";\n"):
                if statement.strip():
                    session.execute(statement)
        yield cluster


def hosts_of(cluster: Replicated) -> dict[str, Endpoint]:
    servers = (cluster.primary, *cluster.replicas)
    return {name: Endpoint(one.host, one.port) for name, one in zip(("one", "two", "three"), servers, strict=True)}


def access_to(cluster: Replicated) -> Access:
    return Access(
        AsyncpgDriver(),
        StaticCredentials(cluster.primary.superuser, cluster.primary.password),
        database="postgres",
        tls=None,
        connect_timeout=2.0,
        application_name="test",
    )


async def said(source: SqlSource) -> tuple[str | None, list[str]]:
    found = await source.topology()
    return found.writer and found.writer.identifier, [host.identifier for host in found.readers]


async def test_the_servers_know_before_the_api_does(cluster: Replicated) -> None:
    described = Described(hosts_of(cluster), "three")
    aurora, multi_az = (SqlSource(described, access_to(cluster), view) for view in (AURORA_POSTGRES, MULTI_AZ_POSTGRES))
    assert await said(aurora) == ("one", ["three", "two"])
    assert await said(multi_az) == ("one", ["three", "two"])
    await multi_az._access.control_connections.close()
    asked = described.asked
    assert await said(aurora) == ("one", ["three", "two"])
    assert described.asked == asked, "the API is asked for endpoints, and where the servers are of no use"
    await aurora._access.control_connections.ask(described.hosts["one"], lambda line: line.ping(60.0))
    assert await asyncio.to_thread(lines_at, cluster) <= 3, "one line a host serves one look after the other"
    await aurora._access.control_connections.close()
    await eventually(lambda: asyncio.to_thread(lambda: not lines_at(cluster)))


def lines_at(cluster: Replicated) -> int:
    """Count the connections of the source under test on all servers."""
    counted = "select count(*) from pg_stat_activity where application_name = 'test'"
    found = 0
    for server in (cluster.primary, *cluster.replicas):
        with server.connect() as session:
            found += int(session.execute(counted)[0][0] or 0)
    return found


async def test_where_no_server_knows_a_writer_the_api_does(
    cluster: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    described = Described(hosts_of(cluster), "three")
    source = SqlSource(described, access_to(cluster), View("select * from no_such_view"))
    assert await said(source) == ("three", ["one", "two"])
    assert await said(source) == ("three", ["one", "two"])
    await source._access.control_connections.close()
    assert sum("gave no topology" in record.message for record in caplog.records) == 1, "told once"


async def test_a_failover_is_followed_without_the_api(cluster: Replicated) -> None:
    described = Described(hosts_of(cluster), "one")
    source = SqlSource(described, access_to(cluster), AURORA_POSTGRES)
    resolved = Resolved(Target(), Engine.POSTGRES, Dialect.POSTGRES, source, source._access)
    db = await open_database(resolved, Options(tls="off"), TaskOwner("test"))
    try:
        assert await db.fetch_value("select count(*) from told") == 3
        described.writer = None
        with cluster.primary.connect() as session:
            session.execute("update told set writes = server_id = 'two'")
        await eventually(lambda: is_told(cluster))
        cluster.primary.kill()
        cluster.replicas[0].promote()
        await eventually(lambda: writes(db))
        writer = (await db.topology()).writer
        assert writer is not None
        assert writer.identifier == "two"
        assert described.asked == 1
    finally:
        await db.close()


async def is_told(cluster: Replicated) -> bool:
    def ask() -> bool:
        with cluster.replicas[0].connect() as session:
            return session.execute("select server_id from told where writes") == [("two",)]

    return await asyncio.to_thread(ask)


async def writes(db: rdskit.Database) -> Any:
    from rdskit.errors import RdskitError

    with contextlib.suppress(RdskitError):
        return await db.execute("update told set updated = now() where server_id = 'two'", timeout=2) == 1
    return False
