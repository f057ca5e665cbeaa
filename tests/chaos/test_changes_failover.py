"""A change stream of a Multi-AZ instance whose writer is killed: the copy equals the source, or it stops loudly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.errors import MustRefetch
from rdskit.stream import changes
from tests.chaos.multi_az import MultiAz, multi_az
from tests.plugins.rounds import soak
from tests.plugins.waiting import eventually
from tests.stream.sources import apply, begun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LAST = -1


@pytest.fixture(params=["mysql", *soak("mariadb")])
def instance(local_rds: LocalRds, request: pytest.FixtureRequest) -> Iterator[MultiAz]:
    with multi_az(local_rds, request.param) as running:
        yield running


async def _write(db: rdskit.Database, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        try:
            await db.execute("insert into items values (:id, 0)", id=number)
            await db.execute("update items set n = n + 1 where id = :id", id=number // 2)
        except rdskit.FailoverError:  # an outcome that is unknown is as good here: the stream says what became of it
            continue
    await db.execute("insert into items values (:id, 0)", id=LAST)


async def test_a_stream_goes_on_behind_a_failover(instance: MultiAz) -> None:
    copy: dict[int, tuple[int, ...]] = {}
    delivered: list[tuple[str, str, int]] = []

    async def follow(db: rdskit.Database) -> None:
        async with changes(db, name="copy", tables=["items"], heartbeat=1.0) as stream:
            async for change in stream:
                apply(copy, change)
                row = change.new or change.old
                delivered.append((change.transaction, str(change.kind), row.id))
                if len(delivered) % 20 == 0:
                    await change.done()
                if LAST in copy:
                    return

    async with instance.connect() as db, instance.connect() as other:
        await db.execute("create table items (id int primary key, n int)")
        following = asyncio.create_task(follow(db))
        await begun(other, "copy")
        stop = asyncio.Event()
        writing = asyncio.create_task(_write(other, stop))

        async def has_followed(least: int) -> bool:
            if following.done():
                await following
            return len(delivered) >= least

        await eventually(lambda: has_followed(100))
        before = len(delivered)
        instance.kill_writer()
        await eventually(lambda: has_followed(before + 300), 120)
        stop.set()
        await writing
        await asyncio.wait_for(following, 60)
        assert copy == {row[0]: tuple(row) for row in await db.fetch_all("select * from items")}
        assert len(delivered) == len(set(delivered)), "nothing is delivered twice"


async def test_a_slot_that_a_failover_has_lost_is_a_loud_stop(local_rds: LocalRds) -> None:
    """The standby of the local RDS has no slots; Amazon's has, because it has the same storage."""
    name = "logical"
    local_rds.rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres18", Description="logical"
    )
    local_rds.rds.modify_db_parameter_group(
        DBParameterGroupName=name,
        Parameters=[
            {"ParameterName": "rds.logical_replication", "ParameterValue": "1", "ApplyMethod": "pending-reboot"}
        ],
    )
    local_rds.create("logical", engine="postgres", MultiAZ=True, DBParameterGroupName=name)
    instance = MultiAz(local_rds, "logical", "postgres")
    async with instance.connect() as db:
        await db.execute("create table items (id int primary key, n int)")

        async def follow() -> None:
            async for change in changes(db, name="copy", tables=["items"]):
                await change.done()

        following = asyncio.create_task(follow())
        await begun(db, "copy")
        instance.kill_writer()
        with pytest.raises(MustRefetch, match="took over"):
            await asyncio.wait_for(following, 120)
    local_rds.delete("logical")
