"""Views, cascades, triggers and partitions: a write invalidates what it changes, and no more than it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client import api
from rdskit.kernel.scope import Scope
from rdskit.scale import Cache
from tests.scale.cache.opened import PATIENT, opened

if TYPE_CHECKING:
    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer


@pytest.fixture(params=["database", "mysql_database", "mariadb_database"], ids=["postgres", "mysql", "mariadb"])
def any_database(request: pytest.FixtureRequest) -> FreshDatabase:
    found: FreshDatabase = request.getfixturevalue(request.param)
    return found


async def test_views_and_cascades_are_resolved(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        await db.execute("create table owners (id int primary key, name varchar(20))")
        await db.execute(
            "create table pets (id int primary key, owner int, name varchar(20),"
            " foreign key (owner) references owners (id) on delete cascade)"
        )
        await db.execute("create table toys (id int primary key)")
        await db.execute("create view named as select name from owners")
        await db.execute("create view twice as select name from named")
        await db.execute("insert into owners values (1, 'Ada'), (2, 'Grace')")
        await db.execute("insert into pets values (1, 2, 'Rex')")

        async def reads() -> list[object]:
            return [
                [row.name for row in await cache.fetch_all("select name from twice order by name")],
                await cache.fetch_value("select count(*) from pets"),
                await cache.fetch_value("select count(*) from toys"),
            ]

        assert await reads() == [["Ada", "Grace"], 1, 0]
        before = cache.stats.loads
        await db.execute("insert into toys values (1)")
        assert await reads() == [["Ada", "Grace"], 1, 1]
        assert cache.stats.loads == before + 1, "what does not depend on the table stays"
        await db.execute("delete from owners where id = 2")
        assert await reads() == [["Ada"], 0, 1], "a view of a view, and what a cascade has deleted"


async def test_a_trigger_that_writes_invalidates_what_it_writes(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        await db.execute("create table orders (id int primary key)")
        await db.execute("create table totals (number int)")
        await db.execute("insert into totals values (0)")
        assert await cache.fetch_value("select number from totals") == 0
        await db.execute("insert into orders values (1)")
        if any_database.scheme == "postgresql":
            await db.execute(
                "create function counted() returns trigger language plpgsql as"
                " $$ begin update totals set number = number + 1; return new; end $$"
            )
            await db.execute("create trigger counts after insert on orders for each row execute function counted()")
        else:
            await db.execute(
                "create trigger counts after insert on orders for each row update totals set number = number + 1"
            )
        assert await cache.fetch_value("select number from totals") == 0
        await db.execute("insert into orders values (2)")
        assert await cache.fetch_value("select number from totals") == 1


async def test_a_trigger_that_only_sets_columns_invalidates_its_own_table_only(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        await db.execute("create table orders (id int primary key, changed timestamp null)")
        await db.execute("create table other (id int primary key)")
        if any_database.scheme == "postgresql":
            await db.execute(
                "create function touch() returns trigger language plpgsql as"
                " $$ begin if tg_op = 'INSERT' then new.changed := now(); end if; return new; end $$"
            )
            await db.execute("create trigger touches before insert on orders for each row execute function touch()")
        else:
            await db.execute("create trigger touches before insert on orders for each row set new.changed = now()")
        await cache.fetch_value("select count(*) from other")
        await db.execute("insert into orders (id) values (1)")
        before = cache.stats.hits
        await cache.fetch_value("select count(*) from other")
        assert cache.stats.hits == before + 1


async def test_a_view_that_is_defined_again_is_resolved_again(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        for table in ("old", "young"):
            await db.execute(f"create table {table} (id int primary key)")
        await db.execute("create view people as select id from old")
        assert await cache.fetch_value("select count(*) from people") == 0
        await db.execute("create or replace view people as select id from young")
        assert await cache.fetch_value("select count(*) from people") == 0
        await db.execute("insert into young values (1)")
        assert await cache.fetch_value("select count(*) from people") == 1


async def test_a_foreign_key_of_a_new_table_counts_from_then_on(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        await db.execute("create table parents (id int primary key)")
        await db.execute("insert into parents values (1)")
        await db.execute("create table children (id int primary key, parent int)")
        await db.execute("drop table children")
        await db.execute(
            "create table children (id int primary key, parent int,"
            " foreign key (parent) references parents (id) on delete cascade)"
        )
        await db.execute("insert into children values (1, 1)")
        assert await cache.fetch_value("select count(*) from children") == 1
        await db.execute("delete from parents")
        assert await cache.fetch_value("select count(*) from children") == 0


async def test_partitions_and_row_policies(database: FreshDatabase, valkey: ValkeyServer, namespace: str) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await db.execute("create table log (id int, at int) partition by range (at)")
        await db.execute("create table log_1 partition of log for values from (0) to (10)")
        await db.execute("create table members (name text)")
        await db.execute("create table notes (owner text)")
        await db.execute("alter table notes enable row level security")
        await db.execute("create policy mine on notes using (exists (select from members where name = owner))")
        await db.execute("create role reader")
        await db.execute("grant select on notes, members to reader")
        await db.execute("insert into notes values ('ada')")
        assert await cache.fetch_value("select count(*) from log_1") == 0
        assert await cache.fetch_value("select count(*) from log") == 0
        await db.execute("insert into log values (1, 1)")
        assert await cache.fetch_value("select count(*) from log_1") == 1, "a write to the parent"
        await db.execute("insert into log_1 values (2, 2)")
        assert await cache.fetch_value("select count(*) from log") == 2, "a write to the partition"
        as_reader = cache.of(api.scoped(db, Scope(role="reader")))
        assert await as_reader.fetch_value("select count(*) from notes") == 0
        await db.execute("insert into members values ('ada')")
        assert await as_reader.fetch_value("select count(*) from notes") == 1, "the policy reads another table"
        assert await cache.fetch_value("select count(*) from notes") == 1


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from pg_stat_activity",
        "select count(*) from information_schema.tables",
        "select last_value from numbers",
        "select * from calling",
    ],
)
async def test_what_changes_without_a_write_that_is_seen_is_not_kept(
    query: str, database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await db.execute("create sequence numbers")
        await db.execute("create table plain (id int)")
        await db.execute("create function f() returns int language sql stable as 'select 1'")
        await db.execute("create view calling as select f() as one from plain")
        for _ in range(3):
            await cache.fetch_all(query)
        assert (cache.stats.hits, cache.stats.bypassed) == (0, 3)


async def test_a_user_that_sees_no_triggers_invalidates_everything(
    mysql_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    name = mysql_database.name
    async with opened(mysql_database, valkey, namespace) as (db, cache):
        await db.execute("create table orders (id int primary key)")
        await db.execute("create table totals (number int)")
        await db.execute("insert into totals values (0)")
        await db.execute("create trigger counts after insert on orders for each row update totals set number = 1")
        user = f"least_{namespace}"
        await db.execute(f"create user {user} identified by 'least-privilege'")
        await db.execute(f"grant select, insert on {name}.* to {user}")
        url = f"mysql://{user}:least-privilege@{mysql_database.host}:{mysql_database.port}/{name}"
        async with (
            rdskit.connect(url, tls="off", cleartext_password=True) as theirs,
            Cache(theirs, valkey.url, namespace=namespace, timeout=PATIENT),
        ):
            assert await cache.fetch_value("select number from totals") == 0
            await theirs.execute("insert into orders values (1)")
            assert await cache.fetch_value("select number from totals") == 1
        await db.execute(f"drop user {user}")
