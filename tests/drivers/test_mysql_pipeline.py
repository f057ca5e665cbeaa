"""Pipelined reads on MySQL and MariaDB: the values and refusals of the pooled path, and no answer for another."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.kernel.codecs import Codec
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.pipelining import Elsewhere, Read
from rdskit.kernel.ports import ConnectOptions, DriverError, Login
from tests.contract import columns_family
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rdskit.drivers.mysql.pipeline import MysqlPipeline
    from rdskit.kernel.ports import Connection
    from tests.plugins.mysql_family import FamilyDatabase

COLUMNS = {"mariadb": columns_family.MARIADB, "mysql": columns_family.MYSQL}
UNREADABLE = {"vector(3)"}  # by the pooled path too
ECHO = "select ? as v, 7 as last"


class Both:
    """A pooled and a pipelined connection to one database."""

    def __init__(self, name: str, pooled: Connection, pipeline: MysqlPipeline) -> None:
        self.name = name
        self.pooled = pooled
        self.pipeline = pipeline

    def send(self, text: str, args: Sequence[Any] = (), *, one: bool = False) -> asyncio.Future[Any] | None:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        return answer if self.pipeline.send(Read(text, args, answer, math.inf, one=one)) else None

    async def learned(self, text: str, args: Sequence[Any] = ()) -> bool:
        """Return whether a statement can be pipelined, when that has shown."""
        answer = self.send(text, args)
        if answer is None:

            async def at_rest() -> bool:
                return not self.pipeline.in_flight

            await eventually(at_rest)
            answer = self.send(text, args)
        if answer is not None:
            await asyncio.wait([answer])
            answer.exception()
        return answer is not None

    async def outcome(self, text: str, args: Sequence[Any], *, pooled: bool) -> str | None:
        """Return the answer or the error as text; None where the pipeline leaves the statement to the pool."""
        try:
            if pooled:
                rows = await self.pooled.fetch_all(text, args, None)
            elif not await self.learned(text, args):
                return None
            else:
                answer = self.send(text, args)
                if answer is None:  # the columns of its result have changed with the value
                    return None
                rows = await answer
        except Elsewhere:
            return None
        except DriverError as error:
            return f"{error.failure} {error.public!r}"
        return repr([[(type(value), value) for value in row] for row in rows])


@pytest.fixture(params=["mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> FamilyDatabase:
    found: FamilyDatabase = request.getfixturevalue(f"{request.param}_database")
    return found


def _options(target: FamilyDatabase, codecs: tuple[Any, ...] = ()) -> tuple[ConnectOptions, Login]:
    options = ConnectOptions(Endpoint(target.host, target.port), target.name, None, 5.0, "pipeline", codecs=codecs)
    return options, Login(target.user, target.password)


@pytest.fixture
async def both(target: FamilyDatabase, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    driver, (options, login) = AsyncmyDriver(), _options(target)
    pooled, pipeline = await driver.connect(options, login), await driver.pipeline(options, login)
    yield Both("mariadb" if "mariadb" in request.node.name else "mysql", pooled, pipeline)
    await pipeline.close(2.0)
    await pooled.close(2.0)


async def test_every_column_type_has_the_value_of_the_pooled_path(both: Both) -> None:
    for number, column in enumerate(COLUMNS[both.name]):
        await both.pooled.execute(f"create table t{number} (v {column.type}, n int)", (), None)
        for literal in column.literals:
            await both.pooled.execute(f"insert into t{number} (v) values ({literal})", (), None)
        text = f"select v, n, 7 as last from t{number}"
        mine = await both.outcome(text, (), pooled=False)
        if mine is None:
            assert column.type in UNREADABLE
        else:
            assert mine == await both.outcome(text, (), pooled=True), column.type


@pytest.mark.parametrize(
    "values",
    [
        (None, 0, -(2**63), 2**64 - 1, 2**64, True),
        (0.1, 1e300, math.nan, decimal.Decimal("1.50"), decimal.Decimal("NaN"), decimal.Decimal(10) ** 70),
        ("", "naïve 🐬", "\ud800", "x" * 40_000, b"", b"\x00\xff", bytearray(b"x"), uuid.UUID(int=7)),
        (dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 1, 2, 3, 4), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),  # noqa: DTZ001
        (dt.timedelta(seconds=-1), dt.timedelta(days=40), dt.time(1, 2, 3), dt.time(1, tzinfo=dt.UTC)),
        ({"a": [1]}, [1], {1}, object()),
    ],
    ids=["numbers", "fractions", "texts", "moments", "spans", "documents"],
)
async def test_arguments_are_sent_as_the_pooled_path_sends_them(both: Both, values: Sequence[Any]) -> None:
    assert await both.outcome(ECHO, [values[0]], pooled=False) is not None
    for value in values:
        mine = await both.outcome(ECHO, [value], pooled=False)
        assert mine in {None, await both.outcome(ECHO, [value], pooled=True)}, value
        assert not both.pipeline.broken


async def test_a_result_that_always_changes_its_shape_is_left_to_the_pool(both: Both) -> None:
    for length in range(1, 8):
        await both.learned(ECHO, ["x" * length])
    answer = both.send(ECHO, ["x" * 7])
    if both.name == "mariadb":
        assert answer is None
        assert not both.pipeline.in_flight, "it is not learned again"
    else:  # which describes a parameter of any length alike
        assert answer is not None
        await answer


async def test_an_error_stays_with_its_read(both: Both) -> None:
    text = "select cast(? as unsigned) - 1 as v"  # below zero is an error
    assert await both.learned(text, [1])
    answers = [both.send(text, [number % 3], one=True) for number in range(99)]
    for number, answer in enumerate(answers):
        assert answer is not None
        if number % 3:
            assert (await answer).v == number % 3 - 1
        else:
            with pytest.raises(DriverError, match="out of range") as told:
                await answer
            assert told.value.__cause__ is not None
    assert await both.outcome(text, [0], pooled=False) == await both.outcome(text, [0], pooled=True)


async def test_the_answer_of_a_cancelled_read_is_discarded(both: Both) -> None:
    assert await both.learned(ECHO, [0])
    answers = [both.send(ECHO, [number], one=True) for number in range(200)]
    for answer in answers[::3]:
        assert answer is not None
        answer.cancel()
    for number, answer in enumerate(answers):
        if number % 3:
            assert answer is not None
            assert (await answer).v == number


async def test_reads_wait_while_a_statement_is_learned(both: Both) -> None:
    assert await both.learned(ECHO, [0])
    assert both.send("select ? + 1 as other", [1]) is None, "it is learned now"
    answers = [both.send(ECHO, [number], one=True) for number in range(20)]
    assert [(await answer).v for answer in answers if answer is not None] == list(range(20))
    assert await both.learned("select ? + 1 as other", [1])


async def test_what_the_pooled_path_keeps_no_statement_of_is_left_to_it(both: Both) -> None:
    await both.pooled.execute("create table numbers (n int)", (), None)
    assert not await both.learned("select @a as v")
    assert not await both.learned("select n from absent")
    assert not both.pipeline.broken


async def test_a_changed_table_is_read_as_it_is(both: Both) -> None:
    await both.pooled.execute("create table changed (a int)", (), None)
    await both.pooled.execute("insert into changed values (1)", (), None)
    text = "select * from changed"
    assert await both.learned(text)
    await both.pooled.execute("alter table changed add b varchar(20) default 'x'", (), None)
    answer = both.send(text)
    assert answer is not None
    with pytest.raises(Elsewhere):
        await answer
    assert await both.learned(text)
    assert await both.outcome(text, (), pooled=False) == await both.outcome(text, (), pooled=True)


async def test_codecs_of_the_application_are_used(target: FamilyDatabase) -> None:
    driver, (options, login) = AsyncmyDriver(), _options(target, (("decimal", Codec(str, lambda text: ("d", text))),))
    both = Both("", await driver.connect(options, login), await driver.pipeline(options, login))
    text = "select cast(1.50 as decimal(5,2)) as v"
    mine = await both.outcome(text, (), pooled=False)
    assert mine is not None
    assert mine == await both.outcome(text, (), pooled=True)
    await both.pipeline.close(2.0)
    await both.pooled.close(2.0)


async def test_a_lost_connection_returns_its_reads(both: Both) -> None:
    slow = "select sleep(?) as v, connection_id() as id"
    assert await both.learned(slow, [0])
    answer = both.send(slow, [0], one=True)
    assert answer is not None
    number = (await answer).id
    ended = asyncio.Event()
    both.pipeline.watch(ended.set, lambda _: None)
    answers = [both.send(slow, [60]), *(both.send(slow, [0]) for _ in range(5))]
    await both.pooled.execute(f"kill {number}", (), None)
    await ended.wait()
    assert both.pipeline.broken
    assert [read.future for read in both.pipeline.end()] == answers


async def test_ending_kills_what_runs_and_a_large_result_is_reported(both: Both) -> None:
    large: list[Read] = []
    left: list[Read] = []

    def end(read: Read) -> None:
        large.append(read)
        left.extend(both.pipeline.end(cancel=True))

    both.pipeline.watch(lambda: None, end)
    text = "select repeat('x', ?) as v"
    assert await both.learned(text, [1])
    answer = both.send(text, [1_000_000])

    async def reported() -> bool:
        return bool(large)

    await eventually(reported)
    assert large[0].future is answer
    assert left == large
    await both.pipeline.close(5.0)

    async def gone() -> bool:
        count = "select count(*) from information_schema.processlist where db = database()"
        row = await both.pooled.fetch_one(count, (), None)
        return row is not None and row[0] == 1

    await eventually(gone)
