"""What a connection keeps of a statement must not change what a later caller gets: each call is like the first one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql.insert import Insertion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import rdskit
    from rdskit.kernel.ports import Batch, Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)

TABLES = (
    "create table codes (id int primary key, code varchar(400), n int, d decimal(20,4), f double precision, t {})",
    (
        "insert into codes values (1, 'abc', 7, 1.1, 1.5, '2026-01-02 03:04:05'), (2, '7', 1, 7, 7, '2026-01-02'), "
        "(3, '0007', 0, 0, 0, null), (4, 'unknown', -3, -3, -3, null)"
    ),
    "create table held (code varchar(400), n bigint, d decimal(40,10), f double precision, t {})",
)
#: With one parameter, which PostgreSQL gives a type by its place, and the others by its argument.
TEXTS = (
    "select id from codes where code = ? order by id",
    "select id from codes where n = ? order by id",
    "select id from codes where d = ? order by id",
    "select id from codes where f = ? order by id",
    "select id from codes where t = ? order by id",
    "select n + ? from codes order by id",
    "select coalesce(?, code) from codes order by id",
    "select case when n > ? then 'more' else 'less' end from codes order by id",
    "insert into held (code) values (?)",
    "insert into held (n) values (?)",
    "insert into held (d) values (?)",
    "insert into held (f) values (?)",
    "insert into held (t) values (?)",
    "update codes set code = ? where id = 1",
)
#: These give a parameter no type on PostgreSQL.
FAMILY_TEXTS = (
    "select ?",
    "select ? + 1",
    "select coalesce(?, 5)",
    "select concat(?, '!')",
    "select hex(?)",
    "select ? = code from codes order by id",
    "select greatest(?, n) from codes order by id",
    "select ? union select code from codes order by 1",
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1) | st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False) | st.sampled_from([1.5, -0.0, 7.0]),
    st.decimals(-(10**9), 10**9, places=6) | st.sampled_from([Decimal(7), Decimal("1.10")]),
    st.sampled_from(["7", "unknown", "0123", "-5", "99999999999999999999", "1.5", "", "2026-01-02", "abc", "x" * 300]),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5),
    st.binary(max_size=3) | st.just(b"7"),
    st.dates(date(1000, 1, 1)) | st.just(date(2026, 1, 2)),
    st.datetimes(datetime(1000, 1, 1)) | st.just(datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001 - without a zone on purpose
    st.timedeltas(timedelta(hours=-838), timedelta(hours=838)),
    st.times(),
)


async def answer(connection: Connection, text: str, args: Sequence[Any]) -> str:
    """Return what a statement gives, and what it leaves in the tables that it may write; undo it."""
    await connection.control("begin", 5.0)
    try:
        rows = await connection.fetch_all(text, args, 5.0)
        if not text.startswith("select"):
            for table in ("held", "codes"):
                rows = [*rows, *await connection.fetch_all(f"select * from {table}", (), 5.0)]
        return repr(list(map(tuple, rows)))
    except DriverError as error:
        return repr((error.failure, type(error.public), getattr(error.public, "sqlstate", None)))
    finally:
        await connection.control("rollback", 5.0)


@pytest.fixture
async def tables(engine: Engine, connection: Connection) -> None:
    for text in TABLES:
        await connection.execute(text.format(engine.pick("timestamp", "datetime(6)")), (), 5.0)


async def compare_drawn(engine: Engine, connection: Connection, data: Any) -> None:
    """Run a statement with several arguments on one connection, and with the last of them on a fresh one as well."""
    text = data.draw(st.sampled_from(TEXTS if engine.is_postgres else (*TEXTS, *FAMILY_TEXTS)))
    lists = data.draw(st.lists(st.tuples(VALUES), min_size=2, max_size=3))
    used = [await answer(connection, engine.text(text), args) for args in lists][-1]
    fresh = await engine.driver.connect(engine.options, engine.login)
    try:
        assert used == await answer(fresh, engine.text(text), lists[-1])
    finally:
        await fresh.close(2.0)


@pytest.mark.usefixtures("tables")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_a_call_is_like_the_first_one_with_its_text(engine: Engine, connection: Connection, data: Any) -> None:
    await compare_drawn(engine, connection, data)


@pytest.mark.usefixtures("tables")
@pytest.mark.soak
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.timeout(900)
async def test_many_calls_are_like_the_first_one_with_their_text(
    engine: Engine, connection: Connection, data: Any
) -> None:
    await compare_drawn(engine, connection, data)


@pytest.mark.usefixtures("tables")
async def test_a_number_before_a_text_changes_nothing(engine: Engine, db: rdskit.Database) -> None:
    """MySQL takes the text for the number 0 then, which every code without digits is equal to."""
    if engine.is_postgres:
        return
    async with db.transaction() as tx:  # on one connection
        select = "select id from codes where code = :c"
        assert [row.id for row in await tx.fetch_all(select, c=7)] == [2, 3]
        assert await tx.fetch_all(select, c="unknown else") == []
        insert = "insert into held (code) values (:c)"
        for code in (5, "0123", b"045", Decimal("1.50"), None, "unknown"):
            await tx.execute(insert, c=code)
        codes = [row.code for row in await tx.fetch_all("select code from held")]
        assert codes == ["5", "0123", "045", "1.50", None, "unknown"]


class Rows:
    """Batches as the client gives them, each as large as a test wants."""

    def __init__(self, *portions: Batch) -> None:
        self._left = list(portions)

    def __aiter__(self) -> Rows:
        return self

    async def __anext__(self) -> Batch:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    def at_hand(self) -> Iterator[Batch]:
        left, self._left = self._left, []
        return iter(left)


@pytest.mark.usefixtures("tables")
async def test_many_rows_are_stored_like_each_of_them_alone(engine: Engine, connection: Connection) -> None:
    if engine.is_postgres:  # it takes no numbers for texts
        return
    values = [5, "0123", None, "unknown", 7, None, Decimal("1.50"), "x", b"y", 2.5, "abc", None, None, "00", True, "no"]
    insertion = Insertion("held", ("code", "n"))
    portions: list[list[tuple[object, int | None]]] = [[(value, number)] for number, value in enumerate(values)]
    portions += [[(a, 100 + i), (b, None)] for i, (a, b) in enumerate(zip(values, reversed(values), strict=True))]
    for portion in portions:
        await connection.insert_many(insertion, Rows(portion))
    select = "select code, n from held order by n is null, n, code"
    alone = [tuple(row) for row in await connection.fetch_all(select, (), 5.0)]
    await connection.execute("delete from held", (), 5.0)
    await connection.insert_many(insertion, Rows(*portions))
    assert [tuple(row) for row in await connection.fetch_all(select, (), 5.0)] == alone
    assert ("0123", 1) in alone
    await connection.execute("delete from held", (), 5.0)
    await connection.execute_many("insert into held (code, n) values (?, ?)", Rows(*portions))
    assert [tuple(row) for row in await connection.fetch_all(select, (), 5.0)] == alone


async def test_a_statement_belongs_to_the_session_that_it_runs_in(engine: Engine, connection: Connection) -> None:
    """The default database, the lexical modes and the character set of the moment, not those of its first run."""
    if engine.is_postgres:
        return

    async def value(text: str) -> Any:
        row = await connection.fetch_one(text, (), 5.0)
        return row and row[0]

    name = engine.database.name
    await connection.execute("create table here (id int)", (), 5.0)
    count = "select count(*) from information_schema.tables where table_schema = database()"
    assert await value(count) == 1
    assert await value('select "id" from here') is None
    same = "select 'a' = 'A'"
    assert await value(same) == 1
    await connection.execute("insert into here values (1)", (), 5.0)
    await connection.execute("set sql_mode = 'ANSI_QUOTES'", (), 5.0)
    assert await value('select "id" from here') == 1
    await connection.execute("/* c */ set names utf8mb4 collate utf8mb4_bin", (), 5.0)
    assert await value(same) == 0
    await connection.execute("use information_schema", (), 5.0)
    assert await value("select count(*) from tables where table_schema = 'nope'") == 0
    assert await value(count) > 1
    await connection.execute(f"use `{name}`", (), 5.0)
    assert await value(count) == 1


async def test_a_user_variable_has_the_type_of_its_last_value(engine: Engine, connection: Connection) -> None:
    if engine.is_postgres:
        return
    for value in (7, "hello", Decimal("1.25"), None, 2.5):
        await connection.execute("select ? into @v", [value], 5.0)
        for _ in range(2):
            row = await connection.fetch_one("select @v", (), 5.0)
            assert row is not None
            assert row[0] == value
    for value, text in ((1, "1"), ("x", "'x'")):
        await connection.execute(f"set @v = {text}", (), 5.0)
        row = await connection.fetch_one("select @v", (), 5.0)
        assert row is not None
        assert row[0] == value
