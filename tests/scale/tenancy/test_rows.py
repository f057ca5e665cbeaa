"""Tenants by row: no statement reaches a row of another tenant, and a database that would let one is refused."""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.errors import ConfigError, RdskitError
from rdskit.scale import Tenants, row_policy
from tests.scale.tenancy.mutations import without_predicates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(60)
APP = "tenants_app"  # a role of PostgreSQL that owns nothing
NAMES = [f"t{number}" for number in range(6)]

#: What an application runs, with the predicate that it would write itself.
STATEMENTS = [
    "select id, tenant_id from orders where tenant_id = :tenant order by id",
    "select o.id, i.tenant_id from orders o join items i on i.order_id = o.id where o.tenant_id = :tenant",
    (
        "select i.tenant_id from items i left join orders o on o.id = i.order_id and o.tenant_id = :tenant "
        "where i.tenant_id = :tenant"
    ),
    "select tenant_id from orders where tenant_id = :tenant and id in (select order_id from items)",
    (
        "select tenant_id from orders where tenant_id = :tenant union all select tenant_id from items "
        "where tenant_id = :tenant"
    ),
    "with mine as (select * from items where tenant_id = :tenant) select tenant_id from mine",
    "select max(tenant_id), min(tenant_id) from orders where tenant_id = :tenant",
    "select tenant_id from orders where tenant_id = :tenant or id > 0",
    (
        "select tenant_id, (select count(*) from items where tenant_id = :tenant) as n from orders "
        "where tenant_id = :tenant for update"
    ),
]
CHANGES = [
    "update orders set n = n + 1 where tenant_id = :tenant",
    "update orders set n = n + 1 where tenant_id = :tenant and id in (select order_id from items)",
    "delete from items where tenant_id = :tenant and id < 0",
    "delete from items where tenant_id = :tenant",
]


async def _make_tables(db: rdskit.Database, *, postgres: bool) -> None:
    kind = "text" if postgres else "varchar(48)"
    # A key without the tenant, as most applications have it.
    await db.execute(f"create table orders (id int primary key, tenant_id {kind} not null, n int not null default 0)")
    await db.execute(f"create table items (id int primary key, order_id int not null, tenant_id {kind} not null)")
    await db.execute("create table countries (code varchar(2) primary key)")
    for number, name in enumerate(NAMES):
        await db.execute("insert into orders (id, tenant_id) values (:id, :t)", id=number, t=name)
        await db.execute("insert into items values (:id, :order, :t)", id=number, order=number, t=name)
    if postgres:
        await db.execute(f"do $$ begin create role {APP}; exception when duplicate_object then null; end $$")
        for table in ("orders", "items"):
            for statement in row_policy(table):
                await db.execute(statement)
        await db.execute(f"grant select, insert, update, delete on orders, items, countries to {APP}")


