"""Reads on real replicas: sessions, and tokens between processes."""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING

import pytest

import rdskit
import rdskit.sync
from rdskit.events import Event, QueryRetried
from rdskit.kernel.ports import ReaderProgress
from rdskit.kernel.positions import Lsn
from tests.client.readers import Replicated, replicated
from tests.plugins.confidentiality import keep_confidential
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.plugins.postgres import TestDatabase

COUNT = "select count(*) from note where key = :key"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with replicated(tmp_path_factory.mktemp("replicated")) as cluster:
        keep_confidential(cluster.primary.password)
        with cluster.primary.connect() as session:
            session.execute("create table note (key bigint primary key, text text)")
        yield cluster


@pytest.fixture
async def db(cluster: Replicated) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as db:
        await db.execute("truncate note")
        await eventually(lambda: readers_serve(db))
        yield db


async def readers_serve(db: rdskit.Database) -> bool:
    before = sum(db.stats().reads_by_reader.values())
    await db.fetch_value("select count(*) from note")
    return sum(db.stats().reads_by_reader.values()) > before


async def test_a_token_shows_one_process_what_another_wrote(db: rdskit.Database, cluster: Replicated) -> None:
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as other:
        await eventually(lambda: readers_serve(other))
        with cluster.standing_still():
            await db.execute("insert into note values (1, 'x')")
            token = await db.token()
            assert await other.fetch_value(COUNT, key=1) == 0
            assert await other.fetch_value(COUNT, key=1, after=token) == 1
            assert await other.fetch_all("select key from note", after=token)
            assert [row.key async for row in other.stream("select key from note", after=token)] == [1]
            async with other.session(after=token) as session:
                assert await session.fetch_value(COUNT, key=1) == 1
                assert [len(page.rows) async for page in session.pages("select key from note", key="key")] == [1]
        await eventually(functools.partial(served_by_reader, other, token))


async def served_by_reader(db: rdskit.Database, token: str) -> bool:
    before = sum(db.stats().reads_by_reader.values())
    assert await db.fetch_value(COUNT, key=1, after=token) == 1
    return sum(db.stats().reads_by_reader.values()) > before


async def test_a_session_waits_for_its_own_writes_only(db: rdskit.Database, cluster: Replicated) -> None:
    with cluster.standing_still():
        await db.execute("insert into note values (2, 'x')")
        assert await db.fetch_value(COUNT, key=2) == 1
        async with db.session() as mine, db.session() as theirs:
            assert await mine.fetch_value(COUNT, key=2) == 0, "nothing was written here: any replica may answer"
            await mine.run(lambda tx: tx.execute("insert into note values (3, 'x')"))
            assert await mine.fetch_value(COUNT, key=3) == 1
            assert await theirs.fetch_value(COUNT, key=3) == 0
    with pytest.raises(rdskit.ConfigError, match="has ended"):
        await mine.fetch_value("select 1")


async def test_a_token_is_had_without_readers_too(cluster: Replicated, db: rdskit.Database) -> None:
    async with rdskit.connect(cluster.url, tls="off") as writing:
        await writing.execute("insert into note values (4, 'x')")
        async with writing.transaction() as tx:
            await tx.execute("insert into note values (5, 'x')")
        token = await writing.token()
    with cluster.standing_still():
        assert await db.fetch_value(COUNT, key=5, after=token) == 1


async def test_a_token_of_elsewhere_is_refused(db: rdskit.Database, database: TestDatabase) -> None:
    token = await db.token()
    with pytest.raises(rdskit.ConfigError, match="was not signed"):
        await db.fetch_value("select 1", after=token[:-4] + "AAAA")
    async with rdskit.connect(database.url, tls="off") as elsewhere:
        with pytest.raises(rdskit.ConfigError, match="another cluster"):
            await elsewhere.fetch_value("select 1", after=token)


async def test_sync_sessions_and_tokens(cluster: Replicated, db: rdskit.Database) -> None:
    def request() -> str:
        with rdskit.sync.connect(cluster.url, tls="off", readers=cluster.readers) as sync:
            with sync.session() as session:
                session.execute("insert into note values (6, 'x')")
                assert session.fetch_value(COUNT, key=6) == 1
                token = session.token()
            with sync.session(after=token) as session:
                assert session.fetch_all("select key from note where key = 6")
            return token

    with cluster.standing_still():
        token = await asyncio.to_thread(request)
        assert await db.fetch_value(COUNT, key=6, after=token) == 1


