"""A room above the client in miniature: what it is built on holds through a real failover."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client import api
from rdskit.errors import FailoverError
from rdskit.kernel.scope import Scope
from rdskit.kernel.topology import EpochReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.client.api import Transaction
    from rdskit.kernel.writes import Write
    from tests.plugins.local_rds import LocalRds

pytestmark = pytest.mark.timeout(180)
NAME = "internal-api"


@pytest.fixture
async def db(local_rds: LocalRds) -> AsyncIterator[rdskit.Database]:
    local_rds.create(NAME, MultiAZ=True)
    try:
        async with rdskit.connect(f"rds://{NAME}", credentials=f"secretsmanager:{local_rds.secret(NAME)}") as opened:
            yield opened
    finally:
        local_rds.delete(NAME)


async def test_everything_goes_on_after_a_failover(db: rdskit.Database, local_rds: LocalRds) -> None:
    writes: list[Write] = []

    async def hook(write: Write) -> None:
        writes.append(write)

    await db.execute("create table jobs (id int, tenant text default current_setting('rdskit.tenant', true))")
    api.on_write(db, hook, position=True)
    acme = api.scoped(db, Scope("acme"))
    epochs = api.epochs(db)
    first = await anext(epochs)
    assert (first.number, first.reason) == (1, EpochReason.OPENED)

    async with db.listen("jobs") as listening, db.connection() as held:
        notes = aiter(listening)
        await acme.execute("insert into jobs (id) values (1)")
        await db.execute("notify jobs, 'before'")
        assert (await anext(notes)).payload == "before"
        await held.execute("set statement_timeout = 12345")

        await asyncio.to_thread(local_rds.fail_over, NAME)

        assert (await anext(notes)).missed, "and by then the server is listened to again"
        second = await anext(epochs)
        assert second.number > first.number
        assert second.writer == first.writer, "the endpoint of an instance stays"
        assert second.reason is EpochReason.RECONNECTED
        with pytest.raises(FailoverError):
            await held.execute("select 1")
        await _write_in_all_ways(acme)
        await db.execute("notify jobs, 'after'")
        while (note := await anext(notes)).missed:  # the connection may have been lost twice
            pass
        assert note.payload == "after"

    rows = await db.fetch_all("select id, tenant from jobs order by id", into=dict)
    assert rows == [{"id": number, "tenant": "acme"} for number in (1, 2, 3, 4, 5)]
    received = [write for write in writes if write.tables == frozenset({"jobs"})]
    assert [(write.certain, write.scope) for write in received] == [(True, Scope("acme"))] * 5
    positions = [write.position for write in received]
    for earlier, later in pairwise(positions):
        assert earlier is not None
        assert later is not None
        assert later.covers(earlier)


async def _write_in_all_ways(db: rdskit.Database) -> None:
    await db.execute("insert into jobs (id) values (2)")
    async with db.transaction() as tx:
        await tx.execute("insert into jobs (id) values (3)")
    await db.insert_many("jobs", [{"id": 4}])

    async def work(tx: Transaction) -> None:
        await tx.execute("insert into jobs (id) values (5)")

    await db.run(work)
