"""What a caller of the cache sees, on every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.scope import Scope
from tests.scale.cache.opened import READ, make_users, opened

if TYPE_CHECKING:
    from rdskit.client.api import Session
    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer


@pytest.fixture(params=["database", "mysql_database", "mariadb_database"], ids=["postgres", "mysql", "mariadb"])
def any_database(request: pytest.FixtureRequest) -> FreshDatabase:
    found: FreshDatabase = request.getfixturevalue(request.param)
    return found


async def test_a_result_is_kept_until_its_table_is_written(
    any_database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(any_database, valkey, namespace) as (db, cache):
        await make_users(db)
        for _ in range(3):
            assert [dict(row) for row in await cache.fetch_all(READ)] == [{"id": 1, "name": "Ada"}]
        assert (cache.stats.hits, cache.stats.loads) == (2, 1)
        async with db.transaction() as tx:
            await tx.execute("update users set name = 'Grace' where id = :id", id=1)
            assert (await cache.fetch_one(READ)).name == "Ada", "what is not committed is not seen"
        assert (await cache.fetch_one(READ)).name == "Grace"
        assert await cache.fetch_value("select name from users where id = :id", id=1) == "Grace"
        assert await cache.fetch_one("select name from users where id = :id", id=2) is None
        before = cache.stats
        assert await cache.fetch_one("select name from users where id = :id", id=2) is None
        assert cache.stats.hits == before.hits + 1, "that there is no row is kept too"


async def test_two_processes_worth_of_caches_share_entries_and_invalidations(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with (
        opened(database, valkey, namespace) as (db, one),
        opened(database, valkey, namespace) as (other_db, other),
    ):
        await make_users(db)
        await one.fetch_all(READ)
        await other.fetch_all(READ)
        assert (other.stats.hits, other.stats.loads) == (1, 0)
        await other_db.insert_many("users", [{"id": 2, "name": "Grace"}])
        assert [row.id for row in await one.fetch_all(READ)] == [1, 2]


async def test_a_call_may_go_around_the_cache(database: FreshDatabase, valkey: ValkeyServer, namespace: str) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        await cache.fetch_all(READ)
        await cache.fetch_all(READ, use=False)
        with cache.bypass():
            await cache.fetch_all(READ)
        assert (cache.stats.hits, cache.stats.bypassed) == (0, 2)


async def test_a_write_of_unknown_tables_invalidates_everything(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        await db.execute("create function rename() returns void language sql as $$ update users set name = 'x' $$")
        assert await cache.fetch_value("select name from users") == "Ada"
        await db.fetch_value("select rename()")
        assert await cache.fetch_value("select name from users") == "x"


async def test_a_query_of_unknown_tables_is_not_kept(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        await db.execute("create function people() returns bigint language sql stable as 'select count(*) from users'")
        for _ in range(3):
            assert await cache.fetch_value("select people()") == 1
        assert (cache.stats.hits, cache.stats.bypassed) == (0, 3)
        for _ in range(2):
            assert await cache.fetch_value("select people()", tables=["users"]) == 1
        assert cache.stats.hits == 1
        await db.execute("insert into users values (2, 'Grace')")
        assert await cache.fetch_value("select people()", tables=["users"]) == 2


async def test_a_value_that_the_application_computes(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)

        async def count(session: Session) -> dict[object, object]:
            return {"people": await session.fetch_value("select count(*) from users"), 1: (2, {3})}

        for _ in range(2):
            assert await cache.get_or_load("people", count, 60, depends=["users"]) == {"people": 1, 1: (2, {3})}
        assert cache.stats.loads == 1
        await db.execute("insert into users values (2, 'Grace')")
        assert (await cache.get_or_load("people", count, 60, depends=["users"]))["people"] == 2
        with pytest.raises(ConfigError, match="uzers"):
            await cache.get_or_load("people", count, 60, depends=["uzers"])


async def test_the_scope_is_part_of_the_key(database: FreshDatabase, valkey: ValkeyServer, namespace: str) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        for tenant in ("acme", "globex"):
            await db.execute(f"create schema {tenant}")
            await db.execute(f"create table {tenant}.users (name text)")
            await db.execute(f"insert into {tenant}.users values ('{tenant}')")
        query = "select name, current_setting('rdskit.tenant', true) as tenant from users"
        views = {tenant: api.scoped(db, Scope(tenant=tenant, schema=tenant)) for tenant in ("acme", "globex")}
        for _ in range(2):
            for tenant, view in views.items():
                assert tuple(await cache.of(view).fetch_one(query, tables=["users"])) == (tenant, tenant)
        assert cache.stats.hits == 2
        await views["acme"].execute("update users set name = 'changed'")
        assert (await cache.of(views["acme"]).fetch_one(query, tables=["users"])).name == "changed"


@dataclass
class User:
    id: int
    name: str


async def test_rows_become_values_of_the_callers_types(
    database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        for _ in range(2):
            assert await cache.fetch_all(READ, into=User) == [User(1, "Ada")]
            assert await cache.fetch_one(READ, into=User) == User(1, "Ada")


@pytest.mark.parametrize("options", [{"ttl": 0}, {"ttl": "1"}, {"params": 1}, {"id": 1}])
async def test_a_wrong_call_is_refused(
    options: dict[str, object], database: FreshDatabase, valkey: ValkeyServer, namespace: str
) -> None:
    async with opened(database, valkey, namespace) as (db, cache):
        await make_users(db)
        with pytest.raises(ConfigError):
            await cache.fetch_all(READ, **options)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="only reads"):
            await cache.fetch_all("delete from users returning id")