async def test_beyond_its_share_the_writer_takes_over_no_more_reads(cluster: Replicated) -> None:
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers, spill=0.2) as db:
        await eventually(lambda: readers_serve(db))
        with cluster.standing_still():
            await db.execute("insert into note values (7, 'x')")
            outcomes = [await outcome(db) for _ in range(150)]
        assert 50 <= outcomes.count("fresh") <= 50 + 0.2 * 160
        assert outcomes.count("refused") == 150 - outcomes.count("fresh")
        assert db.stats().reads_sent_to_writer <= 50 + 0.2 * 400
        await eventually(lambda: reads_well(db))


async def outcome(db: rdskit.Database) -> str:
    try:
        return "fresh" if await db.fetch_value(COUNT, key=7) == 1 else "stale"
    except rdskit.StaleReadError:
        return "refused"


async def reads_well(db: rdskit.Database) -> bool:
    return await outcome(db) == "fresh"


async def test_no_read_fails_while_the_only_reader_restarts(cluster: Replicated) -> None:
    only = cluster.replicas[0]
    async with rdskit.connect(cluster.url, tls="off", readers=[f"{only.host}:{only.port}"]) as db:
        await eventually(lambda: readers_serve(db))
        only.stop("immediate")
        try:
            for _ in range(30):
                assert await db.fetch_value("select 1") == 1
        finally:
            only.start()
        await eventually(lambda: readers_serve(db))


async def test_a_query_in_the_way_of_replaying_is_done_elsewhere(cluster: Replicated, db: rdskit.Database) -> None:
    """The replica cancels it with 40001: the query holds a lock that replaying TRUNCATE needs."""
    slow = "select (select count(*) from note) + coalesce(length(pg_sleep(1.5)::text), 0)"
    observed: list[Event] = []
    one = rdskit.connect(cluster.url, tls="off", readers=cluster.readers[:1], observers=[observed.append])
    async with one as one_reader:
        await eventually(lambda: readers_serve(one_reader))
        with cluster.impatient():
            reading = asyncio.ensure_future(one_reader.fetch_value(slow))
            await eventually(functools.partial(is_running, cluster, slow))
            await db.execute("truncate note")
            assert await reading == 0
        assert [event.failure for event in observed if isinstance(event, QueryRetried)] == ["CONFLICT"]
        assert one_reader.stats().retries_left == 100, "the reader is well: nothing was taken from the retry budget"
        await eventually(lambda: readers_serve(one_reader))


async def is_running(cluster: Replicated, sql: str) -> bool:
    return await asyncio.to_thread(cluster.running, sql[:30]) > 0


async def test_while_replicas_lag_nothing_is_stale_and_nobody_waits_for_them_in_vain(
    cluster: Replicated, db: rdskit.Database
) -> None:
    cluster.delay("500ms")
    try:
        async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers) as watching:
            await eventually(functools.partial(lags_behind, db, watching))
        before = sum(db.stats().reads_by_reader.values())
        started = asyncio.get_running_loop().time()
        stale = [key for key in range(1000, 1300) if not await written_and_read(db, key)]
        took = asyncio.get_running_loop().time() - started
        assert not stale
        assert sum(db.stats().reads_by_reader.values()) == before, "no reader had anything to serve"
        assert took < 0.05 * 300, "not every read waited for a reader"
    finally:
        cluster.delay("0")


async def written_and_read(db: rdskit.Database, key: int) -> bool:
    await db.execute("insert into note values (:key, 'x')", key=key)
    return bool(await db.fetch_value(COUNT, key=key) == 1)


async def lags_behind(db: rdskit.Database, watching: rdskit.Database) -> bool:
    """Return whether the replicas have begun to apply late: what was just written is not there."""
    await db.execute("insert into note values (999, 'x') on conflict (key) do update set text = note.text || 'x'")
    async with db.session(after=await db.token()) as session, watching.session() as any_of_them:
        written = await session.fetch_value("select length(text) from note where key = 999")
        return bool(await any_of_them.fetch_value("select length(text) from note where key = 999") != written)


