"""Rows that are there by a partial or an expression index: on PostgreSQL; the others say why they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit
import rdskit.sync
from rdskit.kernel.sql.insert import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.conftest import Engine
    from tests.plugins.postgres import TestDatabase

WAYS: list[dict[str, Any]] = [{"key": ("email",), "conflict_where": "not gone -- those"}, {"index": "one Live"}]


@pytest.fixture
async def users(database: TestDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(database.url, tls="off", max_size=2) as db:
        await db.execute("create table users (id int, email text, gone boolean default false)")
        await db.execute('create unique index "one Live" on users (email) where not gone')
        yield db


@pytest.mark.parametrize("way", WAYS, ids=["where", "index"])
@pytest.mark.parametrize("number", [3, 200, BATCH_ROWS + 1])
async def test_a_row_outside_the_partial_index_is_no_conflict(
    users: rdskit.Database, way: dict[str, Any], number: int
) -> None:
    await users.insert_many("users", [{"id": 0, "email": "a0", "gone": True}, {"id": 1, "email": "a1", "gone": False}])
    rows = [{"id": 100 + n, "email": f"a{n}", "gone": False} for n in range(number)]
    assert await users.insert_many("users", rows, on_conflict="ignore", **way) == number - 1
    assert await users.insert_many("users", rows, on_conflict="update", **way) == number
    kept = await users.fetch_all("select id, gone from users where email in ('a0', 'a1') order by id")
    assert [tuple(row) for row in kept] == [(0, True), (100, False), (101, False)]


@pytest.mark.parametrize("number", [3, 200])
async def test_of_a_row_that_is_given_twice_the_last_one_stays(users: rdskit.Database, number: int) -> None:
    rows = [{"id": n, "email": "same", "gone": n % 3 == 0} for n in range(number)]
    await users.insert_many("users", rows, on_conflict="update", index="one Live")
    assert await users.fetch_value("select count(*) from users where gone") == len(range(0, number, 3))
    last = max(n for n in range(number) if n % 3)
    assert await users.fetch_value("select id from users where not gone") == last


async def test_an_index_over_expressions_in_a_transaction(users: rdskit.Database) -> None:
    await users.execute('create unique index "by lower" on users ((lower(email) || gone::text))')
    async with users.transaction() as tx:
        for n, email in enumerate(["One@x", "oNE@x"]):
            row = {"id": n, "email": email, "gone": True}
            assert await tx.insert_many("users", [row], on_conflict="update", index="by lower") == 1
    assert [tuple(row) for row in await users.fetch_all("select id, email from users")] == [(1, "oNE@x")]


async def test_an_unknown_index_is_named(users: rdskit.Database) -> None:
    with pytest.raises(rdskit.StatementError, match=r"table 'users' has no unique index 'one live'"):
        await users.insert_many("users", [{"id": 1}], on_conflict="ignore", index="one live")


@pytest.mark.parametrize("way", WAYS, ids=["where", "index"])
async def test_engines_without_such_indexes_say_so(engine: Engine, db: rdskit.Database, way: dict[str, Any]) -> None:
    if engine.is_postgres:
        return
    with pytest.raises(rdskit.ConfigError, match=r"is for PostgreSQL: MySQL and MariaDB have no partial indexes"):
        await db.insert_many("users", [{"id": 1, "email": "a"}], on_conflict="update", **way)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"index": "one Live"}, "it needs on_conflict="),
        ({"on_conflict": "ignore", "index": "one Live", "key": ("email",)}, "leave key= and conflict_where= out"),
        ({"on_conflict": "ignore", "conflict_where": "not gone"}, "name the index's columns with key="),
        ({"on_conflict": "ignore", "key": ("email",), "conflict_where": "gone = :gone"}, "takes no parameters"),
        ({"on_conflict": "ignore", "key": ("email",), "conflict_where": "true); drop table users; --"}, "statements"),
        ({"on_conflict": "ignore", "key": ("email",), "conflict_where": 1}, "conflict_where=1 is of type int"),
    ],
)
async def test_options_that_do_not_go_together(users: rdskit.Database, options: dict[str, Any], told: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=told):
        await users.insert_many("users", [{"id": 1, "email": "a"}], **options)


def test_sync(database: TestDatabase) -> None:
    row = {"id": 1, "email": "a"}
    with rdskit.sync.connect(database.url, tls="off") as db:
        db.execute("create table users (id int, email text)")
        db.execute("create unique index lowered on users (lower(email))")
        assert db.insert_many("users", [row], on_conflict="update", index="lowered") == 1
        with db.transaction() as tx:
            assert tx.insert_many("users", [row], on_conflict="ignore", index="lowered") == 0