@pytest.fixture
async def tenants(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> AsyncIterator[Tenants]:
    postgres = target.url.startswith("postgresql")
    await _make_tables(db, postgres=postgres)
    found = Tenants(db, by="row", shared=["countries"], role=APP if postgres else None, per_tenant=2)
    yield found
    await found.close()
    if postgres:
        await db.execute(f"drop owned by {APP}")


async def test_reads_show_one_tenant_with_and_without_the_applications_own_predicates(tenants: Tenants) -> None:
    for statement in STATEMENTS:
        for text in (statement, *without_predicates(statement)):
            named = {"tenant": "t1"} if ":tenant" in text else {}
            async with tenants.transaction("t1") as tx:
                rows = await tx.fetch_all(text, named)
            assert rows, text
            assert {value for row in rows for value in row if isinstance(value, str)} <= {"t1"}, text


async def test_changes_reach_one_tenant_with_and_without_its_predicate(db: rdskit.Database, tenants: Tenants) -> None:
    for statement in CHANGES:
        for text in (statement, *without_predicates(statement)):
            before = await _foreign(db, "t1")
            async with tenants.use("t1") as t:
                await t.execute(text, {"tenant": "t1"} if ":tenant" in text else {})
            assert await _foreign(db, "t1") == before, text
    assert await db.fetch_value("select n from orders where tenant_id = 't1'") > 0


async def _foreign(db: rdskit.Database, tenant: str) -> list[Any]:
    return [
        *await db.fetch_all("select * from orders where tenant_id <> :t order by id", t=tenant, into=dict),
        *await db.fetch_all("select * from items where tenant_id <> :t order by id", t=tenant, into=dict),
    ]


async def test_inserts_belong_to_the_tenant(db: rdskit.Database, tenants: Tenants) -> None:
    async with tenants.use("t1") as t:
        await t.execute("insert into orders (id, n) values (:id, 1), (101, 2)", id=100)
        await t.execute("insert into orders (id, n) select id + 1000, n from orders where n > 0")
        await t.insert_many("orders", [{"id": 200, "n": 3}, {"id": 201, "n": 3}])
        await t.execute_many("insert into orders (id, n) values (:id, 4)", [{"id": 300}, {"id": 301}])
        async with t.transaction() as tx:
            await tx.insert_many("orders", [{"id": 400, "n": 5}])
        with pytest.raises(RdskitError):
            await t.insert_many("orders", [{"id": 500, "n": 5, "tenant_id": "t2"}])
        with pytest.raises(RdskitError):
            await t.execute("insert into orders (id, tenant_id) values (500, 't2')")
        assert [row[0] async for row in t.stream("select count(*) from orders")] == [10]
    rows = await db.fetch_all("select id from orders where tenant_id = 't1' and id > 99 order by id")
    assert [row[0] for row in rows] == [100, 101, 200, 201, 300, 301, 400, 1100, 1101]
    assert await db.fetch_value("select count(*) from orders") == 9 + len(NAMES)


async def test_the_tenant_cannot_be_changed_in_a_statement(tenants: Tenants) -> None:
    async with tenants.use("t1") as t:
        for text in (
            "select set_config('rdskit.tenant', 't2', false)",
            "set rdskit.tenant to 't2'",
            "set @rdskit_tenant = 't2'",
            "select @rdskit_tenant := 't2'",
        ):
            with pytest.raises(RdskitError):
                await t.execute(text)
        assert await t.fetch_value("select max(tenant_id) from orders") == "t1"
        with pytest.raises(RdskitError):
            await t.execute("update orders set tenant_id = 't2'")


async def test_interleaved_tasks_never_see_a_foreign_row(tenants: Tenants) -> None:
    chance = random.Random(7)

    async def one(name: str, way: int) -> set[str]:
        async with tenants.use(name) as t:
            if way == 0:
                return {row[0] for row in await t.fetch_all("select tenant_id from orders")}
            if way == 1:
                return {row[0] async for row in t.stream("select tenant_id from items")}
            async with t.transaction() as tx:
                await tx.execute("update orders set n = n + 1")
                return {row[0] for row in await tx.fetch_all("select tenant_id from orders")}

    for _ in range(10):
        chosen = [(chance.choice(NAMES), chance.randrange(3)) for _ in range(60)]
        found = await asyncio.gather(*(one(*each) for each in chosen))
        assert found == [{name} for name, _ in chosen]


async def test_a_shared_table_is_read_and_not_written_on_the_family(family: FamilyDatabase) -> None:
    async with rdskit.connect(family.url, tls="off", readers="off") as db:
        await _make_tables(db, postgres=False)
        async with Tenants(db, by="row", shared=["countries"]) as tenants, tenants.use("t1") as t:
            assert await t.fetch_all("select * from countries") == []
            with pytest.raises(ConfigError, match="only read"):
                await t.execute("insert into countries (code) values ('de')")


async def test_a_collation_of_the_column_does_not_matter(family: FamilyDatabase) -> None:
    async with rdskit.connect(family.url, tls="off", readers="off") as db:
        for number, kind in enumerate(
            (
                "varchar(48) character set latin1",
                "varchar(48) character set utf8mb4 collate utf8mb4_bin",
                "char(48) character set ascii",
                "bigint unsigned",
                "int",
            )
        ):
            await db.execute(f"create table kind{number} (id int primary key, tenant_id {kind}, key (tenant_id))")
            await db.execute(f"insert into kind{number} values (1, '7'), (2, '8')")
        async with Tenants(db, by="row") as tenants, tenants.use(7) as t:
            for number in range(5):
                assert [row[0] for row in await t.fetch_all(f"select id from kind{number}")] == [1]
                await t.execute(f"insert into kind{number} (id) values (3)")
                assert await t.fetch_value(f"select count(*) from kind{number} where id = 3") == 1


class TestRefusedOnPostgres:
    """A login or a table for which row-level security does not hold is named, before the first statement."""

    @pytest.fixture
    async def owner(self, database: TestDatabase) -> AsyncIterator[rdskit.Database]:
        async with rdskit.connect(database.url, tls="off", max_size=3, readers="off") as db:
            await _make_tables(db, postgres=True)
            await db.execute(f"grant select on countries to {APP}")
            yield db
            await db.execute(f"drop owned by {APP}")

    async def _reason(self, db: rdskit.Database, *, role: str | None = APP) -> str:
        async with Tenants(db, by="row", shared=["countries"], role=role) as tenants:
            with pytest.raises(ConfigError) as caught:
                async with tenants.use("t1"):
                    pass
        return str(caught.value)

    async def test_a_superuser(self, owner: rdskit.Database) -> None:
        assert "superuser" in await self._reason(owner, role=None)

    async def test_bypassrls(self, owner: rdskit.Database) -> None:
        await owner.execute(f"alter role {APP} bypassrls")
        try:
            assert "BYPASSRLS" in await self._reason(owner)
        finally:
            await owner.execute(f"alter role {APP} nobypassrls")

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            (f"alter table items owner to {APP}", "'items'.*owns it"),
            ("alter table items disable row level security", "'items'.*no row-level security"),
            ("drop policy rdskit_tenant on items", "'items'.*no policy"),
            ("create policy all_rows on items using (true)", "'items'.*does not compare"),
            (f"grant truncate on items to {APP}", "'items'.*TRUNCATE"),
            (f"create table new (id int); grant select on new to {APP}", "'new'.*no column"),
            (f"create view v as select * from items; grant select on v to {APP}", "'v'.*owner's rights"),
            (f"create materialized view m as select * from items; grant select on m to {APP}", "'m'.*does not hold"),
        ],
    )
    async def test_what_would_leak(self, owner: rdskit.Database, statement: str, words: str) -> None:
        for each in statement.split("; "):
            await owner.execute(each)
        found = await self._reason(owner)
        assert re.search(words, found), found

    async def test_a_view_with_the_callers_rights_is_fine(self, owner: rdskit.Database) -> None:
        await owner.execute("create view v with (security_invoker = true) as select * from items")
        await owner.execute(f"grant select on v to {APP}")
        async with Tenants(owner, by="row", shared=["countries"], role=APP) as tenants, tenants.use("t1") as t:
            assert [row[0] for row in await t.fetch_all("select tenant_id from v")] == ["t1"]
