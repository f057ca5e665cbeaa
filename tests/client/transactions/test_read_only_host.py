"""A real server that becomes read only and keeps its sessions, as the old writer does in a switchover."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.drivers.mysql import AsyncmyDriver
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import ConnectOptions, Login

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from rdskit.kernel.ports import Connection
    from tests.plugins.mysql_family import FamilyDatabase


HELD = 3


async def administrator(database: FamilyDatabase) -> Connection:
    options = ConnectOptions(Endpoint(database.host, database.port), database.name, None, 5.0, "test")
    return await AsyncmyDriver().connect(options, Login(database.user, database.password))


async def run(root: Connection, *statements: str) -> None:
    for statement in statements:
        await root.execute(statement, (), 5.0)


async def note(tx: Transaction, held: asyncio.Barrier | None = None) -> int:
    """Write, and give the session's id; no sooner than as many others hold a session as ``held`` says."""
    await tx.execute("insert into notes values (1)")
    if held is not None:
        await held.wait()
    return int(await tx.fetch_value("select connection_id()"))


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
async def test_one_transaction_that_is_refused_a_write_spares_the_others_all_sessions_of_that_host(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    url = f"{database.scheme}://teller:teller@{database.host}:{database.port}/{database.name}"
    root = await administrator(database)
    grant = f"grant all on {database.name}.* to teller@'%'"
    await run(root, "create table notes (n int)", "create user teller@'%' identified by 'teller'", grant)
    try:
        async with rdskit.connect(url, tls="off", min_size=HELD, max_size=HELD) as db:
            held = asyncio.Barrier(HELD)
            before = set(await asyncio.gather(*(db.run(note, args=(held,)) for _ in range(HELD))))
            assert len(before) == HELD
            await run(root, "set global read_only = 1")
            with pytest.raises(rdskit.FailoverError, match="read-only"):
                async with db.transaction() as tx:
                    await note(tx)
            with pytest.raises(rdskit.NoWriterError):
                await db.fetch_value("select 1", timeout=0.5)
            await run(root, "set global read_only = 0")
            assert not before & set(await asyncio.gather(*(db.run(note, args=(held,)) for _ in range(HELD))))
            assert await db.fetch_value("select count(*) from notes") == 2 * HELD
    finally:
        await run(root, "set global read_only = 0", "drop user teller@'%'")
        await root.close(2.0)
