"""Tenants by schema and by database: bounded connections, every tenant served, and no tenant in another's place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.errors import AuthenticationError, ConfigError, PoolTimeout, StatementError
from rdskit.scale import Tenants, TenantTable, TenantTarget
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.scale import Tenant
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(60)


async def _mark(tenants: Tenants, name: str) -> None:
    async with tenants.use(name) as t:
        await t.execute("create table mine (name varchar(20))")
        await t.execute("insert into mine values (:name)", name=name)


async def _who(tenants: Tenants, name: str) -> str:
    async with tenants.use(name) as t:
        return str(await t.fetch_value("select name from mine"))


@pytest.fixture
async def tenants(
    db: rdskit.Database, target: TestDatabase | FamilyDatabase
) -> AsyncIterator[tuple[Tenants, list[str]]]:
    """Three tenants by schema; on MySQL and MariaDB these are databases of the server."""
    names = [f"t{number}" for number in range(3)]
    found = Tenants(db, by="schema", schema=f"{target.name}_{{id}}", per_tenant=2)
    for name in names:
        await found.add(name)
        await _mark(found, name)
    yield found, names
    await found.close()
    for name in names:
        cascade = " cascade" if target.url.startswith("postgresql") else ""
        await db.execute(f"drop schema {target.name}_{name}{cascade}")


async def test_each_tenant_has_a_schema(tenants: tuple[Tenants, list[str]]) -> None:
    room, names = tenants

    async def one(name: str) -> str:
        async with room.use(name) as t:
            if len(name) % 2:
                async with t.transaction() as tx:
                    return str(await tx.fetch_value("select name from mine"))
            return str(await t.fetch_value("select name from mine"))

    for _ in range(5):
        assert await asyncio.gather(*(one(name) for name in names * 8)) == names * 8
    with pytest.raises(StatementError):
        await _who(room, "missing")


async def test_adding_a_tenant_again_changes_nothing(tenants: tuple[Tenants, list[str]]) -> None:
    room, names = tenants
    await room.add(names[0])
    assert await _who(room, names[0]) == names[0]


async def test_a_tenant_uses_no_more_than_its_share(tenants: tuple[Tenants, list[str]]) -> None:
    room, _ = tenants
    async with room.use("t1") as t, t.transaction(), t.transaction():
        with pytest.raises(PoolTimeout, match="per_tenant"):
            await t.fetch_value("select 1", timeout=0.05)
        assert await _who(room_in_a_new_task(room), "t2") == "t2"
    assert await _who(room, "t1") == "t1"
    assert room.stats().in_use == 0


def _current(room: Tenants) -> str | None:
    return room.current


def room_in_a_new_task(room: Tenants) -> Any:
    """Use another tenant from a task of its own, as another request would."""

    class Other:
        def use(self, name: str) -> Any:
            room._current.set(None)
            return room.use(name)

    return Other()


async def test_another_tenant_inside_a_block_is_refused(tenants: tuple[Tenants, list[str]]) -> None:
    room, _ = tenants
    async with room.use("t1") as t:
        assert _current(room) == "t1"
        async with room.use("t1"):
            pass
        with pytest.raises(ConfigError, match="inside the block of tenant 't1'"):
            async with room.use("t2"):
                pass
    assert _current(room) is None
    with pytest.raises(ConfigError, match="has ended"):
        await t.fetch_value("select 1")


async def test_a_cancelled_call_gives_its_share_back(tenants: tuple[Tenants, list[str]]) -> None:
    room, _ = tenants
    for _ in range(3):
        async with room.use("t1") as t:
            task = asyncio.create_task(_sleep(t))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert await _who(room, "t1") == "t1"


async def _sleep(t: Tenant) -> None:
    async with t.transaction() as tx:
        await tx.fetch_value("select count(*) from mine")
        await asyncio.Event().wait()


async def test_the_table_says_who_exists(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> None:
    table = TenantTable(db)
    await table.setup()
    failing = True

    async def provision(name: str) -> None:
        if failing:
            raise ConfigError(f"no room for {name}")

    room = Tenants(db, by="schema", schema=f"{target.name}_{{id}}", table=table, provision=provision)
    with pytest.raises(ConfigError, match="no tenant 'acme'"):
        await _who(room, "acme")
    with pytest.raises(ConfigError, match="no room for acme"):
        await room.add("acme")
    with pytest.raises(ConfigError, match="not ready"):
        await _who(room, "acme")
    failing = False
    await room.add("acme")
    try:
        await _mark(room, "acme")
        assert await _who(room, "acme") == "acme"
        assert [(each.id, each.schema, each.ready) for each in await table.all()] == [
            ("acme", f"{target.name}_acme", True)
        ]
        with pytest.raises(ConfigError, match="known already"):
            await table.begin("acme", target="rds://other/shop")
        with pytest.raises(ConfigError, match="password") as caught:
            await table.begin("b", target="postgresql://app:geheim@localhost/shop")
        assert "geheim" not in str(caught.value)
    finally:
        cascade = " cascade" if target.url.startswith("postgresql") else ""
        await db.execute(f"drop schema {target.name}_acme{cascade}")


class TestDatabasesOfTheirOwn:
    """PostgreSQL: a connection belongs to one database, so that a few are open, and the others take turns."""

    @pytest.fixture
    async def urls(self, db: rdskit.Database, database: TestDatabase) -> AsyncIterator[str]:
        names = [f"{database.name}_{number}" for number in range(7)]
        async with db.connection() as held:
            for name in names:
                await held.execute(f"create database {name} strategy = wal_log")
        yield database.url.replace(f"/{database.name}", f"/{database.name}_{{id}}")
        async with db.connection() as held:
            for name in names:
                await held.execute(f"drop database {name} with (force)")

    @pytest.fixture
    def target(self, database: TestDatabase) -> TestDatabase:
        return database

    async def test_all_are_served_within_the_cap(self, db: rdskit.Database, urls: str, database: TestDatabase) -> None:
        most = 0
        text = f"select count(*) from pg_stat_activity where datname like '{database.name}\\_%'"

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, await db.fetch_value(text))

        async with Tenants(by="database", target=urls, tls="off", max_connections=6, per_tenant=2) as room:
            watching = asyncio.create_task(watch())
            await asyncio.gather(*(_mark(room, str(number)) for number in range(7)))
            names = [str(number) for number in range(7)] * 12
            assert await asyncio.gather(*(_who(room, name) for name in names)) == names
            assert room.stats().evicted > 0
            assert room.stats().open <= 3
            watching.cancel()
        assert 2 <= most <= 6

        async def gone() -> bool:
            return bool(await db.fetch_value(text) == 0)

        assert await eventually(gone)

    async def test_room_that_is_in_use_is_waited_for_in_turn(self, urls: str) -> None:
        async with Tenants(by="database", target=urls, tls="off", max_connections=1, per_tenant=1) as room:
            async with room.use("0") as t:
                await t.fetch_value("select 1")
                waiting = [asyncio.create_task(self._answer(room, name)) for name in ("1", "2", "0")]
                await asyncio.sleep(0)
                with pytest.raises(PoolTimeout, match="max_connections"):
                    await asyncio.create_task(self._answer(room, "3", timeout=0.05))
                waiting[1].cancel()
            await asyncio.wait(waiting)
            assert (waiting[0].result(), waiting[2].result()) == ("1", "0")
            assert waiting[1].cancelled()

    async def _answer(self, room: Tenants, name: str, timeout: float = 30.0) -> str:
        room._current.set(None)
        async with room.use(name, timeout=timeout) as t:
            return str(await t.fetch_value("select current_database()")).rpartition("_")[2]

    async def test_idle_databases_are_closed_and_opened_again(self, urls: str) -> None:
        async with Tenants(by="database", target=urls, tls="off", idle=0.2) as room:
            assert await self._answer(room, "1") == "1"

            async def closed() -> bool:
                return room.stats().open == 0

            assert await eventually(closed)
            assert await self._answer(room, "1") == "1"

    async def test_a_function_says_where_and_is_asked_again_after_forget(self, urls: str) -> None:
        places = {"acme": "1"}

        async def where(name: str) -> TenantTarget:
            return TenantTarget(urls.replace("{id}", places[name]), {"tls": "off"})

        async with Tenants(by="database", target=where) as room:
            assert await self._answer(room, "acme") == "1"
            places["acme"] = "2"
            assert await self._answer(room, "acme") == "1"
            await room.forget("acme")
            assert await self._answer(room, "acme") == "2"

    async def test_one_that_cannot_be_opened_fails_alone(self, urls: str) -> None:
        async def where(name: str) -> str:
            if name == "broken":
                return urls.replace("{id}", "1").replace("postgres:", "postgres:x")
            if name == "none":
                raise LookupError(name)
            return urls.replace("{id}", name)

        async with Tenants(by="database", target=where, tls="off", max_connections=2) as room:
            for _ in range(3):
                results = await asyncio.gather(
                    *(self._answer(room, name) for name in ("broken", "broken", "none", "1")), return_exceptions=True
                )
                assert [type(each) for each in results] == [
                    AuthenticationError,
                    AuthenticationError,
                    LookupError,
                    str,
                ]
            assert await self._answer(room, "2") == "2"
        with pytest.raises(ConfigError, match="closed"):
            await self._answer(room, "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"by": "database"}, "target="),
        ({"by": "schema"}, "needs the database"),
        ({"by": "table"}, "not known"),
        ({"by": "database", "target": "rds://shop"}, "{id} once"),
        ({"by": "database", "target": "rds://{id}", "max_size": 3}, "per_tenant"),
        ({"by": "database", "target": "rds://{id}", "max_connections": 1, "per_tenant": 2}, "more than"),
        ({"by": "database", "target": "rds://{id}", "per_tenant": 0}, "per_tenant"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Tenants(**arguments)


async def test_by_database_on_a_shared_server_is_for_the_family(
    database: TestDatabase, mysql_database: FamilyDatabase
) -> None:
    async with rdskit.connect(database.url, tls="off", readers="off") as db:
        with pytest.raises(ConfigError, match="cannot change its database"):
            Tenants(db, by="database")
    async with rdskit.connect(mysql_database.url, tls="off", readers="off") as db:
        async with Tenants(db, by="database", schema=f"{mysql_database.name}_{{id}}") as room:
            await room.add("acme")
            try:
                await _mark(room, "acme")
                assert await _who(room, "acme") == "acme"
            finally:
                await db.execute(f"drop database {mysql_database.name}_acme")
        with pytest.raises(ConfigError, match="databases of their own"):
            Tenants(db, by="schema", credentials="iam")
