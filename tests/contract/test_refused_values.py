"""MySQL and MariaDB: a value comes back as it went, or is refused before it is sent."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import rdskit

if TYPE_CHECKING:
    from tests.contract.conftest import Engine

WEST = timezone(timedelta(hours=-5))
#: What no column holds; servers take most of it for 0, for their largest value, or for NULL.
REFUSED: dict[str, Any] = {
    "float nan": math.nan,
    "float infinity": math.inf,
    "float minus infinity": -math.inf,
    "decimal nan": Decimal("NaN"),
    "decimal signalling nan": Decimal("sNaN"),
    "decimal infinity": Decimal("-Infinity"),
    "decimal too small": Decimal("1E-31"),
    "decimal too large": Decimal("1E+65"),
    "decimal of too many digits": Decimal("1" * 36 + "." + "1" * 30),
    "int too large": 2**64,
    "int too small": -(2**63) - 1,
    "interval too long": timedelta(hours=839),
    "interval too long before": -timedelta(hours=838, minutes=59, seconds=59, microseconds=1),
    "time with a zone": time(1, 2, tzinfo=WEST),
    "moment after all": datetime(9999, 12, 31, 23, tzinfo=WEST),
    "surrogate": "a\ud800b",
    "json nan": {"a": math.nan},
    "json of objects": [object()],
    "json of a large int": {"a": [{"b": 2**64}]},
    "object": object(),
    "class": int,
}
KEPT: dict[str, tuple[str, Any]] = {
    "decimal digits": ("decimal(65,0)", Decimal("9" * 65)),
    "decimal places": ("decimal(65,30)", Decimal("-" + "9" * 35 + "." + "9" * 30)),
    "decimal zero": ("decimal(10,2)", Decimal("0E-40")),
    "decimal large exponent": ("decimal(65,0)", Decimal("1E+64")),
    "float smallest": ("double", 5e-324),
    "float largest": ("double", -1.7976931348623157e308),
    "int largest": ("bigint unsigned", 2**64 - 1),
    "int smallest": ("bigint", -(2**63)),
    "date first": ("date", date.min),
    "date last": ("date", date.max),
    "moment first": ("datetime(6)", datetime(1, 1, 1)),  # noqa: DTZ001 - as the column holds it
    "moment last": ("datetime(6)", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001 - same
    "interval longest": ("time(6)", timedelta(hours=838, minutes=59, seconds=59)),
    "interval longest before": ("time(6)", -timedelta(hours=838, minutes=59, seconds=59)),
    "interval just before": ("time(6)", -timedelta(microseconds=1)),
    "json of numbers": ("json", {"a": [2**64 - 1, -(2**63), 1e300, 0.1], "b": "9" * 30}),
    "no text": ("varchar(10)", ""),
    "text of nulls": ("varchar(10)", "\0\0"),
    "text of spaces": ("varchar(10)", " a "),
    "bytes": ("varbinary(10)", b"\0 \xff"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_no_column_holds_is_refused_before_it_is_sent(
    engine: Engine, db: rdskit.Database, case: str
) -> None:
    if engine.is_postgres:
        return
    value = REFUSED[case]
    await db.execute("create table held (id int primary key auto_increment, v text, w varchar(20))")
    insert = "insert into held (v, w) values (:v, :w)"
    with pytest.raises(rdskit.StatementError) as told:
        await db.execute(insert, v=value, w="")
    with pytest.raises(rdskit.StatementError):
        await db.fetch_value("select :v", v=value)
    with pytest.raises(rdskit.StatementError):
        await db.insert_many("held", [{"v": "1", "w": ""}, {"v": value, "w": ""}])
    with pytest.raises(rdskit.StatementError):
        await db.execute_many(insert, [{"v": "1", "w": ""}, {"v": value, "w": ""}])
    with pytest.raises(rdskit.StatementError):
        await anext(db.stream("select :v", v=value))
    async with db.transaction() as tx:  # it stays usable
        with pytest.raises(rdskit.StatementError):
            await tx.execute(insert, v=value, w="")
        assert await tx.execute(insert, v="kept", w="") == 1
    assert await db.fetch_value("select count(*) from held") == 1
    assert db.stats().writer.closed == 0
    assert db.stats().failures == 0
    assert str(2**64) not in str(told.value)
    assert "parameter" in str(told.value)


@pytest.mark.parametrize("case", KEPT)
async def test_the_ends_of_each_range_come_back_as_they_went(engine: Engine, db: rdskit.Database, case: str) -> None:
    if engine.is_postgres:
        return
    kind, value = KEPT[case]
    await db.execute(f"create table held (id int primary key, v {kind})")
    await db.execute("insert into held values (1, :v)", v=value)
    await db.insert_many("held", [{"id": 2, "v": value}])
    stored = [row.v for row in await db.fetch_all("select v from held")]
    if engine.name == "mariadb" and isinstance(value, dict):  # its JSON is text
        stored = list(map(json.loads, stored))
    assert stored == [value] * 2
    assert {type(each) for each in stored} == {type(value)}


async def test_a_zero_for_a_generated_number_is_stored(db: rdskit.Database, engine: Engine) -> None:
    await db.execute(f"create table held (id {engine.key}, w varchar(10))")
    await db.execute("insert into held (w) values ('one')")
    await db.execute("insert into held (id, w) values (:id, 'zero')", id=0)
    assert await db.fetch_value("select id from held where w = 'zero'") == 0


async def test_a_table_without_transactions_cuts_no_value_either(db: rdskit.Database, engine: Engine) -> None:
    """STRICT_TRANS_TABLES alone would do so from the second row on."""
    if engine.is_postgres:
        return
    await db.execute("create table held (w varchar(3), n tinyint) engine = myisam")
    for row in ({"w": "four", "n": 1}, {"w": "x", "n": 1000}):
        with pytest.raises(rdskit.QueryError):
            await db.insert_many("held", [{"w": "a", "n": 1}, row])
    assert await db.fetch_value("select count(*) from held where w = 'fou' or n = 127") == 0


async def test_a_statement_sees_the_columns_that_its_table_has_now(db: rdskit.Database, engine: Engine) -> None:
    if engine.is_postgres:
        return
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1) as other:
        await db.execute("create table held (id int primary key, v int)")
        await db.execute("insert into held values (1, 7)")
        select = "select * from held where id = :id"
        for change, row in (
            ("modify v varchar(20)", (1, "7")),
            ("modify v decimal(10,2)", (1, Decimal("7.00"))),
            ("add w date default '2026-01-02'", (1, Decimal("7.00"), date(2026, 1, 2))),
            ("drop v", (1, date(2026, 1, 2))),
        ):
            await other.fetch_one(select, id=1)
            await db.execute(f"alter table held {change}")
            found = await other.fetch_one(select, id=1)
            assert found is not None
            assert tuple(found) == row


async def test_a_value_that_python_cannot_hold_is_an_error_that_names_its_column(
    engine: Engine, db: rdskit.Database
) -> None:
    if engine.is_postgres:
        return
    await db.execute("create table held (id int primary key, day date, at datetime(6))")
    async with db.transaction() as tx:  # as another program may have written it
        await tx.execute("set sql_mode = 'ALLOW_INVALID_DATES'")
        await tx.execute("insert into held values (1, '2026-02-30', null), (2, null, '2026-02-30 01:02:03')")
    for number, column in ((1, r"'day' \(date\)"), (2, r"'at' \(datetime\)")):
        select = f"select id, {'day' if number == 1 else 'at'} from held where id = :id"
        with pytest.raises(rdskit.QueryError, match=f"column {column}"):
            await db.fetch_all(select, id=number)
    assert await db.fetch_value("select cast(day as char) from held where id = 1") == "2026-02-30"
    assert db.stats().failures == 0
