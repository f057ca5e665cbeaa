"""A global database's own view in SQL: a real PostgreSQL whose function answers as Aurora's is said to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.client.credentials import StaticCredentials
from rdskit.client.failover import GlobalSource, NearReaders, prefer_sql
from rdskit.client.failover.access import Access
from rdskit.client.failover.cluster_source import SqlSource
from rdskit.client.failover.views import GLOBAL_VIEWS
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.postgres import TestDatabase

# Columns as the Aurora User Guide has them, "aurora_global_db_instance_status".
FUNCTION = """
create table told (server_id text, session_id text, aws_region text);
insert into told values
    ('db-1', 'MASTER_SESSION_ID', 'eu-west-1'), ('db-2', 'a2', 'eu-west-1'), ('db-1', 'b1', 'us-west-2');
create function aurora_global_db_instance_status(
    out server_id text, out session_id text, out aws_region text, out durable_lsn bigint, out highest_lsn_rcvd bigint,
    out feedback_epoch bigint, out feedback_xmin bigint, out oldest_read_view_lsn bigint,
    out visibility_lag_in_msec real)
returns setof record language sql stable as $$
    select server_id, session_id, aws_region, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::real
    from told $$;
"""
NAMES = ("eu-west-1/db-1", "eu-west-1/db-2", "us-west-2/db-1")


class Described:
    """What the API says; the second and the third host answer nothing."""

    cluster = "world"
    changes = True
    refresh_interval = 1.0

    def __init__(self, answering: Endpoint) -> None:
        self.asked = 0
        endpoints = (answering, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 1))
        self._hosts = tuple(Host(name, where, Role.READER) for name, where in zip(NAMES, endpoints, strict=True))

    async def topology(self) -> Topology:
        self.asked += 1
        return Topology((self._hosts[0]._replace(role=Role.WRITER), *self._hosts[1:]))


@pytest.fixture
def told(database: TestDatabase) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url, autocommit=True) as session:
        session.execute(FUNCTION)
        yield session


def access_to(database: TestDatabase) -> Access:
    return Access(
        AsyncpgDriver(),
        StaticCredentials(database.user, database.password),
        database=database.name,
        tls=None,
        connect_timeout=5.0,
        application_name="test",
    )


async def test_one_server_tells_all_regions_and_a_switch_of_regions_is_followed(
    database: TestDatabase, told: psycopg.Connection
) -> None:
    described = Described(Endpoint(database.host, database.port))
    access = access_to(database)
    source = NearReaders(SqlSource(described, access, GLOBAL_VIEWS[Engine.POSTGRES]), "us-west-2")
    found = await source.topology()
    assert found.writer is not None
    assert (found.writer.identifier, [host.identifier for host in found.readers]) == (NAMES[0], [NAMES[2]])
    told.execute("update told set session_id = case aws_region when 'us-west-2' then 'MASTER_SESSION_ID' else 'x' end")
    found = await source.topology()
    assert found.writer is not None
    assert found.writer.identifier == NAMES[2], "of two instances of one name, the one in the other region"
    assert {host.identifier for host in found.readers} == set(NAMES[:2]), "all, where none is near"
    assert described.asked == 1, "the API told the endpoints; the servers tell the rest"
    await access.control_connections.close()


def test_a_global_database_is_asked_by_its_own_view(database: TestDatabase) -> None:
    access = access_to(database)
    source = prefer_sql(NearReaders(GlobalSource("world"), "us-west-2"), access, Engine.POSTGRES)
    assert isinstance(source, NearReaders)
    assert isinstance(source.whole, SqlSource)
    assert isinstance(prefer_sql(GlobalSource("world"), access, Engine.MYSQL), SqlSource)
