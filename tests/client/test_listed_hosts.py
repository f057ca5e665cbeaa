"""A URL that lists several hosts, and Unix sockets: the writer is found, and followed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import rdskit
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

PATIENCE = 60.0
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("listed"), replicas=1) as cluster:
        keep_confidential(cluster.primary.password)
        with cluster.primary.connect() as session:
            session.execute("create table note (n int)")
        yield cluster


def url(cluster: Replicated, *hosts: str) -> str:
    primary = cluster.primary
    return f"postgresql://{primary.superuser}:{primary.password}@{','.join(hosts)}/postgres"


async def test_the_writer_is_found_wherever_it_stands_in_the_list(cluster: Replicated) -> None:
    primary, (replica,) = f"{cluster.primary.host}:{cluster.primary.port}", cluster.readers
    async with rdskit.connect(url(cluster, f"{cluster.primary.host}:1", replica, primary), tls="off") as db:
        found = await db.topology()
        assert found.writer is not None
        assert (str(found.writer.endpoint), [str(host.endpoint) for host in found.readers]) == (primary, [replica])
        assert await db.execute("insert into note values (1)") == 1
        assert not await db.fetch_value("select pg_is_in_recovery() and :n = 1", n=1) or db.stats().reads_by_reader


async def test_a_list_without_a_writer_names_its_hosts(cluster: Replicated) -> None:
    (replica,) = cluster.readers
    with pytest.raises(rdskit.NoWriterError, match=r"none of the hosts .*,.* takes writes.*check the list of hosts"):
        await rdskit.connect(url(cluster, replica, f"{cluster.primary.host}:1"), tls="off", connect_timeout=1.0)


async def test_a_list_whose_hosts_refuse_the_login_says_so(cluster: Replicated) -> None:
    (replica,) = cluster.readers
    wrong = url(cluster, replica, replica).replace(cluster.primary.password, "wrong")
    with pytest.raises(rdskit.AuthenticationError, match="refused the login"):
        await rdskit.connect(wrong, tls="off")


async def test_a_promoted_host_of_the_list_is_followed(cluster: Replicated) -> None:
    """The last test here: the primary does not come back."""
    primary, (replica,) = f"{cluster.primary.host}:{cluster.primary.port}", cluster.readers
    async with rdskit.connect(url(cluster, primary, replica), tls="off") as db:
        await db.execute("insert into note values (2)")
        with cluster.primary.connect() as session:
            lsn = session.execute("select pg_current_wal_lsn()")[0][0]
        await eventually(functools.partial(has_replayed, cluster, str(lsn)))
        await asyncio.to_thread(cluster.primary.stop, "immediate")
        with cluster.replicas[0].connect() as session:
            session.execute("select pg_promote()")
        await eventually(functools.partial(writes, db), PATIENCE)
        found = (await db.topology()).writer
        assert found is not None
        assert str(found.endpoint) == replica


async def has_replayed(cluster: Replicated, lsn: str) -> bool:
    with cluster.replicas[0].connect() as session:
        return bool(session.execute(f"select pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn")[0][0])


async def writes(db: rdskit.Database) -> bool:
    with contextlib.suppress(rdskit.RdskitError):
        return await db.execute("insert into note values (3)", timeout=2) == 1
    return False


@contextlib.asynccontextmanager
async def socket_to(host: str, port: int, path: Path) -> AsyncIterator[None]:
    """Forward a Unix socket to a server that has none, or lets no one in there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection(host, port)

        async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        await asyncio.gather(forward(reader, back), forward(onward, writer))

    async with await asyncio.start_unix_server(serve, path):
        yield


async def test_a_unix_socket_of_postgresql(database: TestDatabase, tmp_path: Path) -> None:
    login = f"{database.user}:{database.password}"
    async with socket_to(database.host, database.port, tmp_path / f".s.PGSQL.{database.port}"):
        for target in (
            f"postgresql://{login}@/{database.name}?host={tmp_path}&port={database.port}",
            f"postgresql://{login}@{quote(str(tmp_path), safe='')}:{database.port}/{database.name}",
        ):
            async with rdskit.connect(target, min_size=0) as db:  # no TLS is needed: it never leaves the machine
                assert await db.fetch_value("select current_database()") == database.name
                assert str(tmp_path) in repr(db).replace("%2F", "/")
                assert (await db.health()).ok
    with pytest.raises(rdskit.ConnectError, match="cannot be reached"):
        await rdskit.connect(f"postgresql://{login}@/x?host={tmp_path}/nowhere", connect_timeout=0.3)


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
async def test_a_unix_socket_of_mysql(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    login, path = f"{database.user}:{database.password}", tmp_path / "mysqld.sock"
    target = f"mysql://{login}@/{database.name}?unix_socket={path}"
    async with socket_to(database.host, database.port, path):
        async with rdskit.connect(target, min_size=0) as db:
            assert await db.fetch_value("select database()") == database.name

        def plain() -> object:
            connection = rdskit.dbapi_connect(target)
            with connection, connection.cursor() as cursor:
                cursor.execute("select database()")
                return cursor.fetchone()

        assert await asyncio.to_thread(plain) == (database.name,)
