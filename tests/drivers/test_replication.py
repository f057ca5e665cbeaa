"""Replication connections: what the server writes arrives, and what goes wrong has its meaning."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.errors import AuthenticationError, FailoverError, StatementError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import ConnectOptions, DriverError, Login
from rdskit.kernel.positions import GtidPosition, GtidSet, Lsn
from rdskit.kernel.replication import BinlogFile, Keepalive, WalData
from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer, ThrowawayMariaDB, ThrowawayMySQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.drivers.mysql.binlog import BinlogConnection
    from rdskit.drivers.postgres.wal import WalConnection
    from rdskit.kernel.ports import Connection
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

OPTIONS = {"proto_version": "1", "publication_names": "it's"}
SOME = 5.0


def _options(server: Any, database: str | None) -> ConnectOptions:
    return ConnectOptions(Endpoint(server.host, server.port), database, None, SOME, "replication")


@pytest.fixture
async def plain(database: TestDatabase) -> AsyncIterator[Connection]:
    opened = await AsyncpgDriver().connect(_options(database, database.name), Login(database.user, database.password))
    yield opened
    await opened.close(SOME)


@pytest.fixture
async def wal(database: TestDatabase, postgres: ThrowawayPostgres) -> AsyncIterator[WalConnection]:
    login = Login(postgres.superuser, postgres.password)
    opened = await AsyncpgDriver().replicate(_options(database, database.name), login)
    yield opened
    await opened.close(SOME)


async def test_a_logical_slot_sends_what_is_committed(
    plain: Connection, wal: WalConnection, database: TestDatabase
) -> None:
    await plain.execute("create table items (id int primary key, name text)", (), SOME)
    await plain.execute("""create publication "it's" for table items""", (), SOME)
    system = await wal.identify(SOME)
    assert (system.database, system.timeline) == (database.name, 1)
    slot, *_ = await wal.command("CREATE_REPLICATION_SLOT feed TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')", SOME)
    start = Lsn.parse(slot["consistent_point"] or "")
    await wal.start("feed", start, OPTIONS, SOME)
    await plain.execute("insert into items select n, repeat('x', 100) from generate_series(1, 2000) n", (), SOME)
    sent: list[WalData] = []
    while not sent or sent[-1].data[:1] != b"C":
        sent += [message for message in await wal.receive() if isinstance(message, WalData)]
    assert b"".join(message.data[:1] for message in sent) == b"BR" + b"I" * 2000 + b"C"
    end = sent[-1].end
    assert end > start
    wal.send_status(end, end, end, wants_reply=True)
    # The server may have sent keepalives of its own before it answers.
    alive = await wal.receive()
    assert all(isinstance(each, Keepalive) for each in alive)
    assert alive[-1].end >= end


async def test_what_a_wal_sender_refuses_has_its_meaning(wal: WalConnection) -> None:
    with pytest.raises(DriverError, match="does not exist") as refused:
        await wal.start("nothing", Lsn(0), OPTIONS, SOME)
    assert refused.value.failure is Failure.REFUSED
    assert isinstance(refused.value.public, StatementError)
    assert (await wal.identify(SOME)).timeline == 1, "the connection goes on"
    await wal.command("CREATE_REPLICATION_SLOT feed TEMPORARY LOGICAL pgoutput", SOME)
    await wal.start("feed", Lsn(0), OPTIONS, SOME)


async def test_a_replication_connection_that_is_cut_says_so(plain: Connection, wal: WalConnection) -> None:
    await wal.command("CREATE_REPLICATION_SLOT feed TEMPORARY LOGICAL pgoutput", SOME)
    await wal.start("feed", Lsn(0), {"proto_version": "1", "publication_names": "p"}, SOME)
    waiting = asyncio.ensure_future(_all(wal))
    await plain.fetch_all(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()",
        (),
        SOME,
    )
    with pytest.raises(DriverError) as lost:
        await waiting
    assert lost.value.failure is Failure.LOST
    assert isinstance(lost.value.public, FailoverError)


async def _all(connection: Any) -> None:
    while True:
        await connection.receive()


async def test_a_login_that_is_refused_is_refused_here_too(database: TestDatabase) -> None:
    with pytest.raises(DriverError) as refused:
        await AsyncpgDriver().replicate(_options(database, database.name), Login(database.user, "wrong"))
    assert isinstance(refused.value.public, AuthenticationError)


# --- MySQL and MariaDB ----------------------------------------------------------------------------------------------

ROWS = {ThrowawayMariaDB: 23, ThrowawayMySQL: 30}  # WRITE_ROWS_EVENT


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> ThrowawayFamilyServer:
    server: ThrowawayFamilyServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def family_database(request: pytest.FixtureRequest, server: ThrowawayFamilyServer) -> FamilyDatabase:
    found: FamilyDatabase = request.getfixturevalue(
        "mariadb_database" if isinstance(server, ThrowawayMariaDB) else "mysql_database"
    )
    return found


@pytest.fixture
async def binlog(server: ThrowawayFamilyServer) -> AsyncIterator[BinlogConnection]:
    login = Login(server.superuser, server.password)
    opened = await AsyncmyDriver().replicate(_options(server, None), login)
    yield opened
    await opened.close(SOME)


def _events(data: bytes) -> tuple[int, int]:
    """Type and next offset of an event."""
    _, kind, _, _, following, _ = struct.unpack_from("<IBIIIH", data)
    return kind, following


@pytest.mark.parametrize("by", ["gtid", "file"])
async def test_the_binary_log_arrives(
    binlog: BinlogConnection, server: ThrowawayFamilyServer, family_database: FamilyDatabase, by: str
) -> None:
    mariadb = isinstance(server, ThrowawayMariaDB)
    with server.connect() as session:
        session.execute(f"create table {family_database.name}.items (id int primary key)")
        ((known, *_),) = session.execute(f"select @@global.{'gtid_current_pos' if mariadb else 'gtid_executed'}")
        ((name, offset, *_),) = session.execute("show master status" if mariadb else "show binary log status")
        gtids: GtidSet | GtidPosition = GtidPosition.parse(str(known)) if mariadb else GtidSet.parse(str(known))
        start = gtids if by == "gtid" else BinlogFile(str(name), int(str(offset)))
        await binlog.start(start, server_id=4_000_001, heartbeat=0.2, timeout=SOME)
        session.execute(f"insert into {family_database.name}.items values (1), (2)")
    kinds: list[int] = []
    while ROWS[type(server)] not in kinds:
        kinds.append(_events(await asyncio.wait_for(binlog.receive(), SOME))[0])
    assert {4, 15, 19} <= set(kinds), "rotation, format description, table map"
    while kinds[-1] != 27:  # a heartbeat
        kinds.append(_events(await asyncio.wait_for(binlog.receive(), SOME))[0])
    assert kinds.count(ROWS[type(server)]) == 1, "nothing of before"


async def test_a_binary_log_that_is_not_there_is_refused(binlog: BinlogConnection) -> None:
    await binlog.start(BinlogFile("nothing.000001", 4), server_id=4_000_002, heartbeat=1.0, timeout=SOME)
    with pytest.raises(DriverError, match=r"1236|Could not find first log"):
        await asyncio.wait_for(_all(binlog), SOME)


async def test_gtids_with_a_tag_are_refused_before_anything_is_sent(binlog: BinlogConnection) -> None:
    tagged = GtidSet.parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:blue:1-5")
    with pytest.raises(DriverError, match="with a tag"):
        await binlog.start(tagged, server_id=4_000_003, heartbeat=1.0, timeout=SOME)
