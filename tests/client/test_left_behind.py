"""What a statement that fails has left behind on its connection does not reach the next caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

LOCKING = "select pg_advisory_lock(7), 1 / (select 0)"
LOCKED = "select count(*) from pg_locks where locktype = 'advisory' and objid = 7"


# One call takes the idle connection; of two the second one waits for it.
ONE_AND_TWO = pytest.mark.parametrize("calls", [1, 2])


async def errors_of(calls: int, db: rdskit.Database, sql: str) -> list[type]:
    """Return the errors of a number of calls at once."""
    told = await asyncio.gather(*(db.execute(sql) for _ in range(calls)), return_exceptions=True)
    return [type(error) for error in told]


@pytest.fixture(params=["mariadb_database", "mysql_database"], ids=["mariadb", "mysql"])
def family(request: pytest.FixtureRequest) -> FamilyDatabase:
    fresh: FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@ONE_AND_TWO
async def test_a_transaction_that_a_failed_procedure_opened_takes_no_later_write_with_it(
    family: FamilyDatabase, calls: int
) -> None:
    async with rdskit.connect(family.url, tls="off", max_size=1) as db:
        await db.execute("create table item (id int primary key)")
        await db.execute(
            "create procedure fails() begin start transaction; insert into item values (1), (1); commit; end"
        )
        assert await errors_of(calls, db, "call fails()") == [rdskit.IntegrityError] * calls
        await db.execute("insert into item values (2)")
    async with rdskit.connect(family.url, tls="off", max_size=1) as db:
        assert [row.id for row in await db.fetch_all("select id from item")] == [2]


@ONE_AND_TWO
async def test_a_lock_that_a_failed_select_took_is_released(database: TestDatabase, calls: int) -> None:
    async with rdskit.connect(database.url, tls="off", max_size=1) as db:
        assert await errors_of(calls, db, LOCKING) == [rdskit.QueryError] * calls
        assert await db.fetch_value(LOCKED) == 0
