"""The connection port, as the pool and the executor use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.errors import (
    AuthenticationError,
    ConnectError,
    DeadlockError,
    IntegrityError,
    QueryError,
    QueryTimeout,
    ReadOnlyError,
    SerializationError,
    StatementError,
)
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import Connection, ConnectOptions, DriverError, Login
from rdskit.kernel.topology import Role
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def table(engine: Engine, connection: Connection) -> str:
    await connection.execute(f"create table items (id {engine.key}, name varchar(40), n int unique)", (), 5.0)
    for number in range(1, 4):
        await connection.execute(engine.text("insert into items (name, n) values (?, ?)"), [f"n{number}", number], 5.0)
    return "items"


async def first(connection: Connection, text: str, *args: object) -> tuple[Any, ...] | None:
    """Return the first row as a plain tuple."""
    row = await connection.fetch_one(text, args, 5.0)
    return None if row is None else tuple(row)


def in_transaction(connection: Connection) -> bool:
    """Look each time again, which a type checker does not expect of an attribute."""
    return connection.in_transaction


async def refusal(call: Any) -> DriverError:
    with pytest.raises(DriverError) as caught:
        await call
    return caught.value


async def test_a_new_connection_knows_its_host_and_role(engine: Engine, connection: Connection) -> None:
    assert connection.endpoint == engine.options.endpoint
    assert connection.role is Role.WRITER
    assert (connection.broken, connection.interrupted, connection.in_transaction) == (False, False, False)


@pytest.mark.usefixtures("table")
async def test_rows_and_counts(engine: Engine, connection: Connection) -> None:
    select = engine.text("select id, name from items where n >= ? order by n")
    row = await connection.fetch_one(select, [2], None)
    assert row is not None
    assert (row["name"], row.name, row[1], len(row), list(row)) == ("n2", "n2", "n2", 2, [row.id, "n2"])
    assert [each.name for each in await connection.fetch_all(select, [2], None)] == ["n2", "n3"]
    assert await connection.fetch_one(select, [9], None) is None
    assert await connection.fetch_all(select, [9], None) == []
    update = engine.text("update items set name = name where n > ?")
    assert await connection.execute(update, [1], None) == 2
    assert await connection.execute(update, [9], None) == 0
    assert await connection.execute("create table others (id int)", (), None) == 0


@pytest.mark.usefixtures("table")
async def test_last_id(engine: Engine, connection: Connection) -> None:
    done = await connection.execute("insert into items (name) values ('x')", (), None)
    assert (done, done.last_id) == (1, engine.pick(None, 4))
    done = await connection.execute("update items set name = 'y'", (), None)
    assert (done, done.last_id) == (4, None)


async def test_a_row_is_a_mapping_too(connection: Connection) -> None:
    row = await connection.fetch_one("select 1 as a, 'x' as b, 3 as count, 4 as a", (), None)
    assert row is not None
    assert list(row.keys()) == ["a", "b", "count", "a"]
    assert [str(value) for value in row.values()] == ["1", "x", "3", "4"]
    assert (row.count, row["a"], row.get("b"), row.get("c"), row.get("c", 7)) == (3, 4, "x", None, 7)
    assert dict(row.items())["b"] == "x"
    assert "b" in row
    assert "x" not in row
    assert tuple(row) == (1, "x", 3, 4)
    assert tuple(row[1:3]) == ("x", 3)
    assert repr(row) == "<Row a=1 b='x' count=3 a=4>"
    with pytest.raises(KeyError):
        _ = row["nope"]
    with pytest.raises(AttributeError, match="no column 'nope'; its columns are: a, b, count"):
        _ = row.nope


@pytest.mark.usefixtures("table")
async def test_a_prepared_statement_survives_a_change_of_its_table(connection: Connection) -> None:
    before = await connection.fetch_one("select * from items where n = 1", (), None)
    await connection.execute("alter table items add column age int default 3", (), None)
    after = await connection.fetch_one("select * from items where n = 1", (), None)
    assert before is not None
    assert after is not None
    assert (len(before), len(after), after.age) == (3, 4, 3)


async def test_more_statements_than_are_kept(engine: Engine, connection: Connection) -> None:
    add = engine.pick("{} + $1::int", "{} + ?")
    for _ in range(2):
        for number in range(300):
            row = await connection.fetch_one(f"select {add.format(number)} as n", [1], None)
            assert row is not None
            assert row.n == number + 1


@pytest.mark.usefixtures("table")
async def test_what_the_server_refuses_is_told_apart(engine: Engine, connection: Connection) -> None:
    twice = await refusal(connection.execute("insert into items (n) values (1)", (), None))
    assert (twice.failure, type(twice.public)) == (Failure.REFUSED, IntegrityError)
    assert isinstance(twice.public, QueryError)
    assert (twice.public.sqlstate, twice.public.errno) == engine.pick(("23505", None), ("23000", 1062))
    assert twice.__cause__ is not None
    for wrong in ("select * from nope", "selec 1", "select nope from items"):
        error = await refusal(connection.fetch_all(wrong, (), None))
        assert (error.failure, type(error.public)) == (Failure.REFUSED, StatementError), wrong
    null = (
        await refusal(connection.execute("insert into items (id) values (null)", (), None))
        if engine.is_postgres
        else None
    )
    assert null is None or type(null.public) is IntegrityError
    assert not connection.broken
    assert await connection.fetch_one("select 1", (), None) is not None


async def test_arguments_that_cannot_be_bound_are_refused_and_do_no_harm(
    engine: Engine, connection: Connection
) -> None:
    select = engine.text("select " + engine.pick("?::int", "?"))
    for wrong in (object(), 2**70, "\ud800"):
        error = await refusal(connection.fetch_one(select, [wrong], None))
        assert error.failure is Failure.REFUSED, wrong
        assert isinstance(error.public, QueryError)
        assert (connection.broken, connection.interrupted) == (False, False)
    error = await refusal(connection.fetch_one(select, [1, 2], None))
    assert error.failure is Failure.REFUSED
    assert await first(connection, select, 5) == (5,)


@pytest.mark.usefixtures("table")
async def test_transactions(connection: Connection, watcher: Connection) -> None:
    assert await connection.control("begin", 5.0) == "BEGIN"
    assert in_transaction(connection)
    await connection.execute("update items set name = 'changed'", (), None)
    assert await connection.control("savepoint one", 5.0) == "SAVEPOINT"
    await connection.execute("update items set name = 'more'", (), None)
    await connection.control("rollback to savepoint one", 5.0)
    await connection.control("release savepoint one", 5.0)
    count = "select count(*) from items where name = 'changed'"
    assert await first(watcher, count) == (0,)
    assert await connection.control("commit", 5.0) == "COMMIT"
    assert not in_transaction(connection)
    assert await first(watcher, count) == (3,)
    await connection.control("begin", 5.0)
    await connection.execute("delete from items", (), None)
    assert await connection.control("rollback", 5.0) == "ROLLBACK"
    assert await first(watcher, count) == (3,)


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
async def test_isolation_levels_hold_for_one_transaction(engine: Engine, connection: Connection, level: str) -> None:
    shown = engine.pick(
        "show transaction_isolation",
        "select @@tx_isolation",
        "select replace(lower(@@session.transaction_isolation), '-', ' ')",
    )
    before = await first(connection, shown)
    await connection.control(f"begin isolation level {level} read only", 5.0)
    assert await first(
        connection, engine.pick(shown, "select lower(trx_isolation_level) from information_schema.innodb_trx")
    ) in {(level,), None}
    await connection.control("rollback", 5.0)
    assert await first(connection, shown) == before


@pytest.mark.usefixtures("table")
async def test_a_write_in_a_read_only_transaction(connection: Connection) -> None:
    await connection.control("begin read only", 5.0)
    error = await refusal(connection.execute("update items set n = 9 where n = 3", (), None))
    assert (error.failure, type(error.public)) == (Failure.READ_ONLY, ReadOnlyError)


@pytest.mark.usefixtures("table")
async def test_a_deadlock_is_a_conflict(connection: Connection, watcher: Connection) -> None:
    for each in (connection, watcher):
        await each.control("begin", 5.0)
    await connection.execute("update items set name = 'a' where n = 1", (), None)
    await watcher.execute("update items set name = 'b' where n = 2", (), None)
    one = asyncio.ensure_future(connection.execute("update items set name = 'a' where n = 2", (), 20.0))
    two = asyncio.ensure_future(watcher.execute("update items set name = 'b' where n = 1", (), 20.0))
    done, _ = await asyncio.wait([one, two], return_when=asyncio.FIRST_EXCEPTION)
    (victim,) = (task for task in done if task.exception() is not None)
    error = victim.exception()
    assert isinstance(error, DriverError)
    assert (error.failure, type(error.public)) == (Failure.CONFLICT, DeadlockError)
    await (connection if victim is one else watcher).control("rollback", 5.0)
    await asyncio.wait([one, two])
    await (watcher if victim is one else connection).control("commit", 5.0)


@pytest.mark.usefixtures("table")
async def test_a_lock_that_is_not_had_in_time_is_a_conflict_on_the_mysql_family(
    engine: Engine, connection: Connection, watcher: Connection
) -> None:
    await watcher.control("begin", 5.0)
    await watcher.execute("update items set name = 'b' where n = 2", (), None)
    await connection.execute(engine.pick("set lock_timeout = '50ms'", "set innodb_lock_wait_timeout = 1"), (), None)
    error = await refusal(connection.execute("update items set name = 'a' where n = 2", (), 20.0))
    assert error.failure is engine.pick(Failure.REFUSED, Failure.CONFLICT)
    assert type(error.public) is engine.pick(QueryError, SerializationError)
    await watcher.control("rollback", 5.0)


# -- calls that are given up -------------------------------------------------------------------------------------------


async def test_a_deadline_ends_the_statement_on_the_server(
    engine: Engine, connection: Connection, running: Callable[[str], Any]
) -> None:
    error = await refusal(connection.fetch_one(f"select 'mark1', {engine.sleep.format(30)}", (), 0.2))
    assert (error.failure, type(error.public)) == (Failure.TIMEOUT, QueryTimeout)
    assert connection.interrupted
    await connection.ping(5.0)
    assert (connection.interrupted, connection.broken) == (False, False)
    assert await first(connection, "select 1") == (1,)
    await eventually(lambda: _none(running, "mark1"))


async def test_a_cancelled_call_ends_on_the_server_and_the_next_call_gets_its_own_answer(
    engine: Engine, connection: Connection, running: Callable[[str], Any]
) -> None:
    call = asyncio.ensure_future(connection.fetch_one(f"select 'mark2', {engine.sleep.format(30)}", (), None))
    await eventually(lambda: running("mark2"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert connection.interrupted
    select = engine.text(f"select {engine.pick('?::int', '?')}")
    assert await _until_answered(connection, select, 7) == 7
    await eventually(lambda: _none(running, "mark2"))


async def test_closing_ends_what_was_given_up(engine: Engine, running: Callable[[str], Any]) -> None:
    connection = await engine.driver.connect(engine.options, engine.login)
    await refusal(connection.fetch_one(f"select 'mark3', {engine.sleep.format(30)}", (), 0.2))
    await connection.close(5.0)
    await eventually(lambda: _none(running, "mark3"))


@pytest.mark.usefixtures("table")
async def test_a_transaction_in_which_a_call_was_given_up_cannot_commit(
    engine: Engine, connection: Connection, watcher: Connection
) -> None:
    await connection.control("begin", 5.0)
    await connection.execute("update items set name = 'lost'", (), None)
    await refusal(connection.fetch_one(f"select {engine.sleep.format(30)}", (), 0.1))
    assert in_transaction(connection)
    error = await refusal(connection.execute("update items set name = 'alone'", (), 5.0))
    assert isinstance(error.public, QueryError)
    assert error.public.sqlstate == "25P02"
    assert await connection.control("commit", 5.0) == "ROLLBACK"
    assert not in_transaction(connection)
    assert await first(watcher, "select count(*) from items where name like 'n%'") == (3,)
    assert await connection.execute("update items set name = 'again'", (), 5.0) == 3


async def test_many_calls_that_are_given_up_leave_one_usable_connection(engine: Engine, connection: Connection) -> None:
    select = engine.text(f"select {engine.pick('?::int', '?')}")
    for number in range(15):
        # Short: PostgreSQL ignores a cancellation that overtakes its statement, and the next call waits for its end.
        call = asyncio.ensure_future(connection.fetch_all(f"select {engine.sleep.format(1)}", (), None))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert await _until_answered(connection, select, number) == number


async def test_a_session_that_is_killed_is_lost(engine: Engine, connection: Connection, watcher: Connection) -> None:
    call = asyncio.ensure_future(connection.fetch_one(f"select {engine.sleep.format(30)}", (), None))
    await _kill_others(engine, watcher)
    assert (await refusal(call)).failure is Failure.LOST
    assert connection.broken


async def test_an_idle_connection_notices_its_end(engine: Engine, connection: Connection, watcher: Connection) -> None:
    await _kill_others(engine, watcher)
    await eventually(lambda: _is_broken(connection))
    assert (await refusal(connection.fetch_one("select 1", (), None))).failure is Failure.LOST


async def test_reset_takes_back_what_a_caller_changed(engine: Engine, connection: Connection) -> None:
    select = engine.text(f"select {engine.pick('?::int', '?')}")
    before = await first(connection, zone := engine.pick("show time zone", "select @@time_zone"))
    await connection.execute(engine.pick("set time zone '+3'", "set time_zone = '+03:00'"), (), None)
    await connection.execute("create temporary table scratch (n int)", (), None)
    assert await first(connection, zone) != before
    assert await first(connection, select, 1) == (1,)
    await connection.reset(5.0)
    assert await first(connection, zone) == before
    assert isinstance((await refusal(connection.fetch_one("select * from scratch", (), None))).public, StatementError)
    name = await first(connection, f"select {engine.pick('current_database()', 'database()')}")
    assert name == (engine.database.name,)
    assert await first(connection, select, 2) == (2,)


async def test_a_closed_or_aborted_connection_is_of_no_use(engine: Engine) -> None:
    for end in ("close", "abort"):
        connection = await engine.driver.connect(engine.options, engine.login)
        if end == "close":
            await connection.close(2.0)
        else:
            connection.abort()
        assert (await refusal(connection.fetch_one("select 1", (), 2.0))).failure is Failure.LOST
        await connection.close(2.0)


async def test_written_positions_grow(engine: Engine, connection: Connection, watcher: Connection) -> None:
    before = await connection.written_position(5.0)
    await watcher.execute("create table other (id int)", (), None)
    after = await connection.written_position(5.0)
    assert before is not None
    assert after is not None
    assert after.covers(before)
    assert not before.covers(after), "what another session writes counts as well"
    progress = await connection.reader_progress(5.0)
    assert not progress.replays, engine.name


async def test_logins_and_hosts_that_are_refused(engine: Engine) -> None:
    wrong = await refusal(engine.driver.connect(engine.options, Login(engine.login.user, "wrong")))
    if not engine.is_postgres:  # the throw-away PostgreSQL trusts every client
        assert (wrong.failure, type(wrong.public)) == (Failure.REFUSED, AuthenticationError)
        assert "wrong" not in str(wrong)
    options = engine.options
    nowhere = ConnectOptions(options.endpoint._replace(port=1), options.database, None, 5.0, "contract")
    away = await refusal(engine.driver.connect(nowhere, engine.login))
    assert (away.failure, type(away.public)) == (Failure.LOST, ConnectError)
    unknown = ConnectOptions(options.endpoint, "nope", None, 5.0, "contract")
    missing = await refusal(engine.driver.connect(unknown, engine.login))
    assert (missing.failure, type(missing.public)) == (Failure.REFUSED, ConnectError)
    assert "database 'nope' does not exist" in str(missing)


async def _none(running: Callable[[str], Any], mark: str) -> bool:
    return int(await running(mark)) == 0


async def _is_broken(connection: Connection) -> bool:
    return connection.broken


async def _until_answered(connection: Connection, text: str, value: int) -> Any:
    for _ in range(3):
        try:
            row = await connection.fetch_one(text, [value], 5.0)
        except DriverError as error:
            if error.failure is not Failure.REFUSED:
                raise
        else:
            return row[0] if row is not None else None
    raise AssertionError("the connection did not come back to itself")


async def _kill_others(engine: Engine, watcher: Connection) -> None:
    sessions = await eventually(lambda: watcher.fetch_all(engine.sessions, (), 5.0))
    assert isinstance(sessions, list)
    for (number,) in sessions:
        await watcher.execute(engine.kill.format(number), (), 5.0)
