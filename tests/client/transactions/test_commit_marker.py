"""A COMMIT whose answer is lost is resolved by its marker."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client.transactions import CommitMarker
from rdskit.client.transactions.resolution import resolve
from rdskit.runtime.deadlines import Deadline
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from rdskit.client.transactions import Transaction
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


async def _resolved(db: rdskit.Database, marker: CommitMarker, seconds: float = 5.0) -> bool:
    return await resolve(marker, db._statements.dialect, db.transaction, Deadline.after(seconds))


def test_markers_are_sorted_by_time_and_never_alike() -> None:
    markers = [CommitMarker().number for _ in range(1000)]
    assert len(set(markers)) == 1000
    assert [marker[:12] for marker in markers] == sorted(marker[:12] for marker in markers)
    assert all(len(bytes.fromhex(marker)) == 16 for marker in markers)


async def test_a_committed_transaction_is_found_to_be_one_as_often_as_asked(db: rdskit.Database) -> None:
    markers: list[CommitMarker] = []

    async def work(tx: Transaction) -> int:
        assert tx.commit_marker is not None
        markers.append(tx.commit_marker)
        return int(await tx.execute("update account set balance = 5 where id = 1"))

    assert await db.run(work, exactly_once=True) == 1
    assert [await _resolved(db, markers[0]) for _ in range(3)] == [True] * 3


async def test_what_was_found_undone_can_never_commit(db: rdskit.Database) -> None:
    marker = CommitMarker()
    assert [await _resolved(db, marker) for _ in range(3)] == [False] * 3
    with pytest.raises(rdskit.IntegrityError):
        async with db.transaction() as tx:
            await tx.execute("update account set balance = 5 where id = 1")
            tx.commit_marker = marker
    assert await db.fetch_value("select balance from account where id = 1") == 100


@pytest.mark.parametrize("commits", [True, False])
async def test_a_running_transaction_is_waited_for(db: rdskit.Database, *, commits: bool) -> None:
    marker = CommitMarker()
    row = marker.commit(db._statements.dialect)[0].partition(";")[0]
    written = asyncio.Event()

    async def ask() -> bool:
        await written.wait()
        return await _resolved(db, marker)

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ask())
        with contextlib.suppress(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.execute(row)
                written.set()
                await eventually(lambda: _waits(db))
                assert not asked.done()
                _ = 1 / commits
    assert asked.result() is commits


async def _waits(db: rdskit.Database) -> object:
    if db._statements.dialect.name == "POSTGRES":
        return await db.fetch_value("select count(*) from pg_locks where not granted")
    return await db.fetch_value(
        "select count(*) from information_schema.processlist "
        "where db = database() and id <> connection_id() and info like 'insert into rdskit_txn%'"
    )


async def test_a_transaction_that_only_reads_needs_no_marker(db: rdskit.Database) -> None:
    async def look(tx: Transaction) -> int:
        return int(await tx.fetch_value("select balance from account where id = 1"))

    assert await db.run(look, exactly_once=True) == 100
    assert await db.fetch_value("select count(*) from rdskit_txn") == 0


async def test_without_the_tables_nothing_is_changed_and_the_command_is_named(
    target: TestDatabase | FamilyDatabase,
) -> None:
    async with rdskit.connect(target.url, tls="off", max_size=2) as db:
        await db.execute("create table t (a int)")

        async def work(tx: Transaction) -> None:
            await tx.execute("insert into t values (1)")

        async def publish(tx: Transaction) -> None:
            await work(tx)
            await tx.publish("topic", None, {})

        with pytest.raises(rdskit.ConfigError, match="rdskit setup TARGET"):
            await db.run(work, exactly_once=True)
        with pytest.raises(rdskit.ConfigError, match="rdskit setup TARGET"):
            await db.run_once("key", work)
        with pytest.raises(rdskit.ConfigError, match="rdskit setup TARGET"):
            await db.run(publish)
        assert await db.fetch_value("select count(*) from t") == 0


async def test_a_swallowed_error_is_no_commit(db: rdskit.Database, target: TestDatabase | FamilyDatabase) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("update account set balance = 5 where id = 1")
        with pytest.raises(rdskit.IntegrityError):
            await tx.execute("update account set balance = -1 where id = 1")

    if target.url.startswith("postgres"):
        with pytest.raises(rdskit.QueryError, match="a statement in it had failed"):
            await db.run(work, exactly_once=True)
        assert await db.fetch_value("select balance from account where id = 1") == 100
    else:  # only the statement is undone there
        await db.run(work, exactly_once=True)
        assert await db.fetch_value("select balance from account where id = 1") == 5


async def test_setup_may_be_run_by_many_at_once(target: TestDatabase | FamilyDatabase) -> None:
    async with rdskit.connect(target.url, tls="off", max_size=4) as db:
        made = await asyncio.gather(*(db.setup() for _ in range(4)))
        assert set(made) == {("rdskit_txn", "rdskit_idempotency", "rdskit_outbox")}
