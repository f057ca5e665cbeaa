"""The pipelined wire of PostgreSQL beside asyncpg: the same values, the same refusals, and no answer for another."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.drivers.postgres import AsyncpgDriver
from rdskit.kernel.codecs import Codec
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.pipelining import Elsewhere, Read
from rdskit.kernel.ports import ConnectOptions, DriverError, Login
from rdskit.kernel.values import PgInterval
from tests.contract.columns_postgres import COLUMNS
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rdskit.drivers.postgres.wire import PostgresPipeline
    from rdskit.kernel.ports import Connection
    from tests.plugins.postgres import TestDatabase

#: Types that the wire leaves to the pooled path on purpose; all others of the table must have a codec.
POOLED = {
    *("jsonpath", "point", "line", "lseg", "box", "path", "polygon", "circle", "aclitem", "refcursor", "tid"),
    *("pg_snapshot", "txid_snapshot", "int2vector", "oidvector", "gtsvector", "hstore", "citext", "cube"),
    *("ltree", "lquery", "ltxtquery", "mood", "stay", "price"),
}


def _options(database: TestDatabase, codecs: tuple[Any, ...] = ()) -> tuple[ConnectOptions, Login]:
    endpoint = Endpoint(database.host, database.port)
    options = ConnectOptions(endpoint, database.name, None, 5.0, "wire", codecs=codecs)
    return options, Login(database.user, database.password)


class Both:
    """A pooled and a pipelined connection to one database."""

    def __init__(self, pooled: Connection, pipeline: PostgresPipeline) -> None:
        self.pooled = pooled
        self.pipeline = pipeline

    def send(self, text: str, args: Sequence[Any], *, one: bool = False) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.pipeline.send(Read(text, args, answer, math.inf, one=one)):
            answer.set_exception(Elsewhere("an argument"))
        return answer

    async def piped(self, text: str, args: Sequence[Any] = (), *, one: bool = False) -> Any:
        """Return what the pipelined connection answers; None where it leaves the statement to the pool."""
        if not self.pipeline.knows(text) and not await self.pipeline.prepare(text):
            return None
        try:
            return await self.send(text, args, one=one)
        except Elsewhere:
            return None

    async def outcome(self, text: str, args: Sequence[Any], *, pooled: bool) -> str | None:
        """Return the answer or the error as text; None where the pipeline leaves the statement to the pool."""
        try:
            rows = await (self.pooled.fetch_all(text, args, None) if pooled else self.piped(text, args))
        except DriverError as error:
            return f"{error.failure} {error.public!r}"
        return None if rows is None else str([_shown(tuple(row)) for row in rows])


def _shown(value: Any) -> str:
    inner = ", ".join(map(_shown, value)) if isinstance(value, list | tuple) else repr(value)
    return f"{type(value).__module__}.{type(value).__name__}({inner})"


@pytest.fixture
async def both(database: TestDatabase) -> AsyncIterator[Both]:
    driver, (options, login) = AsyncpgDriver(), _options(database)
    pooled, pipeline = await driver.connect(options, login), await driver.pipeline(options, login)
    yield Both(pooled, pipeline)
    await pipeline.close(2.0)
    await pooled.close(2.0)


async def test_every_column_type_has_the_value_of_the_pooled_path(both: Both) -> None:
    left_out: set[str] = set()
    for column in COLUMNS:
        for statement in column.setup:
            await both.pooled.execute(statement, (), None)
        for literal in column.literals:
            text = f"select {literal} as v, null::int as n, 7 as last"
            mine = await both.outcome(text, (), pooled=False)
            if mine is None:
                left_out.add(column.type)
            else:
                assert mine == await both.outcome(text, (), pooled=True), column.type
    plain = {kind for kind in left_out if not kind.endswith("[]") and "range" not in kind and "pg_" not in kind}
    assert plain <= POOLED
    assert left_out.isdisjoint({"text[]", "date[]", "numeric[]", "interval[]"})


async def test_rows_are_like_those_of_the_pooled_path(both: Both) -> None:
    text = "select 1 as id, 'x' as count, 2 as keys, 3 as _id, null as nothing, 4 as id"
    (mine,), (theirs,) = await both.piped(text), await both.pooled.fetch_all(text, (), None)
    assert (repr(mine), tuple(mine), len(mine)) == (repr(theirs), tuple(theirs), len(theirs))
    assert mine == theirs
    assert hash(mine) == hash(theirs)
    assert (list(mine.keys()), list(mine.values())) == (list(theirs.keys()), list(theirs.values()))
    assert (mine.count, mine["keys"], mine._id, mine["id"]) == ("x", 2, 3, theirs["id"])
    assert (mine.get("nope", 5), "id" in mine, "x" in mine) == (5, True, False)
    assert mine[1:3] == theirs[1:3]
    with pytest.raises(AttributeError, match="has no column 'nope'; its columns are: id, count"):
        mine.nope  # noqa: B018
    assert await both.piped("select 1 where false", one=True) is None
    assert tuple(await both.piped("select 1 union select 2 order by 1", one=True)) == (1,)
    assert await both.piped("select 1 where false") == []


NAIVE = dt.datetime(2026, 1, 1, 1, 2, 3, 4)  # noqa: DTZ001 - of a column without a zone
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "bool": (True, False, 1, "true"),
    "int2": (0, -32768, 32767, 32768, True, 2.0, 2.5, decimal.Decimal(7)),
    "int4": (0, -(2**31), 2**31 - 1, 2**31, "7"),
    "int8": (0, -(2**63), 2**63 - 1, 2**63, 1e3),
    "float8": (0.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 1, decimal.Decimal("1.5"), "1"),
    "float4": (0.1, 1, 1e39),
    "numeric": (
        *(decimal.Decimal(text) for text in ("0", "-0.00", "1.50", "1E+5", "1e-20", "NaN", "sNaN", "Infinity")),
        *(decimal.Decimal("12345678901234567890.123456789"), 7, 0.1, "1.5", decimal.Decimal("1e200000")),
    ),
    "text": ("", "naïve 🐘", "a\x00b", "\ud800", 7, b"x"),
    "varchar": ("x" * 100,),
    "bytea": (b"", b"\x00\xff", bytearray(b"x"), "x"),
    "uuid": (uuid.UUID(int=7), str(uuid.UUID(int=7)), "no uuid"),
    "date": (dt.date(2026, 2, 28), dt.date.min, dt.date.max, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01"),
    "time": (dt.time(1, 2, 3, 4), dt.time(1, tzinfo=dt.UTC)),
    "timetz": (dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))), dt.time(1)),
    "timestamp": (NAIVE, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 1)),
    "timestamptz": (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), NAIVE),
    "interval": (dt.timedelta(seconds=-1), dt.timedelta(400, 5, 6), PgInterval(1, 2, 3)),
    "json": ({"a": [1, None]}, [1], "[1]", 7, None, "no json"),
    "jsonb": ({"a": [1, None]}, [1], '"x"', {1}),
    "int8[]": ([], [1, 2], [1, None], [[1], [2]], (1, 2), [2**63], ["x"]),
    "text[]": ([], ["a", ""], ["a", None], "abc"),
    "timestamptz[]": ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)],),
    "point": ((1, 2),),
}


@pytest.mark.parametrize("kind", sorted(ARGUMENTS))
async def test_arguments_are_sent_as_the_pooled_path_sends_them(both: Both, kind: str) -> None:
    text = f"select $1::{kind} as v, pg_typeof($1)::text as of, $1::{kind}::text as shown"
    for value in (*ARGUMENTS[kind], None):
        mine = await both.outcome(text, [value], pooled=False)
        assert mine in {None, await both.outcome(text, [value], pooled=True)}, value
        assert not both.pipeline.broken
    common = await both.outcome(text, [ARGUMENTS[kind][0]], pooled=False)
    assert (common is None) == (kind in {"float4", "point"})


async def test_random_statements_have_the_same_answers(both: Both) -> None:
    chance = random.Random(22)  # seeded, so that a failing run can be repeated
    kinds = [kind for kind in ARGUMENTS if kind not in {"float4", "point"}]
    for _ in range(150):
        chosen = chance.choices(kinds, k=chance.randint(1, 6))
        args = [chance.choice([*ARGUMENTS[kind], None]) for kind in chosen]
        columns = ", ".join(f"${n}::{kind} as c{n}" for n, kind in enumerate(chosen, 1))
        text = f"select {columns} from generate_series(1, {chance.randint(0, 3)})"
        mine = await both.outcome(text, args, pooled=False)
        assert mine in {None, await both.outcome(text, args, pooled=True)}, (text, args)


async def test_an_error_stays_with_its_read(both: Both) -> None:
    text = "select 12 / $1::int as v"
    assert await both.pipeline.prepare(text)
    answers = [both.send(text, [number % 3], one=True) for number in range(99)]
    for number, answer in enumerate(answers):
        if number % 3:
            assert (await answer).v == 12 // (number % 3)
        else:
            with pytest.raises(DriverError, match="division by zero") as told:
                await answer
            assert told.value.__cause__ is not None
    assert await both.outcome(text, [0], pooled=False) == await both.outcome(text, [0], pooled=True)


async def test_the_answer_of_a_cancelled_read_is_discarded(both: Both) -> None:
    text = "select $1::int as v"
    assert await both.pipeline.prepare(text)
    answers = [both.send(text, [number], one=True) for number in range(200)]
    for answer in answers[::3]:
        answer.cancel()
    for number, answer in enumerate(answers):
        if number % 3:
            assert (await answer).v == number


async def test_a_statement_that_is_out_of_date_goes_to_the_pool_and_is_prepared_again(both: Both) -> None:
    await both.pooled.execute("create table changed (a int)", (), None)
    await both.pooled.execute("insert into changed values (1)", (), None)
    text = "select * from changed"
    assert [tuple(row) for row in await both.piped(text)] == [(1,)]
    await both.pooled.execute("alter table changed add b text default 'x'", (), None)
    assert await both.piped(text) is None
    assert [tuple(row) for row in await both.piped(text)] == [(1, "x")]
    await both.pooled.execute("drop table changed", (), None)
    assert await both.piped(text) is None
    assert not both.pipeline.broken


async def test_statements_are_kept_up_to_a_limit(both: Both) -> None:
    for number in range(300):
        text = f"select {number} as v, $1::int as given"
        assert [tuple(row) for row in await both.piped(text, [number])] == [(number, number)]
    assert await both.piped("select count(*) <= 256 as few from pg_prepared_statements", one=True) == (True,)


async def test_codecs_of_the_application_are_used(database: TestDatabase) -> None:
    codecs = (("money", Codec(str, lambda text: ("money", text))), ("json", Codec(lambda _: "[7]", lambda _: "mine")))
    driver, (options, login) = AsyncpgDriver(), _options(database, codecs)
    both = Both(await driver.connect(options, login), await driver.pipeline(options, login))
    for text, args in (("select $1::money as v", ["1.50"]), ("select $1::json as v, $1::text as w", [[1]])):
        mine = await both.outcome(text, args, pooled=False)
        assert mine is not None
        assert mine == await both.outcome(text, args, pooled=True)
    await both.pipeline.close(2.0)
    await both.pooled.close(2.0)


async def test_a_lost_connection_returns_its_reads(both: Both) -> None:
    text = "select $1::int as v, pg_backend_pid() as pid"
    pid = (await both.piped(text, [0]))[0].pid
    ended = asyncio.Event()
    both.pipeline.watch(ended.set, lambda _: None)
    slow = "select count(*) from generate_series(1, $1::bigint)"
    assert await both.pipeline.prepare(slow)
    answers = [both.send(slow, [10**12]), *(both.send(text, [number]) for number in range(5))]
    await both.pooled.fetch_all("select pg_terminate_backend($1)", [pid], None)
    await ended.wait()
    assert both.pipeline.broken
    assert [read.future for read in both.pipeline.end()] == answers
    assert not await both.pipeline.prepare("select 1")


async def test_a_result_that_is_too_large_is_reported_before_it_is_read(both: Both) -> None:
    large: list[Read] = []
    both.pipeline.watch(lambda: None, large.append)
    text = "select repeat('x', 1000) as v from generate_series(1, 1000000)"
    assert await both.pipeline.prepare(text)
    answer = both.send(text, [])

    async def reported() -> bool:
        return bool(large)

    await eventually(reported)
    assert large[0].future is answer
    assert both.pipeline.end(cancel=True) == large[:1]
