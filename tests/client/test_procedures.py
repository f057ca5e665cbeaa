"""Procedures that commit half way, on real servers: never run again, and never said to have done nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit

if TYPE_CHECKING:
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

ON_POSTGRES = """create procedure half() language plpgsql as $$
begin insert into items (id) values (1); commit; {} end $$"""
ON_THE_FAMILY = "create procedure half() begin insert into items (id) values (1); {} end"


async def define(items: rdskit.Database, target: TestDatabase | FamilyDatabase, rest: dict[str, str]) -> None:
    postgres = target.scheme == "postgresql"
    text = ON_POSTGRES if postgres else ON_THE_FAMILY
    await items.execute(text.format(rest["postgres" if postgres else "family"]))


async def test_a_conflict_after_a_commit_is_not_answered_by_another_call(
    items: rdskit.Database, target: TestDatabase | FamilyDatabase
) -> None:
    conflict = {
        "postgres": "raise exception 'in the way' using errcode = '40001';",
        "family": "signal sqlstate '40001' set mysql_errno = 1213, message_text = 'in the way';",
    }
    await define(items, target, conflict)
    with pytest.raises(rdskit.OutcomeUnknown, match=r"in the way .* may have committed a part"):
        await items.execute("call half()")
    assert [row.id for row in await items.fetch_all("select id from items")] == [1]


async def test_a_limit_of_the_servers_own_does_not_promise_that_nothing_was_changed(
    items: rdskit.Database, target: TestDatabase | FamilyDatabase
) -> None:
    limit = {
        "postgres": "raise exception 'took too long' using errcode = '57014';",
        "family": "signal sqlstate 'HY000' set mysql_errno = 3024, message_text = 'took too long';",
    }
    await define(items, target, limit)
    with pytest.raises(rdskit.OutcomeUnknown, match="took too long"):
        await items.execute("call half()")
    assert [row.id for row in await items.fetch_all("select id from items")] == [1]
