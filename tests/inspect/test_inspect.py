"""What can be read of a database: each engine gives the same facts in the same form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client.api import dialect_of
from rdskit.inspect import lock_waits, long_transactions, schema, schema_hash, server_version, table_size, table_sizes
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(target.url, tls="off", min_size=0, max_size=4, readers="off") as db:
        await db.execute("create table users (id bigint primary key, email varchar(100) not null)")
        await db.execute("create table orders (id bigint primary key, user_id bigint, total numeric(10, 2) default 0)")
        yield db


async def test_a_schema_hash_changes_with_the_schema_and_comes_back_with_it(db: rdskit.Database) -> None:
    before = await schema(db)
    await db.execute("create index users_email on users (email)")
    await db.execute("create view people as select id from users")
    await db.execute("alter table orders add constraint positive check (total >= 0)")
    changed = await schema(db)
    assert {name for name in changed if changed[name] != before.get(name)} == {
        *(
            {"index public.users_email", "table public.orders", "view public.people"}
            if "table public.users" in before
            else ()
        ),
        *({"table users", "view people", "check positive"} if "table users" in before else ()),
    }
    await db.execute("drop view people")
    await db.execute("drop index users_email" + ("" if "table public.users" in before else " on users"))
    await db.execute("alter table orders drop constraint positive")
    assert schema_hash(await schema(db)) == schema_hash(before) != schema_hash(changed)


async def test_rows_and_our_own_tables_are_no_part_of_the_schema(db: rdskit.Database) -> None:
    before = schema_hash(await schema(db))
    await db.execute("insert into users values (1, 'a'), (2, 'b')")
    await db.setup()
    assert schema_hash(await schema(db)) == before


async def test_the_order_in_which_columns_were_added_is_no_difference(db: rdskit.Database) -> None:
    await db.execute("alter table users add a int")
    await db.execute("alter table users add b int")
    one = schema_hash(await schema(db))
    await db.execute("alter table users drop column a")
    await db.execute("alter table users add a int")
    assert schema_hash(await schema(db)) == one


async def test_tenants_schemas_are_compared_without_their_names(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", readers="off") as db:
        for name in ("acme", "globex"):
            await db.execute(f"create schema {name}")
            await db.execute(f"create table {name}.items (id bigserial primary key, price numeric check (price > 0))")
            await db.execute(f"create view {name}.cheap as select id from {name}.items where price < 5")
        one, other = await schema(db, namespace="acme"), await schema(db, namespace="globex")
        assert "table items" in one
        assert one == other
        await db.execute("alter table globex.items add note text")
        assert schema_hash(one) != schema_hash(await schema(db, namespace="globex"))


async def test_sizes_are_told_without_counting(db: rdskit.Database) -> None:
    await db.insert_many("users", [{"id": number, "email": "x" * 90} for number in range(2000)])
    await db.execute("analyze users" if "postgres" in str(dialect_of(db)).lower() else "analyze table users")
    size = await table_size(db, "users")
    assert size is not None
    assert 1000 <= size.rows <= 3000
    assert size.table_bytes > 100_000
    assert {each.name.rpartition(".")[2] for each in await table_sizes(db)} == {"users", "orders"}
    assert await table_size(db, "nothing") is None


async def test_a_waiter_and_the_transaction_that_blocks_it_are_told(db: rdskit.Database) -> None:
    product = (await server_version(db)).product
    await db.execute("insert into users values (1, 'a')")
    async with db.transaction() as holder:
        await holder.execute("update users set email = 'b' where id = 1")
        waiter = asyncio.create_task(db.execute("update users set email = 'c' where id = 1"))

        async def is_blocked() -> bool:
            await asyncio.sleep(0.15)  # InnoDB refreshes what it shows only after 0.1 s without a reader
            waits = await lock_waits(db, product)
            # MySQL runs without its performance schema here, and then does not show the blocking session.
            told = [each for each in waits if each.idle or product == "mysql"]
            return bool(told) and told[0].waiting != told[0].blocking

        await eventually(is_blocked)
        found = await long_transactions(db, 0.0)
        assert any(each.idle for each in found)
        assert await long_transactions(db, 3600.0) == []
    await waiter


async def test_the_version_is_that_of_the_server(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> None:
    version = await server_version(db)
    assert version.product == {"postgresql": "postgres"}.get(target.scheme, target.scheme)
    assert version.at_least(version.major, version.minor)
    assert not version.at_least(version.major + 1)