async def test_replicas_that_keep_up_share_most_reads(db: rdskit.Database) -> None:
    before, keys = db.stats().reads_by_reader, itertools.count(2000)

    async def work() -> None:
        for key in itertools.islice(keys, 50):
            assert await written_and_read(db, key)

    async def are_shared() -> bool:
        await asyncio.gather(*(work() for _ in range(8)))
        served = [count - before[name] for name, count in db.stats().reads_by_reader.items()]
        return sum(served) >= 0.8 * (next(keys) - 2000) and min(served) >= 0.1 * sum(served)

    await eventually(are_shared)


async def test_who_was_seen_to_show_a_write_does_not_get_all_that_follows(db: rdskit.Database) -> None:
    readers, now = db._readers, asyncio.get_running_loop().time()
    assert readers is not None
    first, second = readers.known()
    for reader in (first, second):
        reader.note(ReaderProgress(replays=True, position=Lsn(1), received=Lsn(1), lag=0.01), now)
    first.note(ReaderProgress(replays=True, position=Lsn(2), received=Lsn(2), lag=0.01), now)
    first.latency = second.latency
    first.sampled_at = second.sampled_at
    chosen = [readers.pick(Lsn(2), now) for _ in range(400)]
    assert 100 < chosen.count((first, True)) < 300
    assert chosen.count((second, False)) == 400 - chosen.count((first, True))


async def test_a_reader_that_was_slow_once_is_given_reads_again(db: rdskit.Database) -> None:
    before = db.stats().reads_by_reader
    await db.fetch_value("select length(pg_sleep(1)::text)")
    (slow,) = [name for name, count in db.stats().reads_by_reader.items() if count > before[name]]
    await eventually(functools.partial(serves, db, slow))


async def test_a_read_that_its_caller_gives_up_is_no_read_that_a_reader_answered(
    cluster: Replicated, db: rdskit.Database
) -> None:
    slow = "select length(pg_sleep(60)::text) + 7"
    before = db.stats()
    reading = asyncio.ensure_future(db.fetch_value(slow))
    await eventually(functools.partial(is_running, cluster, slow))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    after = db.stats()
    assert after.reads_by_reader == before.reads_by_reader
    assert after.reads_sent_to_writer == before.reads_sent_to_writer


async def test_a_read_whose_reader_fails_counts_as_sent_to_the_writer(cluster: Replicated) -> None:
    slow = "select (select count(*) from note) + coalesce(length(pg_sleep(1.5)::text), 0) + 3"
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers[:1]) as db:
        await eventually(lambda: readers_serve(db))
        before = db.stats()
        reading = asyncio.ensure_future(db.fetch_value(slow))
        await eventually(functools.partial(is_running, cluster, slow))
        await asyncio.to_thread(cluster.end_running, slow[:30])
        await reading
        after = db.stats()
    assert after.reads_by_reader == before.reads_by_reader
    assert after.reads_sent_to_writer == before.reads_sent_to_writer + 1


async def serves(db: rdskit.Database, reader: str) -> bool:
    before = db.stats().reads_by_reader[reader]
    await db.fetch_value("select count(*) from note")
    return db.stats().reads_by_reader[reader] > before


@pytest.fixture
async def pipelined_db(db: rdskit.Database, cluster: Replicated) -> AsyncIterator[rdskit.Database]:
    del db  # it makes the table, and empties it
    async with rdskit.connect(cluster.url, tls="off", readers=cluster.readers, pipeline="auto") as opened:
        yield opened


async def test_many_reads_are_pipelined_to_readers_and_see_what_was_written(
    pipelined_db: rdskit.Database, cluster: Replicated
) -> None:
    db = pipelined_db
    await db.execute("insert into note select n, 'text ' || n from generate_series(1, 100) n")
    read = "select text from note where key = :key"

    async def several(task: int) -> None:
        for number in range(20):
            key = (task + number) % 100 + 1
            assert await db.fetch_value(read, key=key) == f"text {key}"

    async def pipelined() -> bool:
        await asyncio.gather(*(several(task) for task in range(60)))
        lanes = [pool.lanes for pool in db.stats().readers.values()]
        return all(each is not None and each.answered > 100 for each in lanes)

    await eventually(pipelined)
    served = sum(db.stats().reads_by_reader.values())
    await asyncio.gather(*(several(task) for task in range(60)))
    assert sum(db.stats().reads_by_reader.values()) > served
    with cluster.standing_still():
        await db.execute("update note set text = 'new'")
        found = await asyncio.gather(*(db.fetch_value(read, key=n) for n in range(1, 31)))
        assert set(found) == {"new"}, "readers that stand still are not asked"
