"""Whatever a caller passes: the call works, or ends with an error of ours, on every engine."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.client.database.held import HeldConnection
from rdskit.client.database.session import Session
from rdskit.client.transactions import Transaction
from rdskit.outbox import Relay
from tests.misuse import WRONG, methods_of, outcome, tries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)
#: What ends the object itself, and what only the block of a transaction calls.
ENDING = {"close", "commit", "rollback"}


@pytest.fixture
async def items(engine: Engine) -> AsyncIterator[rdskit.Database]:
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=3, timeout=5) as db:
        await db.execute("create table items (id bigint)")
        await db.setup()
        yield db


async def test_every_method_of_a_database(items: rdskit.Database) -> None:
    assert await _misused(items, set(methods_of(rdskit.Database)) - ENDING) == []


async def test_every_method_of_a_session(items: rdskit.Database) -> None:
    async with items.session() as session:
        assert await _misused(session, set(methods_of(Session)) - ENDING) == []


async def test_every_method_of_a_held_connection(items: rdskit.Database) -> None:
    async with items.connection() as held:
        assert await _misused(held, set(methods_of(HeldConnection)) - {"end"}) == []


async def test_every_method_of_a_transaction(items: rdskit.Database) -> None:
    found = []
    for name in set(methods_of(Transaction)) - ENDING:
        for each in tries(getattr(Transaction, name)):

            async def call(name: str = name, each: Any = each) -> None:
                async with items.transaction(exactly_once=False) as tx:
                    wrong = await outcome(functools.partial(getattr(tx, name), *each.args, **each.kwargs))
                    found.extend([f"{each.told}: {wrong}"] if wrong else [])

            wrong = await outcome(call)
            found.extend([f"{each.told}, at the end: {wrong}"] if wrong else [])
    assert found == []


async def test_every_value_of_a_parameter(engine: Engine, items: rdskit.Database) -> None:
    texts = ("select :a as n", "select id from items where id = :a", "select id from items where id in :a")
    found = []
    for text in (
        *texts,
        "insert into items values (:a)",
        f"select {engine.pick('cast(:a as text)', 'cast(:a as char)')}",
    ):
        for told, value in WRONG.items():
            wrong = await outcome(functools.partial(items.fetch_all, text, a=value))
            found.extend([f"{text} with {told}: {wrong}"] if wrong else [])
    assert found == []


async def test_a_relay(items: rdskit.Database) -> None:
    for each in tries(Relay.__init__, {"db": items, "handler": lambda _: None}):
        wrong = await outcome(functools.partial(Relay, *each.args, **each.kwargs))
        assert wrong is None, f"{each.told}: {wrong}"


async def _misused(surface: Session | HeldConnection, names: set[str]) -> list[str]:
    found = []
    for name in sorted(names):
        for each in tries(getattr(type(surface), name)):
            wrong = await outcome(functools.partial(getattr(surface, name), *each.args, **each.kwargs))
            found.extend([f"{each.told}: {wrong}"] if wrong else [])
    return found
