"""The outbox and its relay: only what commits, at least once, and in order where asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.outbox import Relay
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.outbox import Message
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

BOTH = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])


class Inbox:
    """A handler that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failures: dict[str, int] = {}

    async def __call__(self, message: Message) -> None:
        if self.failures.get(message.topic, 0):
            self.failures[message.topic] -= 1
            raise ZeroDivisionError
        self.messages.append(message)

    @property
    def topics(self) -> list[str]:
        return [message.topic for message in self.messages]


@pytest.fixture(params=["database", "mariadb_database", "mysql_database"], ids=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> TestDatabase | FamilyDatabase:
    fresh: TestDatabase | FamilyDatabase = request.getfixturevalue(request.param)
    return fresh


@pytest.fixture
async def db(target: TestDatabase | FamilyDatabase) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(target.url, tls="off", min_size=1, max_size=8) as db:
        await db.setup()
        yield db


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def _publish(db: rdskit.Database, *topics: str) -> list[int]:
    async with db.transaction() as tx:
        return [await tx.publish(topic, "k", {"n": topic}) for topic in topics]


@contextlib.asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _left(db: rdskit.Database) -> int:
    return int(await db.fetch_value("select count(*) from rdskit_outbox"))


@BOTH
async def test_a_message_arrives_as_it_was_published(db: rdskit.Database, inbox: Inbox, *, ordered: bool) -> None:
    payload = {"täxt": "é\x00\\", "list": [1, None, 2.5]}
    async with db.transaction() as tx:
        number = await tx.publish("orders", None, payload, {"trace": "1"})
    assert await _delivered(Relay(db, inbox, ordered=ordered)) == 1
    (message,) = inbox.messages
    assert (message.id, message.topic, message.key, message.payload) == (number, "orders", None, payload)
    assert (message.headers, message.attempts) == ({"trace": "1"}, 0)
    assert await _left(db) == 0


@BOTH
async def test_what_is_undone_is_never_delivered(db: rdskit.Database, inbox: Inbox, *, ordered: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.publish("undone", None, {})
            _ = 1 / 0
    await _publish(db, "done")
    await _delivered(Relay(db, inbox, ordered=ordered))
    assert inbox.topics == ["done"]


async def test_a_late_committer_is_neither_lost_nor_out_of_order(db: rdskit.Database, inbox: Inbox) -> None:
    async with running(Relay(db, inbox, poll=0.01)):
        await _publish(db, "a")
        await eventually(lambda: _has(inbox, 1))
        async with db.transaction() as late:
            await late.publish("b", None, {})
            await _publish(db, "c")
            await _publish(db, "d")
            assert inbox.topics == ["a"]
            await late.publish("e", None, {})
        await eventually(lambda: _has(inbox, 5))
    assert inbox.topics == ["a", "b", "c", "d", "e"]


async def test_a_cause_comes_before_its_effect_however_old_the_transaction(db: rdskit.Database, inbox: Inbox) -> None:
    async with contextlib.AsyncExitStack() as stack, running(Relay(db, inbox, poll=0.01)):
        bystander = await stack.enter_async_context(db.transaction())
        async with db.transaction() as old:
            await old.publish("old", None, {})  # has its number before the cause has
            await bystander.publish("bystander", None, {})
            await _publish(db, "cause")
            await old.publish("effect", None, {})
        assert "effect" not in inbox.topics
        assert inbox.topics in ([], ["old"])
        await stack.aclose()
        await eventually(lambda: _has(inbox, 4))
    assert inbox.topics == ["old", "bystander", "cause", "effect"]


@pytest.mark.parametrize("target", ["mariadb_database", "mysql_database"], ids=["mariadb", "mysql"], indirect=True)
async def test_an_id_that_is_reserved_and_not_yet_inserted_is_overtaken_by_a_higher_one_but_by_no_effect(
    db: rdskit.Database, inbox: Inbox
) -> None:
    insert = "insert into rdskit_outbox (id, topic, payload, headers) values (:id, :topic, '{}', '{}')"
    relay = Relay(db, inbox)
    async with asyncio.TaskGroup() as group, db.transaction() as bystander:
        await bystander.execute(insert, id=6, topic="bystander")
        group.create_task(relay.deliver())
        await eventually(lambda: _somebody_waits_for_a_lock(db))  # the relay has passed the place of 5
        await db.execute(insert, id=5, topic="cause")
        assert await _publish(db, "effect") == [7]
    assert inbox.topics == ["bystander"]
    assert await relay.deliver() == 2
    assert inbox.topics == ["bystander", "cause", "effect"]


async def _somebody_waits_for_a_lock(db: rdskit.Database) -> object:
    # MySQL makes no new list of transactions for a query that follows within 0.1 s.
    await db.fetch_value("select sleep(0.2)")
    return await db.fetch_value("select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'")


async def test_on_postgresql_a_writer_in_another_database_holds_it_up_too(database: TestDatabase, inbox: Inbox) -> None:
    elsewhere = database.url.replace(f"/{database.name}", "/postgres")
    async with rdskit.connect(database.url, tls="off") as db, rdskit.connect(elsewhere, tls="off") as other:
        await db.setup()
        relay = Relay(db, inbox)
        async with other.transaction() as load:
            await load.execute("create table loaded (a int)")
            await _publish(db, "a")
            assert [await relay.deliver() for _ in range(3)] == [0, 0, 0]
            await load.execute("drop table loaded")
        assert await _delivered(relay) == 1
    assert inbox.topics == ["a"]


async def test_unordered_a_late_committer_is_not_lost(db: rdskit.Database, inbox: Inbox) -> None:
    relay = Relay(db, inbox, ordered=False)
    async with db.transaction() as late:
        await late.publish("late", None, {})
        await _publish(db, "early")
        await relay.deliver()
        assert inbox.topics == ["early"]
    await relay.deliver()
    assert inbox.topics == ["early", "late"]


async def _has(inbox: Inbox, count: int) -> bool:
    return len(inbox.messages) >= count


async def test_ordered_a_failing_message_holds_up_those_behind_it(db: rdskit.Database, inbox: Inbox) -> None:
    inbox.failures["b"] = 2
    await _publish(db, "a", "b", "c")
    relay = Relay(db, inbox, poll=0.01)
    assert await _delivered(relay) == 1
    assert await relay.deliver() == 0
    assert inbox.topics == ["a"]
    async with running(relay):
        await eventually(lambda: _is_empty(db))
    assert inbox.topics == ["a", "b", "c"]
    assert inbox.messages[1].attempts == relay.failed == 2


async def test_unordered_a_failing_message_holds_up_nobody(db: rdskit.Database, inbox: Inbox) -> None:
    inbox.failures["a"] = 1
    await _publish(db, "a", "b", "c")
    relay = Relay(db, inbox, ordered=False, poll=0.01)
    assert await relay.deliver() == 2
    async with running(relay):
        await eventually(lambda: _has(inbox, 3))
    assert inbox.topics == ["b", "c", "a"]


@BOTH
async def test_several_relays_deliver_each_message_once(db: rdskit.Database, inbox: Inbox, *, ordered: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(running(Relay(db, inbox, ordered=ordered, batch=7, poll=0.01)))
        for number in range(20):
            await _publish(db, *(f"{number}-{part}" for part in range(5)))
        await eventually(lambda: _has(inbox, 100))
        await eventually(lambda: _is_empty(db))
    numbers = [message.id for message in inbox.messages]
    assert sorted(numbers) == sorted(set(numbers))
    if ordered:
        assert numbers == sorted(numbers)


async def _is_empty(db: rdskit.Database) -> bool:
    return await _left(db) == 0


async def test_a_relay_that_is_cancelled_delivers_its_batch_again(db: rdskit.Database, inbox: Inbox) -> None:
    await _publish(db, "a", "b")
    inside = asyncio.Event()

    async def stuck(_: Message) -> None:
        inside.set()
        await asyncio.Event().wait()

    async with running(Relay(db, stuck)):
        await inside.wait()
    await _delivered(Relay(db, inbox))
    assert inbox.topics == ["a", "b"]


async def _delivered(relay: Relay) -> object:
    """Deliver a batch; first other tests' transactions on the same server may have to end."""
    return await eventually(relay.deliver)


async def test_without_the_tables_the_command_is_named(target: TestDatabase | FamilyDatabase, inbox: Inbox) -> None:
    async with rdskit.connect(target.url, tls="off", max_size=2) as db:
        for ordered in (True, False):
            with pytest.raises(rdskit.ConfigError, match="rdskit setup TARGET"):
                await Relay(db, inbox, ordered=ordered).run()
