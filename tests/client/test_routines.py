"""Functions of the user's own: which SELECT that calls one may go to a replica."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

import rdskit
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.mysql_family import FamilyDatabase

FUNCTIONS = """
create schema shop;
create table sold (id bigint);
create function tax(n int) returns int immutable language sql as 'select n * 2';
create function shop.price(n int) returns int stable language plpgsql as 'begin return n; end';
create function shop.lower(n int) returns int volatile language plpgsql
as 'begin insert into sold values (n); return n; end';
create function audited(n int) returns int volatile language plpgsql as 'begin return n; end';
create function twice(n int) returns int stable language sql as 'select n';
create function twice(n text) returns int volatile language sql as 'select 1';
create aggregate total(int) (sfunc = int4pl, stype = int, initcond = '0');
create aggregate noted(int) (sfunc = count_up, stype = int, initcond = '0')
"""
COUNT_UP = "create function count_up(a int, b int) returns int volatile language plpgsql as 'begin return a + b; end'"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("routines"), replicas=1) as cluster:
        keep_confidential(cluster.primary.password)
        with cluster.primary.connect() as session:
            for statement in (COUNT_UP, *FUNCTIONS.split(";\n")):
                session.execute(statement)
        yield cluster


async def is_learnt(db: rdskit.Database, sql: str) -> bool:
    """Return whether the statement, which is run for it, may go to a reader."""
    await db.fetch_value(sql)
    return db._statements[sql].repeatable


async def is_served_by_a_reader(db: rdskit.Database, sql: str) -> bool:
    before = sum(db.stats().reads_by_reader.values())
    await db.fetch_value(sql)
    return sum(db.stats().reads_by_reader.values()) > before


async def test_stable_functions_go_to_readers_once_that_is_known_and_volatile_ones_to_the_writer(
    cluster: Replicated,
) -> None:
    stable = ["select tax(2)", "select shop.price(2)", "select total(1)"]
    volatile = ["select shop.lower(2)", "select audited(2)", "select twice(2)", "select noted(1)"]
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as db:
        for sql in stable:
            await eventually(functools.partial(is_learnt, db, sql))
            await eventually(functools.partial(is_served_by_a_reader, db, sql))
        before = sum(db.stats().reads_by_reader.values())
        for sql in volatile:
            for _ in range(3):
                await db.fetch_value(sql)
        last = "select shop.price(3), tax(1)"
        assert db._statements[last].repeatable, "known by the function, whatever the text"
        assert sum(db.stats().reads_by_reader.values()) == before
        assert [db._statements[sql].repeatable for sql in volatile] == [False] * len(volatile)
        assert await db.fetch_value("select count(*) from sold") == 3, "each was done once"


async def test_the_server_is_asked_once_for_a_function(cluster: Replicated) -> None:
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as db:
        await eventually(functools.partial(is_learnt, db, "select tax(2)"))
        asked = db._shared.routines._asked
        await db.fetch_value("select tax(3)")
        for _ in range(3):
            await db.fetch_value("select audited(2)")
        assert db._shared.routines._asked == asked | {"audited"}


async def test_a_function_that_the_user_lists_may_be_read_from_replicas_at_once(cluster: Replicated) -> None:
    listed = ["Audited", "shop.other"]
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers, readable=listed) as db:
        await eventually(functools.partial(is_served_by_a_reader, db, "select audited(2)"))
        assert not db._statements["select other(2)"].repeatable, "a name counts as it is spelt"
    with pytest.raises(rdskit.ConfigError, match="not a function's name"):
        await rdskit.connect(cluster.url, tls="off", readable=["audited(int)"])


async def test_a_listed_function_that_writes_after_all_is_done_on_the_writer(cluster: Replicated) -> None:
    one = rdskit.connect(cluster.url, tls="off", readers=cluster.readers, readable="shop.lower")
    async with one as db:
        await eventually(functools.partial(is_served_by_a_reader, db, "select 1"))
        before = await db.fetch_value("select count(*) from sold")
        assert await db.fetch_value("select shop.lower(7)") == 7
        async with db.transaction(read_only=True) as tx:
            assert await tx.fetch_value("select count(*) from sold") == before + 1


ROUTINES = {
    "plain": ("deterministic", False),
    "reading": ("reads sql data", True),
    "pure": ("no sql deterministic", True),
    "writing": ("deterministic modifies sql data", False),
}


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
async def test_mysql_and_mariadb_know_what_a_function_was_declared_to_do(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    async with rdskit.connect(database.url, tls="off") as db:
        for name, (declared, _) in ROUTINES.items():
            await db.execute(f"create function {name}(n int) returns int {declared} return n")
        calls = {name: f"select {name}(1)" for name in ROUTINES}
        calls |= {f"{database.name}.{name}": f"select {database.name}.{name}(1)" for name in ROUTINES}
        expected = {name: ROUTINES[name.rpartition(".")[2]][1] for name in calls}
        for sql in calls.values():
            assert await db.fetch_value(sql) == 1
            db._shared.routines.learn(db._statements[sql])
        found = functools.partial(_verdicts, db, calls, expected)
        await eventually(found)


async def _verdicts(db: rdskit.Database, calls: dict[str, str], expected: dict[str, bool]) -> bool:
    return {name: db._statements[sql].repeatable for name, sql in calls.items()} == expected
