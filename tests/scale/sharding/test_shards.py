"""Keys find their shard, queries over all shards give one true result, and a stale router writes nothing."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.errors import ConfigError, QueryTimeout, ResultError, StatementError
from rdskit.scale import Shards
from rdskit.scale.sharding.tables import change_fence, change_map
from tests.scale.sharding.conftest import ON_POSTGRES, fill

if TYPE_CHECKING:
    from tests.scale.sharding.conftest import Place

pytestmark = pytest.mark.timeout(60)
COUNT = 60


async def test_a_key_finds_its_rows_and_all_shards_have_some(shards: Shards, place: Place) -> None:
    await fill(shards, COUNT)
    for number in range(COUNT):
        row = await shards.on(number).fetch_one("select name, n from users where id = :id", id=number)
        assert row is not None
        assert (row["name"], row["n"]) == (f"u{number:03}", number % 7)
    async with shards.on(7).transaction() as tx:
        await tx.execute("update users set n = 100 where id = 7")
    assert await shards.on(7).fetch_value("select n from users where id = :id", {"id": 7}) == 100
    assert await shards.on(7).run(_read_seven) == 100
    counts = []
    for target in place.targets.values():
        async with rdskit.connect(target, tls="off", readers="off", min_size=0, max_size=1) as db:
            counts.append(await db.fetch_value("select count(*) from users"))
    assert sum(counts) == COUNT
    assert all(counts[:4])
    assert counts[4] == 0


async def _read_seven(tx: Any) -> Any:
    return await tx.fetch_value("select n from users where id = 7")


async def test_queries_over_all_shards(shards: Shards, place: Place) -> None:
    await fill(shards, COUNT)
    everywhere = shards.everywhere()
    rows = await everywhere.fetch_all("select id, n from users order by n desc, id limit :many offset 3", many=5)
    expected = sorted(((number % 7, number) for number in range(COUNT)), key=lambda each: (-each[0], each[1]))
    assert [(row["n"], row["id"]) for row in rows] == expected[3:8]
    total = await everywhere.fetch_one(
        "select count(*) as many, sum(n) as s, min(n) as low, max(n) as high, avg(n) as mean from users where n > :n",
        n=1,
    )
    assert total is not None
    values = [number % 7 for number in range(COUNT) if number % 7 > 1]
    assert (total["many"], int(total["s"]), total["low"], total["high"]) == (len(values), sum(values), 2, 6)
    assert abs(Decimal(total["mean"]) - Decimal(sum(values)) / len(values)) < Decimal("0.0001")
    assert list(total.keys()) == ["many", "s", "low", "high", "mean"]
    empty = await everywhere.fetch_one("select count(*), sum(n), max(n), avg(n) from users where id < 0")
    assert empty is not None
    assert tuple(empty) == (0, None, None, None)
    assert {row[0] for row in await everywhere.fetch_all("select distinct n from users")} == set(range(7))
    found = await shards.among(ids=[1, 2, 3, 1]).fetch_all("select id from users where id in :ids order by id")
    assert [row[0] for row in found] == [1, 2, 3]
    assert await shards.among(ids=[]).fetch_all("select id from users where id in :ids") == []
    collation = '"C"' if place.postgres else "utf8mb4_bin"
    named = f"select name from users order by name collate {collation} desc limit 3"
    assert [row[0] for row in await everywhere.fetch_all(named)] == ["u059", "u058", "u057"]
    streamed = [row[0] async for row in everywhere.stream("select id from users order by id", batch=7)]
    assert streamed == list(range(COUNT))


async def test_nulls_stand_where_the_server_puts_them(shards: Shards, place: Place) -> None:
    for number in range(12):
        await shards.on(number).execute(
            "insert into users (id, bucket, n) values (:id, :bucket, :n)",
            id=number,
            n=None if number % 3 == 0 else number,
        )
    async with rdskit.connect(place.targets["s5"], tls="off", readers="off", max_size=1) as db:
        for number in range(12):
            await db.execute(
                "insert into users (id, bucket, n) values (:id, 0, :n)",
                id=number,
                n=None if number % 3 == 0 else number,
            )
        for order in ("n, id", "n desc, id", "id desc"):
            text = f"select id, n from users order by {order}"
            alone = [tuple(row) for row in await db.fetch_all(text)]
            assert [tuple(row) for row in await shards.everywhere().fetch_all(text)] == alone


@ON_POSTGRES
async def test_more_that_is_refused(shards: Shards) -> None:
    await fill(shards, 30)
    everywhere = shards.everywhere()
    for text in ("select name from users order by name", "select max(name) from users"):
        with pytest.raises(ResultError, match="collation"):
            await everywhere.fetch_all(text)
    with pytest.raises(ConfigError, match="known to read"):
        await everywhere.fetch_all("select sleep_everywhere(1)")
    with pytest.raises(ConfigError, match="GROUP BY"):
        await everywhere.fetch_all("select n, count(*) from users group by n")
    with pytest.raises(ConfigError, match="LIMIT"):
        await everywhere.fetch_all("select id from users limit :n", n="5")
    with pytest.raises(ConfigError, match="takes no aggregates"):
        assert [row async for row in everywhere.stream("select id from users limit 5")] == []
    assert await everywhere.fetch_value("select count(*) from users join plans on plans.id = users.n") == 0
    assert (
        await everywhere.fetch_all("select u.id from users u join orders o on o.user_id = u.id", colocated=True) == []
    )


@ON_POSTGRES
async def test_shard_keys_are_not_changed(shards: Shards) -> None:
    with pytest.raises(ConfigError, match="shard key"):
        await shards.on(1).execute("update users set id = 2 where id = 1")
    async with shards.on(1).transaction() as tx:
        with pytest.raises(ConfigError, match="shard key"):
            await tx.execute("update users set bucket = 7")
    await shards.on(1).execute("insert into users (id, bucket, n) values (:id, :bucket, 0)", {"id": 1})
    assert await shards.on(1).execute("update users set n = id where id = :id and bucket = :bucket", id=1) == 1


@ON_POSTGRES
async def test_one_shard_that_fails_cancels_the_others_and_names_the_reason(shards: Shards, place: Place) -> None:
    async with rdskit.connect(place.targets["s2"], tls="off", readers="off", max_size=1) as db:
        await db.execute("drop table users")
    with pytest.raises(StatementError):
        await shards.everywhere().fetch_all("select id from users")
    assert await shards.everywhere().fetch_value("select count(*) from orders") == 0


async def test_a_stale_router_is_fenced_in_the_database_and_learns(shards: Shards) -> None:
    await fill(shards, 1)
    on = shards.on(0)
    known = await shards.map()
    owner = known.owners[on.bucket]
    other = next(name for name in ("s1", "s2") if name != owner)
    source, target = (shards.database(name) for name in (owner, other))
    # The bucket moves, and this router is not told: what it still believes is held in place.
    reader = await shards.opened()
    await reader.close()
    await source.run(_fence(on.bucket, owned=False))
    await target.run(_fence(on.bucket, owned=True))
    await target.execute("insert into users (id, bucket, name, n) values (0, :b, 'moved', 0)", b=on.bucket)
    await change_map(shards.database("s1"), on.bucket, on.bucket, shard=other, closed=False)
    reader._confirmed = asyncio.get_running_loop().time() + 3600
    assert reader.still(known)
    await on.execute("update users set n = 50 where id = 0")
    assert await target.fetch_value("select n from users where id = 0") == 50
    assert await source.fetch_value("select n from users where id = 0") == 0
    assert (await shards.map()).epoch == known.epoch + 1


def _fence(bucket: int, *, owned: bool) -> Any:
    async def work(tx: Any) -> None:
        await change_fence(tx, bucket, bucket, owned=owned)

    return work


@ON_POSTGRES
async def test_a_closed_bucket_waits_until_its_deadline_and_others_go_on(shards: Shards) -> None:
    await fill(shards, 3)
    on = shards.on(0)
    await change_map(shards.database("s1"), on.bucket, on.bucket, closed=True)
    await shards.map()
    for call in (
        lambda: on.fetch_value("select n from users where id = 0", timeout=0.3),
        lambda: on.execute("update users set n = 1 where id = 0", timeout=0.3),
        lambda: shards.everywhere().fetch_all("select id from users", timeout=0.3),
    ):
        with pytest.raises(QueryTimeout, match="moved"):
            await call()
    assert await shards.on(1).fetch_value("select n from users where id = 1") == 1
    waiting = asyncio.create_task(on.fetch_value("select n from users where id = 0"))
    await change_map(shards.database("s1"), on.bucket, on.bucket, closed=False)
    assert await waiting == 0


@ON_POSTGRES
async def test_set_up_again_and_without_a_map(place: Place) -> None:
    async with Shards.connect(place.config("s1", "s2"), tls="off", readers="off", max_size=2) as shards:
        with pytest.raises(ConfigError, match="shards init"):
            await shards.on(1).fetch_value("select 1")
        first = await shards.setup()
        assert await shards.setup() == first
        assert first.counts() == {"s1": 2048, "s2": 2048}
    with pytest.raises(ConfigError, match="closed"):
        await shards.on(1).fetch_value("select 1")
