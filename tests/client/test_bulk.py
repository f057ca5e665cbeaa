"""Many rows and many parameter sets, on real servers."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, Literal

import pytest

import rdskit
from rdskit.kernel.sql.insert import BATCH_ROWS
from tests.client.conftest import is_at_rest
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

EACH = 3 * BATCH_ROWS
# Of information_schema InnoDB shows what it saw last if it is asked again within 0.1 s.
WAITING = {
    "postgresql": "select count(*) from pg_locks where not granted",
    "mysql": "select sleep(0.2) + (select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT')",
}
COUNTS = [0, 1, 64, 65, BATCH_ROWS, BATCH_ROWS + 1, 3 * BATCH_ROWS]


def rows(start: int, stop: int, mark: str = "n") -> Iterator[dict[str, Any]]:
    return ({"id": number, "name": f"{mark}{number}", "price": number / 4} for number in range(start, stop))


async def later(start: int, stop: int) -> AsyncIterator[dict[str, Any]]:
    for row in rows(start, stop):
        if row["id"] % 500 == 0:
            await asyncio.sleep(0)
        yield row


async def count(db: rdskit.Database) -> Any:
    return await db.fetch_value("select count(*) from items")


@pytest.mark.parametrize("number", COUNTS)
async def test_each_number_of_rows_arrives_as_it_is(items: rdskit.Database, number: int) -> None:
    assert await items.insert_many("items", rows(0, number)) == number
    assert [tuple(row) for row in await items.fetch_all("select id, name, price from items order by id")] == [
        tuple(row.values()) for row in rows(0, number)
    ]


async def test_any_source_of_mappings_will_do(items: rdskit.Database) -> None:
    assert await items.insert_many("items", later(0, 5000)) == 5000
    await items.execute("create table copies (id bigint primary key, name varchar(100), price double precision)")
    found = await items.fetch_all("select id, name, price from items")
    assert await items.insert_many("copies", found) == 5000
    backwards = [{"price": 1.0, "id": 5001}, {"id": 5002, "price": 2.0}]
    assert await items.insert_many("copies", backwards) == 2
    assert [row.price for row in await items.fetch_all("select price from copies where id > 5000 order by id")] == [
        1,
        2,
    ]
    for wrong, told in ((7, "rows are a int"), ([1], "row 1 is a int"), ([{}], "row 1 has no columns")):
        with pytest.raises(rdskit.ConfigError, match=told):
            await items.insert_many("items", wrong)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("good", [3, 100, BATCH_ROWS + 5])
async def test_other_columns_are_refused_with_the_row_and_nothing_is_inserted(
    items: rdskit.Database, good: int
) -> None:
    wrong: list[tuple[Any, str]] = [
        ({"id": -1, "nmae": "x", "price": 0.0}, r"lacks 'name', has 'nmae' besides"),
        ({"id": -1, "name": "x"}, r"lacks 'price'"),
        ({"id": -1, "name": "x", "price": 0.0, "more": 1}, r"has 'more' besides"),
    ]
    for row, told in wrong:
        with pytest.raises(
            rdskit.ConfigError, match=rf"row {good + 1} has other columns \({told}\) than row 1; nothing"
        ):
            await items.insert_many("items", [*rows(0, good), row])
    mixed: list[Any] = [*rows(0, good), (1, "x", 0.0)]
    with pytest.raises(rdskit.ConfigError, match=f"row {good + 1} is a tuple"):
        await items.insert_many("items", mixed)
    assert await count(items) == 0


@pytest.mark.parametrize("good", [3, 100, BATCH_ROWS + 5])
async def test_all_or_nothing(items: rdskit.Database, good: int) -> None:
    await items.insert_many("items", rows(-1, 0))
    with pytest.raises(rdskit.IntegrityError):
        await items.insert_many("items", [*rows(0, good), *rows(-1, 0)])
    with pytest.raises(rdskit.QueryError):
        await items.insert_many("items", [*rows(0, good), {"id": "x", "name": "x", "price": 0.0}])
    assert await count(items) == 1


async def test_the_source_s_own_error_comes_through_as_it_is(items: rdskit.Database) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from rows(0, BATCH_ROWS + 5)
        raise FileNotFoundError("the caller's own")

    with pytest.raises(FileNotFoundError, match="the caller's own"):
        await items.insert_many("items", failing())
    assert await items.insert_many("items", rows(0, 10)) == 10
    assert await count(items) == 10


@pytest.mark.parametrize("number", [1, 10, 65, BATCH_ROWS + 1])
async def test_a_row_that_is_there_is_kept(items: rdskit.Database, number: int) -> None:
    await items.insert_many("items", rows(0, number, "old"))
    assert await items.insert_many("items", rows(0, number, "new"), on_conflict="ignore") == 0
    assert await items.insert_many("items", rows(0, number + 3, "new"), on_conflict="ignore") == 3
    assert await items.fetch_value("select count(*) from items where name like 'old%'") == number
    with pytest.raises(rdskit.QueryError):  # ignores duplicates, not what is wrong
        await items.insert_many("items", [{"id": 9000, "name": "x" * 200, "price": 0.0}], on_conflict="ignore")


@pytest.mark.parametrize("number", [1, 10, 65, BATCH_ROWS + 1])
async def test_a_row_that_is_there_is_overwritten(items: rdskit.Database, number: int) -> None:
    await items.insert_many("items", rows(0, number, "old"))
    changed = [{"id": row["id"], "name": row["name"]} for row in rows(0, number + 3, "new")]
    assert await items.insert_many("items", changed, on_conflict="update") == number + 3
    assert await items.fetch_value("select count(*) from items where name like 'new%'") == number + 3
    assert await items.fetch_value("select price from items where id = :id", id=number - 1) == (number - 1) / 4


@pytest.mark.parametrize("number", [2, 100, BATCH_ROWS + 1])
async def test_of_a_row_that_is_given_twice_the_last_one_stays(items: rdskit.Database, number: int) -> None:
    await items.insert_many("items", rows(0, 1, "old"))
    await items.insert_many("items", [*rows(0, number, "a"), *rows(0, number, "b")], on_conflict="update")
    assert await items.fetch_value("select count(*) from items where name like 'b%'") == number
    assert await count(items) == number


async def test_rows_are_ignored_whatever_unique_key_they_repeat(items: rdskit.Database) -> None:
    await items.insert_many("items", rows(0, 10, "old"))
    same_name = [{"id": 5000 + row["id"], "name": row["name"], "price": 0.0} for row in rows(0, 10, "old")]
    given = [*rows(0, 100, "a"), *rows(50, 120, "b"), *same_name]
    assert await items.insert_many("items", given, on_conflict="ignore") == 110
    assert await items.fetch_value("select count(*) from items where name like 'a%'") == 90
    assert await items.fetch_value("select count(*) from items where name like 'b%'") == 20


@pytest.mark.parametrize(("choice", "kept"), [("ignore", "theirs7"), ("update", "ours7")])
async def test_a_row_that_somebody_else_stores_meanwhile(
    items: rdskit.Database,
    target: TestDatabase | FamilyDatabase,
    choice: Literal["ignore", "update"],
    kept: str,
) -> None:
    waiting = WAITING["postgresql" if target.url.startswith("postgresql") else "mysql"]

    async with asyncio.TaskGroup() as group:
        async with items.transaction() as tx:
            await tx.insert_many("items", rows(7, 8, "theirs"))
            ours = group.create_task(items.insert_many("items", rows(0, 100, "ours"), on_conflict=choice))
            await eventually(functools.partial(items.fetch_value, waiting))
        assert await ours == (99 if choice == "ignore" else 100)
    assert await items.fetch_value("select name from items where id = 7") == kept


async def test_who_may_only_insert_can_have_rows_ignored(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table seen (id int primary key)")
        await db.execute("create role collector")
        try:
            await db.execute("grant insert on seen to collector")
            async with db.transaction() as tx:
                await tx.execute("set local role collector")
                with pytest.raises(rdskit.QueryError, match="permission denied"):
                    async with tx.transaction():
                        await tx.fetch_all("select * from seen")
                await tx.insert_many("seen", ({"id": number} for number in range(100)), on_conflict="ignore")
            assert await db.fetch_value("select count(*) from seen") == 100
        finally:
            await db.execute("drop owned by collector")
            await db.execute("drop role collector")


async def test_a_table_with_row_level_security_takes_rows_too(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table noted (id int primary key)")
        await db.execute("create role noter")
        try:
            await db.execute("grant select, insert on noted to noter")
            await db.execute("alter table noted enable row level security")
            await db.execute("create policy positive on noted using (true) with check (id >= 0)")
            async with db.transaction() as tx:
                await tx.execute("set local role noter")
                assert await tx.insert_many("noted", ({"id": number} for number in range(200))) == 200
                more = ({"id": number} for number in range(100, 400))
                assert await tx.insert_many("noted", more, on_conflict="ignore") == 200
                with pytest.raises(rdskit.QueryError, match="row-level security"):
                    await tx.insert_many("noted", ({"id": -number} for number in range(1, 100)))
            assert await db.fetch_value("select count(*) from noted") == 400
        finally:
            await db.execute("drop owned by noter")
            await db.execute("drop role noter")


@pytest.mark.parametrize("choice", [None, "ignore", "update"])
async def test_a_value_that_cannot_be_sent_is_told_with_its_row(
    database: TestDatabase, choice: Literal["ignore", "update"] | None
) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table prices (id int primary key, price double precision)")
        await db.insert_many("prices", [{"id": number, "price": 0.0} for number in range(0, 5000, 2)])
        there, new = 3000, 3001
        for wrong in (new,) if choice == "ignore" else (there, new):  # what is ignored is not sent at all
            first = 10_000 if choice is None else 0
            given: list[dict[str, Any]] = [{"id": first + number, "price": 1.0} for number in range(5000)]
            given[wrong]["price"] = "dear"
            with pytest.raises(rdskit.StatementError, match=f"row {wrong + 1} for table 'prices' cannot be sent"):
                await db.insert_many("prices", given, on_conflict=choice)


async def test_a_key_of_several_columns(items: rdskit.Database) -> None:
    await items.execute("create table stock (shop int, item varchar(20), held int, primary key (shop, item))")
    given = [{"item": f"i{number % 50}", "held": 1, "shop": number // 50} for number in range(3000)]
    assert await items.insert_many("stock", given[:1000]) == 1000
    assert await items.insert_many("stock", given[:2000], on_conflict="ignore") == 1000
    more = [{**row, "held": 2} for row in given[500:]]
    assert await items.insert_many("stock", more, on_conflict="update") == 2500
    assert await items.fetch_value("select sum(held) from stock") == 5500
    assert await count(items) == 0


async def test_keys_that_only_the_server_takes_for_equal(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table people (name char(20) primary key, seen int)")  # gives names with spaces behind
        await db.insert_many("people", [{"name": f"Person {number}", "seen": 1} for number in range(100)])
        again = [{"name": f"Person {number}", "seen": 2} for number in range(150)]
        assert await db.insert_many("people", again, on_conflict="ignore") == 50
        assert await db.insert_many("people", again, on_conflict="update") == 150
        (row,) = await db.fetch_all("select count(*), min(seen) from people")
        assert tuple(row) == (150, 2)


async def test_keys_that_differ_behind_their_first_character_are_different_ones(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table grades (student int, grade char(2), primary key (student, grade))")
        await db.insert_many("grades", [{"student": number, "grade": "A"} for number in range(100)])
        better = [{"student": number, "grade": "A+"} for number in range(100)]
        assert await db.insert_many("grades", better, on_conflict="ignore") == 100
        assert await db.insert_many("grades", better, on_conflict="ignore") == 0


INDEXES_THAT_CANNOT_TELL = {
    "partial": "create unique index on members (email) where deleted_at is null",
    "of an expression": "create unique index on members (lower(email))",
    "of more columns": "alter table members add unique (email, id)",
    "not unique": "create index on members (email)",
    "none": "select",
}


@pytest.mark.parametrize("index", INDEXES_THAT_CANNOT_TELL.values(), ids=INDEXES_THAT_CANNOT_TELL)
@pytest.mark.parametrize("number", [10, 100])
async def test_a_key_without_a_unique_index_over_all_rows_is_refused_by_the_server(
    database: TestDatabase, index: str, number: int
) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table members (id serial primary key, email text, deleted_at timestamptz)")
        await db.execute(index)
        await db.execute("insert into members (email, deleted_at) select 'm' || n, now() from generate_series(1, 50) n")
        given = [{"email": f"m{place}"} for place in range(1, number + 1)]
        with pytest.raises(rdskit.QueryError) as raised:
            await db.insert_many("members", given, on_conflict="ignore", key=("email",))
        assert raised.value.sqlstate == "42P10"
        assert await db.fetch_value("select count(*) from members") == 50


async def test_a_key_is_found_in_any_order_and_without_the_columns_that_an_index_only_includes(
    database: TestDatabase,
) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table seats (hall int, place int, name text, unique (hall, place) include (name))")
        given = [{"name": f"n{number}", "place": number, "hall": number % 3} for number in range(200)]
        assert await db.insert_many("seats", given[:100]) == 100
        again = [{**row, "name": "another"} for row in given]
        assert await db.insert_many("seats", again, on_conflict="ignore", key=("place", "hall")) == 100
        assert await db.fetch_value("select count(*) from seats where name = 'another'") == 100


async def test_rows_of_a_table_that_inherits_are_not_those_of_its_parent(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table events (id int primary key)")
        await db.execute("create table old_events () inherits (events)")
        given = [{"id": number} for number in range(100)]
        await db.insert_many("old_events", given)
        assert await db.insert_many("events", given, on_conflict="ignore") == 100


async def test_a_primary_key_that_is_checked_late_is_refused_by_the_server(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create table late (id int primary key deferrable)")
        await db.execute("insert into late select generate_series(1, 100)")
        for number in (10, 100):
            with pytest.raises(rdskit.QueryError, match="deferrable"):
                await db.insert_many("late", [{"id": place} for place in range(number)], on_conflict="ignore")


async def test_another_unique_key_than_the_primary_one(items: rdskit.Database) -> None:
    await items.insert_many("items", rows(0, 100))
    dearer = [{"name": row["name"], "price": 7.0, "id": row["id"]} for row in rows(0, 100)]
    assert await items.insert_many("items", dearer, on_conflict="update", key=("name",)) == 100
    assert await items.fetch_value("select count(*) from items where price = 7") == 100
    with pytest.raises(rdskit.ConfigError, match="have no column 'id', which is part of the key"):
        await items.insert_many("items", [{"name": "x"}], on_conflict="update")


async def test_a_transaction_goes_on_after_an_insert_that_was_refused(items: rdskit.Database) -> None:
    async with items.transaction() as tx:
        assert await tx.insert_many("items", rows(0, 10)) == 10
        with pytest.raises(rdskit.IntegrityError):
            await tx.insert_many("items", [*rows(100, 3000), *rows(0, 1)])
        with pytest.raises(rdskit.IntegrityError):
            await tx.execute_many("insert into items (id) values (:id)", [{"id": 11}, {"id": 1}])
        assert await tx.insert_many("items", rows(5, 20), on_conflict="ignore") == 10
        assert await tx.insert_many("items", rows(0, 3000), on_conflict="update") == 3000
        assert await tx.insert_many("items", rows(0, 3000), on_conflict="update") == 3000
    assert await count(items) == 3000


async def test_one_statement_for_many_parameter_sets(items: rdskit.Database) -> None:
    insert = "insert into items (id, name) values (:id, :name) -- each"
    sets = ({"id": number, "name": "x" * (number % 90) + str(number)} for number in range(2500))
    assert await items.execute_many(insert, sets) == 2500
    changed = await items.execute_many(
        "update items set price = :p where id < :id", [{"p": 1.0, "id": n} for n in range(9)]
    )
    assert changed == sum(range(9))
    assert await items.execute_many(insert, []) == 0
    large = [{"id": 10_000 + number, "name": "y" * 40 + str(number), "p": 0.0} for number in range(3)]
    with pytest.raises(rdskit.ConfigError, match=r"parameter set 1: .* has no parameter 'p'"):
        await items.execute_many(insert, large)
    with pytest.raises(rdskit.ConfigError, match="this statement returns rows"):
        await items.execute_many("select :a", [{"a": 1}])


async def test_parameter_sets_are_all_done_or_none(items: rdskit.Database) -> None:
    insert = "insert into items (id) values (:id)"
    with pytest.raises(rdskit.IntegrityError):
        await items.execute_many(insert, [{"id": number} for number in [*range(3000), 5]])
    with pytest.raises(rdskit.QueryError):
        await items.execute_many(insert, [{"id": number} for number in [*range(3000), "x"]])
    assert await count(items) == 0


async def test_a_deadline_ends_an_insert_and_leaves_nothing(items: rdskit.Database) -> None:
    begun = asyncio.Event()

    async def stuck() -> AsyncIterator[dict[str, Any]]:
        for row in rows(0, BATCH_ROWS * 2):
            yield row
        begun.set()
        await asyncio.Event().wait()

    with pytest.raises(rdskit.QueryTimeout):
        await items.insert_many("items", stuck(), timeout=0.5)
    begun.clear()
    task = asyncio.create_task(items.insert_many("items", stuck(), timeout=None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: is_at_rest(items))
    assert await count(items) == 0


async def test_other_tasks_have_their_turns_while_a_plain_list_is_inserted(items: rdskit.Database) -> None:
    turns, seen = 0, []

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def watched() -> Iterator[dict[str, Any]]:
        for row in rows(0, 8 * EACH):
            if row["id"] % EACH == 0:
                seen.append(turns)
            yield {**row, "name": row["name"].ljust(90)}

    async with asyncio.TaskGroup() as group:
        other = group.create_task(others())
        assert await items.insert_many("items", watched(), timeout=None) == 8 * EACH
        other.cancel()
    assert sorted(set(seen)) == seen, "asyncpg fills 512 KiB between two turns, which is less than EACH rows"


async def test_types_without_a_binary_format_and_json(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute("create type mood as enum ('good', 'bad')")
        await db.execute("create table notes (id int primary key, mood mood, body jsonb, plain json, at timestamptz[])")
        at = [dt.datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)]
        notes: list[dict[str, Any]] = [
            {"id": n, "mood": "good" if n % 2 else "bad", "body": {"n": n}, "plain": [n], "at": at} for n in range(3000)
        ]
        assert await db.insert_many("notes", notes) == 3000
        assert await db.insert_many("notes", notes[:100], on_conflict="update") == 100
        row = await db.fetch_one("select * from notes where id = 7")
        assert row is not None
        assert dict(row.items()) == notes[7]
        without = [
            {key: value for key, value in note.items() if key != "mood"} | {"id": -note["id"] - 1} for note in notes
        ]
        assert await db.insert_many("notes", without) == 3000


async def test_a_column_that_changes_its_type_is_not_written_in_the_old_one(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=1) as db:
        await db.execute("create table t (a bigint)")
        assert await db.insert_many("t", [{"a": n} for n in range(100)]) == 100
        await db.execute("alter table t alter a type double precision")
        assert await db.insert_many("t", [{"a": 2.5} for _ in range(100)]) == 100
        assert await db.fetch_value("select count(*) from t where a = 2.5") == 100
