"""Sessions on Aurora read what they have written, and readers answer whatever asks for nothing of the kind."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local import faults
from tests.chaos.clusters import Cluster, aurora
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.local_rds import LocalRds

ENGINES = ("aurora-postgresql", "aurora-mysql")
LAG = {"aurora-postgresql": 0.5, "aurora-mysql": 1.0}
"""Seconds by which readers are to be late; a reader of MySQL counts whole ones."""
PATIENCE = 60.0
PAIRS = 100
READ = "select count(*) from pair where id = :id"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds, engine: str) -> Iterator[Cluster]:
    with aurora(local_rds, engine.replace("aurora", "reads"), readers=1, engine=engine) as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: Cluster) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(cluster.target, timeout=PATIENCE) as db:
        await db.execute("create table if not exists pair (id bigint primary key)")
        await db.execute("delete from pair")
        yield db


def by_readers(db: rdskit.Database) -> int:
    return sum(db.stats().reads_by_reader.values())


async def unrelated_read(db: rdskit.Database, key: int = 0) -> bool:
    """Read in a session that has written nothing; whether it finds the key."""
    async with db.session() as session:
        return bool(await session.fetch_value(READ, id=key))


async def a_reader_answers(db: rdskit.Database) -> bool:
    before = by_readers(db)
    await unrelated_read(db)
    return by_readers(db) > before


async def finds(db: rdskit.Database, key: int) -> bool:
    """Write in a session and look for it there."""
    async with db.session() as session:
        await session.execute("insert into pair values (:id)", id=key)
        return bool(await session.fetch_value(READ, id=key))


async def shows_late(db: rdskit.Database, keys: Iterator[int]) -> bool:
    """Return whether what was just written is missing on a reader."""
    key = next(keys)
    assert await finds(db, key)
    before = by_readers(db)
    found = await unrelated_read(db, key)
    return by_readers(db) > before and not found


async def test_nothing_is_stale_while_readers_are_late_and_they_answer_what_is_unrelated(
    cluster: Cluster, db: rdskit.Database, engine: str
) -> None:
    await eventually(functools.partial(a_reader_answers, db), PATIENCE)
    (reader,) = set(cluster.instances) - {cluster.writer}
    await cluster.inject(reader, faults.lag(LAG[engine]))
    try:
        await eventually(functools.partial(shows_late, db, iter(range(10_000, 20_000))), PATIENCE)
        found, unrelated, late = 0, 0, 0
        for key in range(1, PAIRS + 1):
            found += await finds(db, key)
            before = by_readers(db)
            late += not await unrelated_read(db, key)
            unrelated += by_readers(db) - before
    finally:
        await cluster.clear(reader)
    assert found == PAIRS, "no session missed its own write"
    assert late, "the reader was late indeed: without looking at positions there would have been stale reads"
    assert unrelated >= 0.8 * PAIRS


@pytest.mark.parametrize("engine", ["aurora-postgresql"], indirect=True)
async def test_readers_that_keep_up_show_what_a_session_has_written(db: rdskit.Database) -> None:
    await eventually(functools.partial(a_reader_answers, db), PATIENCE)
    before = by_readers(db)
    assert all([await finds(db, key) for key in range(1, PAIRS + 1)])
    assert by_readers(db) - before >= 0.8 * PAIRS


@pytest.mark.parametrize("engine", ["aurora-postgresql"], indirect=True)
async def test_what_is_younger_than_a_transaction_that_still_writes_is_read_from_the_writer(
    db: rdskit.Database,
) -> None:
    """A standby's snapshot lists no transactions under way: it only tells the first of them."""
    await eventually(functools.partial(a_reader_answers, db), PATIENCE)
    async with db.transaction() as tx:
        await tx.execute("insert into pair values (500)")
        before = by_readers(db)
        assert await finds(db, 501)
        assert by_readers(db) == before
    token = await db.token()
    await eventually(functools.partial(a_reader_shows, db, token), PATIENCE)


async def a_reader_shows(db: rdskit.Database, token: str) -> bool:
    before = by_readers(db)
    assert await db.fetch_value(READ, id=500, after=token)
    return by_readers(db) > before


async def test_after_a_failover_readers_are_admitted_again(cluster: Cluster, db: rdskit.Database) -> None:
    await eventually(functools.partial(a_reader_answers, db), PATIENCE)
    await eventually(cluster.has_heir, PATIENCE)
    await asyncio.to_thread(cluster.fail_over)
    assert await finds(db, 1)
    await eventually(functools.partial(a_reader_answers, db), PATIENCE)
    assert await finds(db, 2)


async def test_a_token_of_one_process_is_read_by_another(cluster: Cluster, db: rdskit.Database) -> None:
    await db.execute("insert into pair values (77)")
    async with rdskit.connect(cluster.target, timeout=PATIENCE) as other:
        assert await other.fetch_value(READ, id=77, after=await db.token())


@pytest.mark.parametrize("engine", ["aurora-postgresql"], indirect=True)
@pytest.mark.parametrize("function", ["pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn", "pg_current_wal_insert_lsn"])
async def test_a_local_cluster_refuses_what_aurora_refuses(db: rdskit.Database, function: str) -> None:
    with pytest.raises(rdskit.QueryError, match=function) as refused:
        await db.fetch_value(f"select {function}()")
    assert refused.value.sqlstate == "42501"
