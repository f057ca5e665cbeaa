"""A Multi-AZ instance of each engine loses its standby, and its writer, under work that must happen exactly once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.outbox import Relay
from tests.chaos.calls_with_deadline import DONE, UNKNOWN, Calls
from tests.chaos.multi_az import MultiAz, multi_az
from tests.plugins.rounds import gate_and_soak, soak
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sized

    import rdskit
    from rdskit.client.transactions import Transaction
    from rdskit.outbox import Message
    from tests.plugins.local_rds import LocalRds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

CALLERS = 40
MORE_KILLS = 5
PATIENCE = 60.0  # seconds
WORKERS = 6
ACCOUNTS = 10
START = 1000
KEYS = 4
LOST_COMMITS = "select count(*) from rdskit_txn where checks > 0 or not committed"
#: Transactions that the server has not ended, our own question aside.
OPEN = {
    "postgres": "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
    "and state <> 'idle'",
    "mariadb": "select count(*) from information_schema.innodb_trx where trx_mysql_thread_id not in "
    "(0, connection_id())",
    "mysql": "select count(*) from information_schema.innodb_trx where trx_mysql_thread_id not in (0, connection_id())",
}


@pytest.fixture(scope="module", params=["postgres", "mysql", *soak("mariadb")])
def instance(local_rds: LocalRds, request: pytest.FixtureRequest) -> Iterator[MultiAz]:
    """Return the instance that the tests of an engine share."""
    with multi_az(local_rds, request.param) as instance:
        yield instance


@pytest.fixture
async def db(instance: MultiAz) -> AsyncIterator[rdskit.Database]:
    """Yield a connected database with rdskit's tables."""
    async with instance.connect(max_size=10) as db:
        await db.setup()
        yield db


async def _kill_writer_under(work: Sized, instance: MultiAz) -> None:
    """Kill it once some work is done; return when as much again is done, and the standby is in sync again."""
    before = await asyncio.to_thread(instance.recoveries)
    await eventually(functools.partial(_exceeds, work, len(work) + 20), PATIENCE)
    await asyncio.to_thread(instance.kill_writer)
    await eventually(functools.partial(_exceeds, work, len(work) + 40), PATIENCE)
    await eventually(functools.partial(_recovered, instance, before), PATIENCE)


async def _exceeds(work: Sized, count: int) -> bool:
    return len(work) > count


async def _recovered(instance: MultiAz, before: int) -> bool:
    return await asyncio.to_thread(instance.recoveries) > before


async def test_without_its_standby_every_outcome_reported_is_true(
    instance: MultiAz, db: rdskit.Database, record_property: Callable[[str, object], None]
) -> None:
    await db.execute("create table written (n int not null)")
    before = await asyncio.to_thread(instance.recoveries)
    calls = Calls(db)
    await calls.make(CALLERS)
    await instance.hang_standby(db)
    await calls.make(CALLERS)
    waited = calls.numbers(UNKNOWN)

    async def goes_on() -> bool:
        done = len(calls.numbers(DONE))
        await calls.make(1)
        return len(calls.numbers(DONE)) > done

    await eventually(goes_on, PATIENCE)
    await calls.make(CALLERS)
    await eventually(functools.partial(_nothing_open, instance, db), PATIENCE)
    present = [row.n for row in await db.fetch_all("select n from written", timeout=PATIENCE)]
    there = len(calls.numbers(UNKNOWN) & set(present))
    _report(record_property, {**collections.Counter(calls.told.values()), "unknown and there": there})
    calls.assert_true(present)
    assert waited & set(present), "no commit had to wait for the standby"
    await eventually(functools.partial(_recovered, instance, before), PATIENCE)


async def _nothing_open(instance: MultiAz, db: rdskit.Database) -> bool:
    if instance.engine != "postgres":  # innodb_trx is refreshed only when it has not been read for 0.1 s
        await db.fetch_value("select sleep(0.2)")
    return not await db.fetch_value(OPEN[instance.engine])


