"""A number with a fraction does not become another number in an integer column, on any engine."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import rdskit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)

TABLE = "create table sizes (id int primary key, n int, s smallint, big bigint, d decimal(10,2), f double precision)"
VALUES = [2.6, Decimal("2.6"), -0.5]
WRITES: dict[str, Callable[[rdskit.Database, Any], Coroutine[Any, Any, Any]]] = {
    "insert": lambda db, value: db.execute("insert into sizes (id, n) values (1, :v)", v=value),
    "insert of several": lambda db, value: db.execute("insert into sizes (id, s) values (1, 1), (2, :v)", v=value),
    "update": lambda db, value: db.execute("update sizes set n = :v where id = 0", v=value),
    "insert_many": lambda db, value: db.insert_many("sizes", [{"id": 1, "big": 1}, {"id": 2, "big": value}]),
    "upsert": lambda db, value: db.insert_many("sizes", [{"id": 0, "n": value}], on_conflict="update", key=["id"]),
    "execute_many": lambda db, value: db.execute_many(
        "insert into sizes (id, n) values (:id, :v)", [{"id": 1, "v": Decimal(2)}, {"id": 2, "v": value}]
    ),
}


@pytest.fixture
async def sizes(db: rdskit.Database) -> rdskit.Database:
    await db.execute(TABLE)
    await db.execute("insert into sizes (id, n) values (0, 7)")
    return db


@pytest.mark.parametrize("write", WRITES)
async def test_a_fraction_for_an_integer_column_is_refused(sizes: rdskit.Database, write: str) -> None:
    for value in VALUES:
        with pytest.raises(rdskit.StatementError, match=r"fraction"):
            await WRITES[write](sizes, value)
    assert [tuple(row) for row in await sizes.fetch_all("select id, n, s, big from sizes")] == [(0, 7, None, None)]
    assert sizes.stats().failures == 0


async def test_a_fraction_goes_where_there_is_room_for_it_and_a_whole_number_anywhere(sizes: rdskit.Database) -> None:
    insert = "insert into sizes (id, n, d, f) values (:id, :n, :d, :f)"
    await sizes.execute(insert, id=1, n=3.0, d=Decimal("2.6"), f=2.6)
    await sizes.execute(insert, id=2, n=Decimal(3), d=2.5, f=0.1)
    rows = [{"id": 3, "n": 3.0, "d": Decimal("2.6"), "f": 2.6}, {"id": 4, "n": Decimal("3.00"), "d": 2.5, "f": 0.1}]
    await sizes.insert_many("sizes", rows)
    stored = [tuple(row) for row in await sizes.fetch_all("select n, d, f from sizes where id > 0 order by id")]
    assert stored == [(3, Decimal("2.60"), 2.6), (3, Decimal("2.50"), 0.1)] * 2


async def test_an_expression_may_round(sizes: rdskit.Database, engine: Engine) -> None:
    """What the application computes in SQL is its own choice, as is a cast; PostgreSQL wants it to be written."""
    text = engine.pick(
        "update sizes set n = n * (:v)::numeric where id = 0", "update sizes set n = n * :v where id = 0"
    )
    await sizes.execute(text, v=Decimal("1.5"))
    assert await sizes.fetch_value("select n from sizes") in {10, 11}


async def test_the_column_of_the_moment_counts(sizes: rdskit.Database) -> None:
    async with sizes.transaction() as tx:  # on one connection
        insert = "insert into sizes (id, n) values (:id, :v)"
        with pytest.raises(rdskit.StatementError, match="fraction"):
            await tx.execute(insert, id=1, v=2.6)
    await sizes.execute("alter table sizes alter column n type decimal(10,2)" if await _is_postgres(sizes) else CHANGE)
    await sizes.execute(insert, id=1, v=2.6)
    assert await sizes.fetch_value("select n from sizes where id = 1") == Decimal("2.60")


CHANGE = "alter table sizes modify n decimal(10,2)"


async def _is_postgres(db: rdskit.Database) -> bool:
    return "PostgreSQL" in await db.fetch_value("select version()")
