"""Scopes: tenant, role and schema of a view, and nothing of them in any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client import api
from rdskit.errors import QueryError, StatementError
from rdskit.kernel.scope import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.kernel.writes import Write
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def schemas(engine: Engine, db: rdskit.Database) -> AsyncIterator[tuple[str, str]]:
    """Make two schemas with a table ``items`` of other columns than the one of the database."""
    names = (f"{engine.database.name}_a", f"{engine.database.name}_b")
    await db.execute("create table items (id int)")
    await db.execute("insert into items values (0)")
    for number, name in enumerate(names, 1):
        await db.execute(f"create schema {name}")
        await db.execute(f"create table {name}.items (id int, name varchar(9))")
        await db.execute(f"insert into {name}.items values (:n, 'x')", n=number)
    yield names
    for name in names:
        await db.execute(f"drop schema {name}{engine.pick(' cascade', '')}")


@pytest.fixture
async def role(engine: Engine, db: rdskit.Database) -> AsyncIterator[str]:
    """Make a role that may read ``items`` in the first schema, and do nothing else."""
    name = f"{engine.database.name}_role"
    await db.execute(f"create role {name}")
    if engine.name == "mysql":
        await db.execute(f"grant {name} to current_user()")
    yield name
    async with db.connection() as held:
        await held.execute(f"drop {engine.pick('owned by', 'role')} {name}")
        if engine.is_postgres:
            await held.execute(f"drop role {name}")


TENANT = {"postgres": "select current_setting('rdskit.tenant', true)", "family": "select @rdskit_tenant"}


def _tenant(engine: Engine) -> str:
    return TENANT["postgres" if engine.is_postgres else "family"]


async def test_every_way_of_running_a_statement_is_in_the_scope(engine: Engine, db: rdskit.Database) -> None:
    acme = api.scoped(db, Scope("o'h\\ara"))
    text = _tenant(engine)
    assert await acme.fetch_value(text) == "o'h\\ara"
    async with acme.transaction() as tx:
        assert await tx.fetch_value(text) == "o'h\\ara"
    assert [row[0] async for row in acme.stream(text)] == ["o'h\\ara"]
    async with acme.session() as session:
        assert await session.fetch_value(text) == "o'h\\ara"
    async with acme.connection() as held:
        assert await held.fetch_value(text) == "o'h\\ara"
    async with acme.lock("x"):
        pass
    assert not await db.fetch_value(text)


async def test_scopes_never_mix_under_load(engine: Engine, db: rdskit.Database) -> None:
    text = _tenant(engine)

    async def one(number: int) -> bool:
        name = f"tenant{number % 5}"
        if number % 7 == 0:
            return not await db.fetch_value(text)
        view = api.scoped(db, Scope(name))
        if number % 3 == 0:
            async with view.transaction() as tx:
                return bool(await tx.fetch_value(text) == name)
        return bool(await view.fetch_value(text) == name)

    for start in range(0, 210, 30):
        assert all(await asyncio.gather(*(one(number) for number in range(start, start + 30))))


async def test_names_are_looked_up_in_the_schema(db: rdskit.Database, schemas: tuple[str, str]) -> None:
    one, other = (api.scoped(db, Scope(schema=name)) for name in schemas)
    for _ in range(3):  # also with statements that are prepared already
        assert await db.fetch_all("select * from items", into=dict) == [{"id": 0}]
        assert await one.fetch_all("select * from items", into=dict) == [{"id": 1, "name": "x"}]
        async with other.transaction() as tx:
            assert await tx.fetch_all("select * from items", into=dict) == [{"id": 2, "name": "x"}]
            await tx.execute("update items set name = name")
    await one.insert_many("items", [{"id": 7, "name": "y"}])
    assert await db.fetch_value(f"select count(*) from {schemas[0]}.items") == 2


async def test_a_role_is_entered_and_left(
    engine: Engine, db: rdskit.Database, schemas: tuple[str, str], role: str
) -> None:
    scope = Scope("acme", role, schemas[0])
    view = api.scoped(db, scope)
    who = engine.pick("select current_user", "select current_role()")
    before = await db.fetch_value(who)
    for _ in range(2):
        assert role in str(await view.fetch_value(who))
        if engine.is_postgres:
            with pytest.raises(StatementError, match=r"permission denied|does not exist"):
                await view.fetch_all("select * from items")
        assert await db.fetch_value(who) == before
        assert role in str(await api.scoped(db, Scope(role=role)).fetch_value(who))


async def test_a_scope_that_is_refused_says_so_and_leaves_nothing(engine: Engine, db: rdskit.Database) -> None:
    text = _tenant(engine)
    view = api.scoped(db, Scope("acme", role="no_such_role"))
    for _ in range(6):
        # PostgreSQL receives the role as a value, and values are left out of errors.
        with pytest.raises(QueryError, match=r'no_such_role|role "…" does not exist'):
            await view.fetch_value("select 1")
        assert not await db.fetch_value(text)


async def test_a_view_shares_writes_and_hooks_and_closes_alone(engine: Engine, db: rdskit.Database) -> None:
    received: list[Write] = []

    async def hook(write: Write) -> None:
        received.append(write)

    api.on_write(db, hook)
    await db.execute("create table items (id int)")
    acme = api.scoped(db, Scope("acme"))
    await acme.execute("insert into items values (1)")
    async with acme.transaction() as tx:
        await tx.execute("insert into items values (1)")
    assert [write.scope for write in received[1:]] == [Scope("acme")] * 2
    await acme.close()
    with pytest.raises(rdskit.errors.ConfigError, match="view of"):
        await acme.fetch_value("select 1")
    assert await db.fetch_value("select count(*) from items") == 2
    assert not await db.fetch_value(_tenant(engine))


async def test_row_security_sees_the_tenant(engine: Engine, db: rdskit.Database) -> None:
    if not engine.is_postgres:
        return  # a view with @rdskit_tenant does the same there; no policy belongs to the engine
    name = f"{engine.database.name}_app"
    await db.execute("create table orders (tenant text, n int)")
    await db.execute("insert into orders values ('a', 1), ('b', 2)")
    await db.execute("alter table orders enable row level security")
    await db.execute("create policy own on orders using (tenant = current_setting('rdskit.tenant', true))")
    await db.execute(f"create role {name}")
    try:
        await db.execute(f"grant select on orders to {name}")
        for tenant, n in (("a", 1), ("b", 2), ("a", 1)):
            view = api.scoped(db, Scope(tenant, role=name))
            assert await view.fetch_all("select n from orders", into=dict) == [{"n": n}]
        assert await db.fetch_value("select count(*) from orders") == 2
    finally:
        await db.execute(f"drop owned by {name}")
        await db.execute(f"drop role {name}")
