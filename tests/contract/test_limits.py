"""What a server refuses because it is too much fails at once: it is no failover, and not sent again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.drivers.postgres import PostgresConnection
from rdskit.events import FailoverStarted
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)
MEGABYTE = 2**20


@contextlib.asynccontextmanager
async def packets(watcher: Connection, size: int) -> AsyncIterator[None]:
    """Sessions opened in the block take messages of at most so many bytes."""
    before = await watcher.fetch_one("select @@global.max_allowed_packet", (), 5.0)
    assert before is not None
    await watcher.execute(f"set global max_allowed_packet = {size}", (), 5.0)
    try:
        yield
    finally:
        await watcher.execute(f"set global max_allowed_packet = {before[0]}", (), 5.0)


async def test_a_value_above_the_packet_limit_is_refused_before_it_is_sent(engine: Engine, watcher: Connection) -> None:
    if engine.is_postgres:
        return
    events: list[object] = []
    async with (
        packets(watcher, MEGABYTE),
        rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1, observers=[events.append]) as db,
    ):
        await db.execute("create table files (id int primary key, content longblob, words longtext)")
        for number, size in enumerate(range(MEGABYTE - 40, MEGABYTE + 4)):
            insert = "insert into files values (:id, :content, null)"
            with contextlib.suppress(rdskit.QueryError):
                await db.execute(insert, id=number, content=b"x" * size)
        kept = await db.fetch_value("select count(*) from files")
        assert 0 < kept < 40
        calls: tuple[Any, ...] = (
            lambda: db.execute("insert into files values (:id, :content, null)", id=100, content=b"x" * MEGABYTE),
            lambda: db.fetch_value("select length(:words)", words="é" * (MEGABYTE // 2)),
            lambda: db.fetch_value(f"select length('{'x' * MEGABYTE}')"),
            lambda: db.insert_many("files", [{"id": 101, "content": b""}, {"id": 102, "content": b"x" * MEGABYTE}]),
        )
        for call in calls:
            with pytest.raises(rdskit.QueryError, match=r"max_allowed_packet") as told:
                await call()
            assert type(told.value) is rdskit.QueryError
            assert len(str(told.value)) < 300
        with pytest.raises(rdskit.QueryError, match="max_allowed_packet"):
            await anext(db.stream("select :words", words="x" * MEGABYTE))
        async with db.transaction() as tx:
            with pytest.raises(rdskit.QueryError, match="max_allowed_packet"):
                await tx.execute("insert into files values (:id, :content, null)", id=1000, content=b"x" * MEGABYTE)
            await tx.execute("insert into files values (1000, null, null)")
        assert await db.fetch_value("select count(*) from files") == kept + 1
        stats = db.stats()
        assert (stats.writer.opened, stats.failures) == (1, 0)
    assert not [event for event in events if isinstance(event, FailoverStarted)]


@pytest.mark.parametrize("size", [4096, MEGABYTE])
async def test_many_rows_go_in_messages_that_the_server_takes(engine: Engine, watcher: Connection, size: int) -> None:
    if engine.is_postgres:
        return
    async with packets(watcher, size), rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table files (id int primary key, content longblob, words longtext)")
        rows = [{"id": n, "content": b"x" * (size * 2 // 5), "words": "é" * (n % 50)} for n in range(20)]
        rows += [{"id": 1000 + n, "content": None, "words": ""} for n in range(2000)]
        assert await db.insert_many("files", rows) == len(rows)
        assert await db.fetch_value("select sum(length(content)) from files") == 20 * (size * 2 // 5)


async def test_what_is_too_much_for_a_statement_is_refused_and_no_sign_of_a_failover(
    engine: Engine, connection: Connection
) -> None:
    columns = ", ".join(f"c{number} int" for number in range(5000))
    await connection.execute("create table one (n int)", (), 5.0)
    markers = ", ".join(f"${number}" for number in range(1, 70_001)) if engine.is_postgres else "?, " * 69_999 + "?"
    cases: dict[str, tuple[str, list[Any]]] = {
        "parameters": (f"select n from one where n in ({markers})", [1] * 70_000),
        "columns of a table": (f"create table wide ({columns})", []),
        "depth": (f"select {'(' * 50_000}1{')' * 50_000}", []),
    }
    if engine.is_postgres:
        cases["columns of a result"] = (f"select {', '.join(['1'] * 5000)}", [])
    for name, (text, args) in cases.items():
        with pytest.raises(DriverError) as told:
            await connection.fetch_all(text, args, 30.0)
        assert told.value.failure is Failure.REFUSED, (name, told.value)
        assert not connection.broken, name
        row = await connection.fetch_one("select 7", (), 5.0)
        assert row is not None
        assert row[0] == 7, name


async def test_room_that_is_used_up_is_refused_and_no_sign_of_a_failover(
    engine: Engine, connection: Connection
) -> None:
    if engine.is_postgres:
        await connection.execute("set temp_file_limit = '64kB'", (), 5.0)
        await connection.execute("set work_mem = '64kB'", (), 5.0)
        text = "select count(*) from (select n from generate_series(1, 100000) n order by n desc) sorted"
    else:
        await connection.execute("set max_heap_table_size = 16384", (), 5.0)
        await connection.execute("create table small (words char(200)) engine = memory", (), 5.0)
        text = f"insert into small values {', '.join(['(1)'] * 500)}"
    with pytest.raises(DriverError) as told:
        await connection.execute(text, (), 10.0)
    assert told.value.failure is Failure.REFUSED
    assert isinstance(told.value.public, rdskit.QueryError)
    assert not connection.broken


async def test_a_list_may_be_longer_than_a_statement_has_parameters(db: rdskit.Database, engine: Engine) -> None:
    await db.execute(
        f"create table words (id int primary key, w varchar(40), d {engine.pick('timestamp', 'datetime(6)')})"
    )
    texts = ["a", "'; drop table words; --", "\\", "é🐘", ""]
    await db.insert_many("words", [{"id": number, "w": text, "d": None} for number, text in enumerate(texts)])
    numbers = list(range(1, 70_001))
    by_number = "select id from words where id {} :ids and w <> :w order by id"
    assert [row.id for row in await db.fetch_all(by_number.format("in"), ids=numbers, w="\\")] == [1, 3, 4]
    assert [row.id for row in await db.fetch_all(by_number.format("not in"), ids=numbers, w="x")] == [0]
    by_text = "select id from words where w in :ws order by id"
    ws = [*(str(number) for number in numbers), *texts[1:]]
    assert [row.id for row in await db.fetch_all(by_text, ws=ws)] == [1, 2, 3, 4]
    assert await db.execute("delete from words where id in :ids", ids=numbers) == 4


async def test_a_table_may_have_a_dot_in_its_name(db: rdskit.Database, engine: Engine) -> None:
    table = engine.pick('"my.words"', "`my.words`")
    await db.execute(f"create table {table} (id int primary key, w varchar(20))")
    rows = [{"id": number, "w": "old"} for number in range(100)]
    assert await db.insert_many(table, rows) == 100
    await db.insert_many(table, [{"id": number, "w": "new"} for number in range(90)], on_conflict="update")
    assert await db.fetch_value(f"select count(*) from {table} where w = 'new'") == 90


async def test_a_message_above_what_postgresql_takes_is_refused_before_it_is_sent(
    engine: Engine, connection: Connection
) -> None:
    """The server closes the connection over a message of 1 GB: here the limit is lowered in its place."""
    if not engine.is_postgres:
        return
    assert isinstance(connection, PostgresConnection)
    await connection.execute("create table files (id int, content bytea, words text)", (), 5.0)
    insert = "insert into files values ($1, $2, $3)"
    await connection.execute(insert, [0, b"", ""], 5.0)
    connection.largest_message = 1000
    calls = (
        lambda: connection.execute(insert, [1, b"x" * 1001, None], 5.0),
        lambda: connection.execute(insert, [1, b"x" * 400, "é" * 301], 5.0),
        lambda: connection.fetch_one("select length($1::text)", ["x" * 1001], 5.0),
        lambda: connection.fetch_all(f"select '{'x' * 1000}'", (), 5.0),
    )
    for call in calls:
        with pytest.raises(DriverError, match=r"PostgreSQL takes 1000 in one message") as told:
            await call()
        assert told.value.failure is Failure.REFUSED
        assert not connection.broken
    await connection.execute(insert, [2, b"x" * 400, "é" * 300], 5.0)
    found = await connection.fetch_one("select count(*), sum(id) from files", (), 5.0)
    assert found is not None
    assert tuple(found) == (2, 2)


async def test_what_a_server_has_no_memory_or_room_for_is_refused(engine: Engine, connection: Connection) -> None:
    """SQLSTATE 54000 and 53200: the same statement meets them again, on any host."""
    if not engine.is_postgres:
        return
    await connection.execute(
        "create function full_up(state text) returns int language plpgsql as $f$ "
        "begin raise exception using errcode = state; end $f$",
        (),
        5.0,
    )
    for state in ("54000", "53200", "53100", "53400"):
        with pytest.raises(DriverError) as told:
            await connection.fetch_one("select full_up($1)", [state], 5.0)
        assert told.value.failure is Failure.REFUSED, state
        assert isinstance(told.value.public, rdskit.QueryError)
        assert told.value.public.sqlstate == state
    with pytest.raises(DriverError) as told:  # a result of 2 GB
        await connection.fetch_one("select length(repeat('x', 1 << 30) || 'x')", (), 5.0)
    assert told.value.failure is Failure.REFUSED
    assert not connection.broken
