"""What the MySQL family's driver keeps on the server, and what it does when that is gone."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.drivers.mysql import AsyncmyDriver, MysqlConnection, Row
from rdskit.drivers.mysql.rows import row_class
from rdskit.errors import QueryTimeout, StatementError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import ConnectOptions, DriverError, Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.mysql_family import FamilyDatabase


@pytest.fixture(params=["mariadb_database", "mysql_database"])
def database(request: pytest.FixtureRequest) -> FamilyDatabase:
    found: FamilyDatabase = request.getfixturevalue(request.param)
    return found


async def connect(database: FamilyDatabase, password: str | None = None) -> MysqlConnection:
    options = ConnectOptions(Endpoint(database.host, database.port), database.name, None, 5.0, "test")
    return await AsyncmyDriver().connect(options, Login(database.user, password or database.password))


@pytest.fixture
async def connection(database: FamilyDatabase) -> AsyncIterator[MysqlConnection]:
    opened = await connect(database)
    yield opened
    await opened.close(2.0)


async def value(connection: MysqlConnection, text: str, *args: object) -> Any:
    row = await connection.fetch_one(text, args, 5.0)
    return None if row is None else row[0]


async def kept(connection: MysqlConnection) -> int:
    shown = await connection.fetch_one("show session status like 'Com_stmt_close'", (), 5.0)
    assert shown is not None
    closed = int(shown[1])
    shown = await connection.fetch_one("show session status like 'Com_stmt_prepare'", (), 5.0)
    assert shown is not None
    return int(shown[1]) - closed


async def test_the_server_keeps_no_more_statements_than_we_do(connection: MysqlConnection) -> None:
    for number in range(300):
        assert await value(connection, f"select {number}") == number
    assert 100 <= await kept(connection) <= 130


async def test_a_statement_in_use_outlives_those_that_are_not(connection: MysqlConnection) -> None:
    assert await value(connection, "select 'busy'") == "busy"
    prepared = connection._statements.get(("select 'busy'",))
    for number in range(300):
        await value(connection, f"select {number}")
        assert await value(connection, "select 'busy'") == "busy"
    assert connection._statements.get(("select 'busy'",)) is prepared


async def test_a_statement_that_the_server_forgot_is_prepared_again(connection: MysqlConnection) -> None:
    for _ in range(2):
        assert await value(connection, "select ?", 7) == 7
    prepared = connection._statements.get(("select ?", int))
    assert prepared is not None
    number = prepared.statement._statement_id
    await connection._session.raw._execute_command(
        0x19, number.to_bytes(4, "little")
    )  # COM_STMT_CLOSE, behind its back
    assert await value(connection, "select ?", 8) == 8


async def left_on_the_server(db: rdskit.Database) -> int:
    shown = await db.fetch_one("show global status like 'Prepared_stmt_count'")
    assert shown is not None
    return int(shown[1])


async def test_calls_that_fail_leave_no_statement_on_the_server(database: FamilyDatabase) -> None:
    refused = [{"id": number} for number in [*range(700), 0]]

    def failing() -> Iterator[dict[str, int]]:
        yield from refused[:-1]
        raise LookupError

    async def stuck() -> AsyncIterator[dict[str, int]]:
        for row in refused[:-1]:
            yield row
        await asyncio.Event().wait()

    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table held (id int primary key)")
        before = await left_on_the_server(db)
        for _ in range(5):
            with pytest.raises(rdskit.IntegrityError):
                await db.insert_many("held", refused)
            with pytest.raises(LookupError):
                await db.insert_many("held", failing())
            with pytest.raises(QueryTimeout):
                await db.insert_many("held", stuck(), timeout=0.2)
            with pytest.raises(rdskit.QueryError, match=r"\[.*1242"):
                await anext(db.stream("select (select 1 union select :other)", other=2))
        # Only what the pool keeps for these calls themselves, whatever their number.
        assert await left_on_the_server(db) - before < 5


async def test_what_cannot_be_prepared_is_sent_as_text_without_arguments_only(connection: MysqlConnection) -> None:
    begun = await connection.execute("lock tables mysql.user read", (), 5.0)
    assert begun == 0
    await connection.execute("unlock tables", (), 5.0)
    with pytest.raises(DriverError) as caught:
        await connection.execute("create trigger t before insert on nope for each row set @a = ?", [1], 5.0)
    assert caught.value.failure is Failure.REFUSED
    assert isinstance(caught.value.public, StatementError)
    assert not connection.broken


async def test_a_statement_that_the_server_itself_ends_is_a_timeout(connection: MysqlConnection) -> None:
    mariadb = "MariaDB" in await value(connection, "select version()")
    text = "set statement max_statement_time = 0.1 for select sleep(5), 1 from information_schema.tables"
    if not mariadb:
        text = "select /*+ max_execution_time(100) */ sleep(1) from information_schema.columns a join mysql.user b"
    with pytest.raises(DriverError) as caught:
        await connection.fetch_all(text, (), 20.0)
    assert (caught.value.failure, type(caught.value.public)) == (Failure.REFUSED, QueryTimeout)
    assert (connection.broken, connection.interrupted) == (False, False)


async def test_a_session_is_strict_in_utc_and_utf8(connection: MysqlConnection) -> None:
    for _ in range(2):
        modes = set((await value(connection, "select @@sql_mode")).split(","))
        assert {"STRICT_TRANS_TABLES", "NO_ZERO_DATE", "ERROR_FOR_DIVISION_BY_ZERO"} <= modes
        assert modes.isdisjoint({"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"})
        assert await value(connection, "select @@time_zone") == "+00:00"
        assert await value(connection, "select @@character_set_connection") == "utf8mb4"
        assert await value(connection, "select @@autocommit") == 1
        await connection.execute(
            "set sql_mode = 'ANSI_QUOTES', character_set_connection = latin1, autocommit = 0", (), 5.0
        )
        await connection.reset(5.0)


async def test_a_client_side_file_is_never_sent(connection: MysqlConnection) -> None:
    await connection.execute("create table held (line text)", (), 5.0)
    with pytest.raises(DriverError) as caught:
        await connection.execute("load data local infile '/etc/hostname' into table held", (), 5.0)
    assert caught.value.failure is Failure.REFUSED
    assert await value(connection, "select count(*) from held") == 0


async def test_the_password_is_in_no_message(database: FamilyDatabase) -> None:
    with pytest.raises(DriverError) as caught:
        await connect(database, "hunter2-wrong")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        assert "hunter2" not in repr(error)
        error = error.__cause__


def test_a_row_survives_pickling() -> None:
    row = row_class(("id", "count", "keys"))((1, 2, 3))
    again = pickle.loads(pickle.dumps(row))  # noqa: S301 - our own
    assert isinstance(again, Row)
    assert dict(again.items()) == {"id": 1, "count": 2, "keys": 3}
    assert (again.id, getattr(again, "count"), list(again.keys())) == (1, 2, ["id", "count", "keys"])  # noqa: B009 - a type checker sees a tuple's own
