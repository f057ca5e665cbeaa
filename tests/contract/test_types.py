"""Values survive the way to the server and back, on every engine."""

from __future__ import annotations

import enum
import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdskit
import rdskit.sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)

INDIA = timezone(timedelta(hours=5, minutes=30))
MOMENT = datetime(2026, 3, 29, 1, 30, 15, 123456, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    RED = "red"


# name: (type on PostgreSQL, MariaDB, MySQL), value, what comes back (PostgreSQL, MariaDB, MySQL) where it differs
SAME: Any = object()
CASES: dict[str, tuple[tuple[str, str, str], Any, tuple[Any, Any, Any]]] = {
    "null": (("text", "text", "text"), None, (SAME, SAME, SAME)),
    "int": (("bigint", "bigint", "bigint"), -(2**63), (SAME, SAME, SAME)),
    "unsigned": (("numeric(20)", "bigint unsigned", "bigint unsigned"), 2**64 - 1, (Decimal(2**64 - 1), SAME, SAME)),
    "unsigned int": (("bigint", "int unsigned", "int unsigned"), 2**32 - 1, (SAME, SAME, SAME)),
    "bool": (("boolean", "boolean", "boolean"), True, (SAME, 1, 1)),
    "float": (("float8", "double", "double"), 0.1, (SAME, SAME, SAME)),
    "decimal": (
        ("numeric(30,10)",) + ("decimal(30,10)",) * 2,
        Decimal("-12345678901234567890.0123456789"),
        (SAME,) * 3,
    ),
    "text": (("text", "text", "text"), "naïve 🐘🐬 \\ ' \" % _ \n", (SAME, SAME, SAME)),
    "empty text": (("text", "text", "text"), "", (SAME, SAME, SAME)),
    "bytes": (("bytea", "blob", "blob"), bytes(range(256)), (SAME, SAME, SAME)),
    "date": (("date", "date", "date"), date(2026, 2, 28), (SAME, SAME, SAME)),
    "datetime": (("timestamp", "datetime(6)", "datetime(6)"), MOMENT.replace(tzinfo=None), (SAME, SAME, SAME)),
    "moment": (("timestamptz", "timestamp(6) null", "timestamp(6) null"), MOMENT, (SAME, SAME, SAME)),
    "moment elsewhere": (
        ("timestamptz", "timestamp(6) null", "timestamp(6) null"),
        MOMENT.astimezone(INDIA),
        (SAME, SAME, SAME),
    ),
    "interval": (
        ("interval", "time(6)", "time(6)"),
        -timedelta(hours=30, minutes=2, seconds=3, microseconds=4),
        (SAME, SAME, SAME),
    ),
    "time": (
        ("time", "time(6)", "time(6)"),
        time(23, 59, 58, 7),
        (
            SAME,
            timedelta(hours=23, minutes=59, seconds=58, microseconds=7),
            timedelta(hours=23, minutes=59, seconds=58, microseconds=7),
        ),
    ),
    "uuid": (("uuid", "uuid", "char(36)"), ID, (SAME, str(ID), str(ID))),
    "json object": (
        ("jsonb", "json", "json"),
        {"a": [1, 2.5, None, True, "🐘"], "b": {}},
        (SAME, '{"a": [1, 2.5, null, true, "\\ud83d\\udc18"], "b": {}}', SAME),
    ),
    "json list": (("json", "json", "json"), [1, [2]], (SAME, "[1, [2]]", SAME)),
    "json text": (("json", "json", "json"), '{"a": 1}', ({"a": 1}, SAME, {"a": 1})),
    "enum": (("text", "enum('red','green')", "enum('red','green')"), "red", (SAME, SAME, SAME)),
    "set": (("text", "set('a','b','c')", "set('a','b','c')"), "a,c", (SAME, SAME, SAME)),
    "bit": (("int", "bit(10)", "bit(10)"), 513, (SAME, SAME, SAME)),
    "year": (("int", "year", "year"), 2026, (SAME, SAME, SAME)),
    "ints": (("int[]", "json", "json"), [1, 2, 3], (SAME, "[1, 2, 3]", SAME)),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_value_comes_back_as_it_went(engine: Engine, db: rdskit.Database, case: str) -> None:
    types, value, answers = CASES[case]
    kind, answer = engine.pick((types[0], answers[0]), (types[1], answers[1]), (types[2], answers[2]))
    wanted = value if answer is SAME else answer
    await db.execute(f"create table held (id int primary key, v {kind})")
    await db.execute("insert into held values (1, :v)", v=value)
    stored = [await db.fetch_value("select v from held where id = :id", id=1) for _ in range(2)]
    assert stored == [wanted] * 2
    assert isinstance(stored[0], type(wanted))
    if isinstance(value, datetime) and value.tzinfo is not None:
        assert stored[0].utcoffset() == timedelta(0)


async def test_values_of_python_types_without_a_column_of_their_own(engine: Engine, db: rdskit.Database) -> None:
    if engine.is_postgres:  # asyncpg knows the column's type, and takes its values only
        with pytest.raises(rdskit.QueryError, match="expected str"):
            await db.fetch_value("select :v::text", v=Colour.RED)
        return
    assert await db.fetch_value("select :v", v=Colour.RED) == "red"
    assert await db.fetch_value("select hex(:v)", v=memoryview(b"ab")) == "6162"
    with pytest.raises(rdskit.StatementError, match="type object"):
        await db.fetch_value("select :v", v=object())
    with pytest.raises(rdskit.StatementError, match="TIME has none"):
        await db.fetch_value("select :v", v=time(1, 2, tzinfo=UTC))


async def test_what_does_not_fit_is_an_error_and_never_cut(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table narrow (s varchar(3), n smallint, d date)")
    for column, value in (("s", "four"), ("n", 40000)):
        with pytest.raises(rdskit.QueryError):
            await db.execute(f"insert into narrow ({column}) values (:v)", v=value)
    with pytest.raises(rdskit.QueryError):
        await db.execute("insert into narrow (d) values (" + engine.pick("'2026-02-30'", "'2026-02-30'") + ")")
    assert await db.fetch_value("select count(*) from narrow") == 0


async def test_zero_dates_cannot_be_written_and_are_read_as_none(engine: Engine, db: rdskit.Database) -> None:
    await db.execute("create table dates (id int primary key, d date, t " + engine.pick("timestamp", "datetime") + ")")
    with pytest.raises(rdskit.QueryError):
        await db.execute("insert into dates values (1, '0000-00-00', null)")
    if engine.is_postgres:
        return
    async with db.transaction() as tx:  # as another program may have written them
        await tx.execute("set sql_mode = ''")
        await tx.execute("insert into dates values (1, '0000-00-00', '0000-00-00 00:00:00')")
        await tx.execute("insert into dates values (2, '2026-00-10', '2026-05-00 00:00:00')")
    assert [tuple(row) for row in await db.fetch_all("select d, t from dates order by id")] == [(None, None)] * 2
    with pytest.raises(rdskit.QueryError):  # the session was reset, its mode with it
        await db.execute("insert into dates values (3, '0000-00-00', null)")


async def test_a_list_binds_in_each_place(db: rdskit.Database) -> None:
    await db.execute("create table words (w varchar(20) primary key)")
    for word in ("a", "b", "c'c", "d,e"):
        await db.execute("insert into words values (:w)", w=word)
    select = "select w from words where w {} :ws order by w"
    for given_list in (["c'c", "d,e"], ("c'c", "d,e"), {"c'c", "d,e"}):
        assert [row.w for row in await db.fetch_all(select.format("in"), ws=list(given_list))] == ["c'c", "d,e"]
    assert [row.w for row in await db.fetch_all(select.format("not in"), ws=["a", "b"])] == ["c'c", "d,e"]
    assert await db.fetch_all(select.format("in"), ws=[]) == []
    assert len(await db.fetch_all(select.format("not in"), ws=[])) == 4


# -- any value ---------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31), timezones=st.sampled_from([UTC, INDIA]))  # noqa: DTZ001 - hypothesis wants bounds without a zone
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
).filter(lambda document: isinstance(document, dict | list))
ANY: dict[str, tuple[tuple[str, str], st.SearchStrategy[Any]]] = {
    "big": (("bigint", "bigint"), st.integers(-(2**63), 2**63 - 1)),
    "number": (("float8", "double"), st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)),
    "amount": (("numeric(30,6)", "decimal(30,6)"), st.decimals(-(10**20), 10**20, places=6)),
    "words": (("text", "text"), texts),
    "raw": (("bytea", "blob"), st.binary(max_size=60)),
    "day": (("date", "date"), st.dates(date(1000, 1, 1), date(9999, 12, 31))),
    "local": (("timestamp", "datetime(6)"), st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31))),  # noqa: DTZ001 - without a zone on purpose
    "moment": (("timestamptz", "timestamp(6) null"), moments),
    "span": (("interval", "time(6)"), st.timedeltas(timedelta(hours=-838), timedelta(hours=838))),
    "document": (("jsonb", "json"), documents),
}


