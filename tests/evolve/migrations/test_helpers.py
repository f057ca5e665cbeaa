"""Helpers may be called twice, and a backfill that is interrupted goes on where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.evolve.migrations.helpers import add_column_if_missing, backfill, create_index

if TYPE_CHECKING:
    from collections.abc import Callable

    import rdskit


async def test_helpers_may_be_called_twice_and_rows_are_filled_in_batches(db: rdskit.Database) -> None:
    await db.execute("create table people (id bigint primary key, name varchar(50))")
    await db.insert_many("people", [{"id": 3 * number, "name": f"n{number}"} for number in range(25)])

    assert await add_column_if_missing(db, "people", "greeting", "varchar(60)")
    assert not await add_column_if_missing(db, "people", "greeting", "varchar(60)")
    assert await create_index(db, "people", ["greeting"])
    assert not await create_index(db, "people", ["greeting"])

    def interrupt(changed: int) -> None:
        if changed >= 10:
            raise InterruptedError

    async def fill(progress: Callable[[int], None]) -> int:
        assign, empty = "greeting = concat(cast(:hello as char(3)), name)", "greeting is null"
        hello = {"hello": "hi "}
        return await backfill(
            db, "people", key="id", assign=assign, where=empty, params=hello, batch=10, progress=progress
        )

    with pytest.raises(InterruptedError):
        await fill(interrupt)
    assert await db.fetch_value("select count(*) from people where greeting is null") == 15
    told: list[int] = []
    assert await fill(told.append) == 15
    assert told == [10, 15]
    assert await db.fetch_value("select greeting from people where id = 72") == "hi n24"

    with pytest.raises(ConfigError, match="is not a plain name"):
        await add_column_if_missing(db, "people; drop table people", "x", "int")
