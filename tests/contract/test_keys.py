"""Keys and names of the caller's differ by every byte, on every engine: blanks, case and accents count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import rdskit
    from rdskit.client.transactions import Transaction

pytestmark = pytest.mark.timeout(60)

ALIKE = ["key", "key ", "key  ", "KEY", "kéy", "key\t", " key", "ke\u0301y", "key\u200b"]


async def test_each_idempotency_key_and_scope_is_its_own(db: rdskit.Database) -> None:
    await db.setup()

    async def answer(_: Transaction, text: str) -> str:
        return text

    for name in ALIKE:
        assert await db.run_once(name, answer, args=(name,)) == name
        assert await db.run_once("key", answer, args=(name,), scope=f"s{name}") == name
    assert await db.fetch_value("select count(*) from rdskit_idempotency") == 2 * len(ALIKE)
    for name in ALIKE:
        assert await db.run_once(name, answer, args=(name,)) == name


async def test_each_name_is_its_own_lock(db: rdskit.Database) -> None:
    async with db.lock("key"), db.lock("key "), db.lock("KEY"):
        pass
    long = "k" * 100
    async with db.lock(long), db.lock(long + " "):
        pass


async def test_topics_and_keys_of_the_outbox_come_back_as_they_were(db: rdskit.Database) -> None:
    await db.setup()
    async with db.transaction() as tx:
        for name in ALIKE:
            await tx.publish(name, name, {"n": 1})
    rows = await db.fetch_all("select topic, message_key from rdskit_outbox order by id")
    assert [tuple(row) for row in rows] == [(name, name) for name in ALIKE]