@pytest.fixture
def keeper(engine: Engine) -> Iterator[rdskit.sync.Database]:
    """Yield one row that holds a value of each type; a facade, because hypothesis calls plain functions."""
    columns = ", ".join(f"{name} {engine.pick(*kinds)}" for name, (kinds, _) in ANY.items())
    with rdskit.sync.connect(engine.database.url, tls="off", min_size=1, max_size=1) as db:
        db.execute(f"create table kept (id int primary key, {columns})")
        db.execute("insert into kept (id) values (1)")
        yield db


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.fixed_dictionaries({name: st.none() | strategy for name, (_, strategy) in ANY.items()}))
def test_any_value_comes_back_as_it_went(engine: Engine, keeper: rdskit.sync.Database, values: dict[str, Any]) -> None:
    assignments = ", ".join(f"{name} = :{name}" for name in ANY)
    assert keeper.execute(f"update kept set {assignments} where id = 1", values) == 1
    row = keeper.fetch_one(f"select {', '.join(ANY)} from kept where id = 1")
    assert row is not None
    stored = dict(row.items())
    if engine.name == "mariadb" and stored["document"] is not None:
        stored["document"] = json.loads(stored["document"])
    if values["number"] is not None:
        assert math.isclose(stored["number"], values["number"], rel_tol=0, abs_tol=0)
    assert stored == values
