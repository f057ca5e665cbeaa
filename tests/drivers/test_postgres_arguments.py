"""Arguments for PostgreSQL are sent exactly or refused, by every way that leads there."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.postgres import TestDatabase

INDIA = timezone(timedelta(hours=5, minutes=30))
LOCAL = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - without a zone on purpose
MOMENT = LOCAL.replace(tzinfo=UTC)


class Colour(Enum):
    RED = "red"


# type, argument, what is stored
TAKEN: list[tuple[str, Any, Any]] = [
    ("int", 2.0, 2),
    ("int", Decimal("3.00"), 3),
    ("bigint", True, 1),
    ("numeric", 0.1, Decimal("0.1")),
    ("numeric", "1.50", Decimal("1.50")),
    ("numeric", float("inf"), Decimal("Infinity")),
    ("float8", Decimal("0.1"), 0.1),
    ("float8", 7, 7.0),
    ("timestamptz", LOCAL, MOMENT),
    ("timestamptz", date(2026, 7, 1), datetime(2026, 7, 1, tzinfo=UTC)),
    ("timestamptz", MOMENT.astimezone(INDIA), MOMENT),
    ("timestamptz", datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    ("timestamp", MOMENT.astimezone(INDIA), LOCAL),
    ("timestamp", date(2026, 7, 1), datetime(2026, 7, 1)),  # noqa: DTZ001 - same
    ("date", date.max, date.max),
    ("timetz", time(1, 2, 3), time(1, 2, 3, tzinfo=UTC)),
    ("int[]", [1.0, None], [1, None]),
    ("int4range", (1.0, 5), asyncpg.Range(1, 6)),
    ("pair", {"n": 2.0, "d": date(2026, 7, 1)}, (2, date(2026, 7, 1))),
    ("date", rdskit.PgDate(-1_000_000), rdskit.PgDate(-1_000_000)),
]
REFUSED: list[tuple[str, Any]] = [
    ("int", 2.6),
    ("int", Decimal("2.6")),
    ("int", float("nan")),
    ("int", "7"),
    ("int", 2**31),
    ("smallint", b"1"),
    ("numeric", "seven"),
    ("numeric", Decimal("1e140000")),
    ("numeric", b"1"),
    ("float8", "1"),
    ("float8", Decimal("1e400")),
    ("float8", 10**400),
    ("boolean", 1),
    ("text", 7),
    ("text", Colour.RED),
    ("bytea", "text"),
    ("uuid", 7),
    ("date", MOMENT),
    ("time", LOCAL),
    ("time", time(1, tzinfo=UTC)),
    ("timetz", time(1, tzinfo=ZoneInfo("Europe/Paris"))),
    ("timestamptz", "2026-07-01"),
    ("timestamptz", 0),
    ("interval", 5),
    ("int[]", [1, 2.5]),
    ("int4range", (1.5, 5)),
    ("int4multirange", [(1.5, 5)]),
    ("pair", (2.5, None)),
    ("pair", (1, MOMENT)),
    ("pair[]", [(2.5, None)]),
    ("small", 2.5),
]


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as opened:
        await opened.execute("create type pair as (n int, d date)")
        await opened.execute("create domain small as int")
        yield opened


async def by_statement(db: rdskit.Database, table: str, value: Any) -> None:
    await db.execute(f"insert into {table} (v) values (:v)", v=value)


async def by_many(db: rdskit.Database, table: str, value: Any) -> None:
    await db.execute_many(f"insert into {table} (v) values (:v)", [{"v": None}, {"v": value}])


async def by_few_rows(db: rdskit.Database, table: str, value: Any) -> None:
    await db.insert_many(table, [{"v": None}, {"v": value}])


async def by_copy(db: rdskit.Database, table: str, value: Any) -> None:
    await db.insert_many(table, [{"v": None}] * 99 + [{"v": value}])


async def by_stream(db: rdskit.Database, table: str, value: Any) -> None:
    async with db.transaction() as tx:
        async for _ in tx.stream(f"insert into {table} (v) values (:v) returning v", v=value):
            pass


WAYS = (by_statement, by_many, by_few_rows, by_copy, by_stream)


async def test_what_is_taken_is_stored_exactly(db: rdskit.Database) -> None:
    for number, (kind, value, stored) in enumerate(TAKEN):
        table = f"held_{number}"
        await db.execute(f"create table {table} (v {kind})")
        for way in WAYS:
            await way(db, table, value)
        found = {repr(row.v) for row in await db.fetch_all(f"select v from {table} where v is not null")}
        wanted = asyncpg.Record if kind == "pair" else type(stored)
        assert await db.fetch_value(f"select count(*) from {table} where v is not null") == len(WAYS), kind
        got = await db.fetch_value(f"select v from {table} where v is not null")
        assert (got, len(found)) == (stored, 1), (kind, value)
        assert isinstance(got, wanted)


@pytest.mark.parametrize("way", WAYS)
async def test_what_does_not_fit_is_refused_by_every_way(db: rdskit.Database, way: Any) -> None:
    for number, (kind, value) in enumerate(REFUSED):
        table = f"held_{number}"
        await db.execute(f"create table {table} (v {kind})")
        with pytest.raises(rdskit.StatementError, match="cannot be sent") as refused:
            await way(db, table, value)
        shown = repr(value)
        assert len(shown) < 4 or shown not in str(refused.value), "an error repeats no values"
        assert await db.fetch_value(f"select count(*) from {table}") == 0, (kind, value)


async def test_a_row_that_does_not_fit_is_numbered_alike(db: rdskit.Database) -> None:
    await db.execute("create table held (n int, t text)")
    for column, wrong in (("n", 2.5), ("t", 7)):
        for number in (10, 3000):
            rows: list[dict[str, Any]] = [{"n": 1, "t": "x"} for _ in range(number)]
            rows[-2][column] = wrong
            conflict: Any
            for conflict in (None, "ignore"):
                with pytest.raises(rdskit.StatementError, match=f"row {number - 1} for table 'held' cannot be sent"):
                    await db.insert_many("held", rows, on_conflict=conflict)


async def test_the_processs_zone_does_not_matter(db: rdskit.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import time as clock

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    clock.tzset()
    try:
        assert await db.fetch_value("select :v::timestamptz", v=LOCAL) == MOMENT
    finally:
        monkeypatch.undo()
        clock.tzset()


async def test_a_result_that_cannot_be_read_says_what_took_effect(db: rdskit.Database) -> None:
    await db.execute("create table held (v int, e small)")
    await db.execute("create type mood as enum ('sad')")
    await db.execute("insert into held values (1)")
    for text in ("select row(v, 'sad'::mood) from held", "update held set v = v + 1 returning row(v, 'sad'::mood)"):
        effect = "took effect" if text.startswith("update") else "the result cannot be read"
        for _ in range(2):
            with pytest.raises(rdskit.ResultError, match=f"{effect}.*'row' .record."):
                await db.fetch_one(text)
    assert await db.fetch_value("select v from held") == 3
