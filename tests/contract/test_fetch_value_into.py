"""``fetch_value(into=…)``: the value is of that type, or the call is refused; nothing is converted."""

from __future__ import annotations

from typing import Any

import pytest

import rdskit


async def test_a_value_of_the_type_is_given_as_it_is(db: rdskit.Database) -> None:
    assert await db.fetch_value("select 3 + :n", n=4, into=int) == 7
    assert await db.fetch_value("select null", into=int) is None
    assert await db.fetch_value("select 1 from (select 1 as n) as t where n = 2", into=int) is None
    async with db.transaction() as tx:
        assert await tx.fetch_value("select 'tea'", into=str) == "tea"
    async with db.connection() as held:
        assert await held.fetch_value("select 'tea'", into=str) == "tea"


@pytest.mark.parametrize("kind", [int, list[int], 7, "int"])
async def test_any_other_is_refused(db: rdskit.Database, kind: Any) -> None:
    with pytest.raises(rdskit.ConfigError, match="into="):
        await db.fetch_value("select 'secret tea'", into=kind)
    with pytest.raises(rdskit.ConfigError) as caught:
        await db.fetch_value("select 'secret tea'", into=int)
    assert str(caught.value) == (
        "into=int does not fit the value, which is of type str: name that type, or cast the column in SQL"
    )
