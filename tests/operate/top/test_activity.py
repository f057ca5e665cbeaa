"""What real servers say of themselves to a superuser and to a user without rights."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from rdskit.operate.top.watch import watching
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer
    from rdskit.operate.top.model import Frame
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

PASSWORD = "poor-but-honest"


async def seen(url: str, **options: Any) -> Frame:
    async with watching(url, interval=0.1, tls="off", **options) as watch:
        return await watch.compared()


@pytest.fixture
def poor_in_postgres(database: TestDatabase) -> Iterator[str]:
    keep_confidential(PASSWORD)
    with psycopg.connect(database.url, autocommit=True) as session:
        session.execute(f"create role poor login password '{PASSWORD}'")
        yield database.url.replace(f"{database.user}:{database.password}", f"poor:{PASSWORD}")
        session.execute("drop role poor")


async def test_postgres_tells_a_superuser_everything(database: TestDatabase) -> None:
    with psycopg.connect(database.url) as session:
        process = session.info.backend_pid
        session.execute("select 1")
        async with watching(database.url, interval=0.1, tls="off") as watch:

            async def is_oldest() -> bool:  # the server's other clients come and go
                oldest = watch.frame().hosts[0].oldest
                return oldest is not None and (oldest.process, oldest.state) == (process, "idle in transaction")

            async def is_compared() -> bool:  # a busy machine may leave a look without an answer
                (host,) = (await watch.compared()).hosts
                return host.transactions is not None

            await eventually(is_oldest)
            await eventually(is_compared)
            frame = watch.frame()
    (host,) = frame.hosts
    assert host.connections is not None
    assert host.connections >= 2
    assert host.max_connections is not None
    assert host.latency is not None
    assert (frame.notes, frame.ok, host.pool is not None) == ((), True, True)


async def test_postgres_hides_others_from_a_user_without_rights(database: TestDatabase, poor_in_postgres: str) -> None:
    with psycopg.connect(database.url) as session:
        session.execute("select 1")
        frame = await seen(poor_in_postgres)
    (host,) = frame.hosts
    assert host.oldest is None
    assert host.connections is not None
    assert host.connections >= 2, "they are counted all the same"
    assert frame.notes == ('transactions of other users are hidden: grant pg_read_all_stats to "poor"',)
    assert frame.ok


@contextlib.contextmanager
def poor_in(server: ThrowawayFamilyServer, database: FamilyDatabase) -> Iterator[str]:
    keep_confidential(PASSWORD)
    with server.connect() as session:
        session.execute(f"create user poor@'%' identified by '{PASSWORD}'")
        session.execute(f"grant all on {database.name}.* to poor@'%'")
        session.execute(f"create table {database.name}.t (id int)")
        session.execute("begin")
        session.execute(f"insert into {database.name}.t values (1)")
        yield database.url.replace(f"{database.user}:{database.password}", f"poor:{PASSWORD}")
        session.execute("rollback")
        session.execute("drop user poor@'%'")


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
async def test_the_mysql_family_tells_and_hides(name: str, request: pytest.FixtureRequest) -> None:
    server, database = request.getfixturevalue(name), request.getfixturevalue(f"{name}_database")
    with poor_in(server, database) as poor:
        rich_frame, poor_frame = await seen(database.url), await seen(poor)
    (host,) = rich_frame.hosts
    assert host.oldest is not None, "the open insert"
    assert (host.statements is not None, host.transactions is not None) == (True, name == "mysql")
    assert rich_frame.notes == ()
    (host,) = poor_frame.hosts
    assert (host.oldest, host.transactions, host.statements is not None) == (None, None, True)
    assert host.connections is not None
    grants = ["grant process on *.* to 'poor'@'%'"]
    grants += ["grant select on performance_schema.* to 'poor'@'%'"] if name == "mysql" else []
    assert all(any(grant in note for note in poor_frame.notes) for grant in grants)
    assert len(poor_frame.notes) == len(grants)
    assert poor_frame.ok


async def test_a_reader_that_cannot_be_reached_is_told_and_not_raised(database: TestDatabase) -> None:
    frame = await seen(database.url, readers=("127.0.0.1:1",), connect_timeout=1.0)
    writer, reader = frame.hosts
    assert (writer.problem, frame.ok) == (None, False)
    assert reader.problem is not None
    assert "127.0.0.1:1" in reader.problem
    assert None in reader.history
    assert any("does not respond" in entry.words for entry in frame.journal)


async def test_a_writer_that_is_away_does_not_hide_the_others(database: TestDatabase) -> None:
    away = database.url.replace(f"{database.host}:{database.port}", "127.0.0.1:1")
    frame = await seen(away, readers=(f"{database.host}:{database.port}",), connect_timeout=1.0)
    writer, reader = frame.hosts
    assert writer.problem is not None
    assert reader.problem is None
    assert reader.connections is not None
    assert frame.failing_since is not None


REFUSED = "revoke execute on function pg_current_wal_insert_lsn(), pg_last_wal_receive_lsn() from public"


def other_name(database: TestDatabase) -> str:
    """Return the server's address as a decimal number, which resolvers accept as another name."""
    return f"{int(ipaddress.ip_address(database.host))}:{database.port}"


async def test_a_server_that_tells_no_positions_is_up(database: TestDatabase, poor_in_postgres: str) -> None:
    with psycopg.connect(database.url, autocommit=True) as session:
        session.execute(REFUSED)
    frame = await seen(poor_in_postgres, readers=(other_name(database),))
    writer, reader = frame.hosts
    assert (writer.problem, reader.problem) == (None, None)
    assert (writer.lag, reader.lag, reader.behind) == (None, None, None)