def _report(record_property: Callable[[str, object], None], figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        record_property(name, value)
    print(figures)  # noqa: T201 - shown with -s and on failure: the figures are the point


async def _transfer(tx: Transaction, number: int, source: int, sink: int) -> int:
    for account, amount in sorted([(source, -1), (sink, 1)]):  # in one order, so that deadlocks do not hide the rest
        await tx.execute("update account set balance = balance + :a where id = :id", a=amount, id=account)
    await tx.execute("insert into transfer (number) values (:number)", number=number)
    return number


@pytest.mark.parametrize("at_least", gate_and_soak(1, 20))
async def test_a_killed_writer_loses_and_doubles_no_transfer(
    instance: MultiAz, db: rdskit.Database, at_least: int, record_property: Callable[[str, object], None]
) -> None:
    await db.execute("create table account (id int primary key, balance int not null)")
    await db.execute("create table transfer (number int not null)")
    await db.insert_many("account", [{"id": number, "balance": START} for number in range(ACCOUNTS)])
    chance, numbers, over = random.Random(4), itertools.count(), asyncio.Event()
    told: set[int] = set()

    async def work() -> None:
        while not over.is_set():
            number = next(numbers)
            source, goal = chance.sample(range(ACCOUNTS), 2)
            told.add(await db.run(_transfer, args=(number, source, goal), exactly_once=True, timeout=PATIENCE))

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
        kills = lost = 0
        while kills < at_least or (not lost and kills < at_least + MORE_KILLS):  # no COMMIT under way proves little
            await _kill_writer_under(told, instance)
            kills += 1
            lost = await db.fetch_value(LOST_COMMITS, timeout=PATIENCE)
        over.set()
    made = [row.number for row in await db.fetch_all("select number from transfer", timeout=PATIENCE)]
    total = int(await db.fetch_value("select sum(balance) from account"))
    _report(record_property, {"transfers": len(told), "COMMITs whose answer was lost": lost, "kills": kills})
    assert lost > 0, "no COMMIT was under way at any kill"
    assert sorted(made) == sorted(told)
    assert len(told) == next(numbers)
    assert total == START * ACCOUNTS
    assert db.stats().failures >= at_least


class Counters:
    """Publishers that number the messages of each key, under a lock on its row."""

    def __init__(self, db: rdskit.Database, chance: random.Random) -> None:
        self._db = db
        self._chance = chance

    async def publish(self, over: asyncio.Event) -> None:
        """Publish until told to stop, in transactions of which some stay open for a while."""
        while not over.is_set():
            await self._db.run(self._count, args=(self._chance.randrange(KEYS),), exactly_once=True, timeout=PATIENCE)

    async def _count(self, tx: Transaction, key: int) -> None:
        await tx.execute("update counter set value = value + 1 where id = :id", id=key)
        value = await tx.fetch_value("select value from counter where id = :id", id=key)
        await tx.publish("counted", str(key), value)
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.random() * 0.02)


@contextlib.asynccontextmanager
async def _relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _is_empty(db: rdskit.Database) -> bool:
    return not await db.fetch_value("select count(*) from rdskit_outbox")


@pytest.mark.parametrize("at_least", gate_and_soak(1, 20))
async def test_a_killed_writer_loses_no_message_and_keeps_each_keys_order(
    instance: MultiAz, db: rdskit.Database, at_least: int, record_property: Callable[[str, object], None]
) -> None:
    heard: dict[int, tuple[int, int]] = {}  # key and value by id; of a message that comes again the first time counts
    handed_over = itertools.count()

    async def handler(message: Message) -> None:
        content = int(message.key or ""), message.payload
        assert heard.setdefault(message.id, content) == content, "an id was given twice"
        next(handed_over)

    await db.execute("create table counter (id int primary key, value int not null)")
    await db.insert_many("counter", [{"id": key, "value": 0} for key in range(KEYS)])
    counters, over = Counters(db, random.Random(7)), asyncio.Event()
    async with _relaying(Relay(db, handler, batch=20, poll=0.02)):
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS // 2):
                group.create_task(counters.publish(over))
            for _ in range(at_least):
                await _kill_writer_under(heard, instance)
            over.set()
        await eventually(functools.partial(_is_empty, db), PATIENCE)
    published = {row.id: row.value for row in await db.fetch_all("select id, value from counter")}
    _report(record_property, {"messages": len(heard), "delivered again": next(handed_over) - len(heard)})
    assert sorted(heard.values()) == [(key, value) for key in range(KEYS) for value in range(1, published[key] + 1)]
    for key in range(KEYS):
        values = [value for owner, value in heard.values() if owner == key]
        assert values == sorted(values)
