"""The tables of sharding: the map with its epoch in one database, and the fence in each.

The map says where a bucket is. The fence of a shard (``rdskit_bucket``) says which buckets it owns: each transaction
that writes holds its bucket's row FOR SHARE, and a move takes it away under FOR UPDATE. A router with an old map is
refused there, whatever it believes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError, StatementError
from rdskit.kernel.sql import Dialect
from rdskit.scale.sharding.model import ShardMap, map_from
from rdskit.scale.sharding.policy import BUCKETS, first_owners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.api import Database, Transaction

_FENCE: Final = """
    create table if not exists rdskit_bucket (
        bucket smallint primary key,
        owned boolean not null)
"""
_MAP: Final = (
    """
    create table if not exists rdskit_shard_map (
        bucket smallint primary key,
        shard varchar(64) not null,
        closed boolean not null default false)
    """,
    """
    create table if not exists rdskit_shard_epoch (
        one smallint primary key,
        epoch bigint not null)
    """,
)
_LOCK: Final = "rdskit shards setup"
_NO_SUCH_TABLE: Final = {"42P01", 1146}
FENCE: Final = {
    Dialect.POSTGRES: "select owned from rdskit_bucket where bucket = :b for share",
    Dialect.MYSQL: "select owned from rdskit_bucket where bucket = :b lock in share mode",
}
"""Holds a bucket for the length of a transaction."""


async def make_map(db: Database, shards: Sequence[str]) -> ShardMap:
    """Create the map where there is none: buckets in equal ranges. May be called again.

    Args:
        db: the database that keeps the map.
        shards: the names of the shards that share the buckets.
    """
    async with db.lock(_LOCK, timeout=60.0):
        for statement in _MAP:
            await db.execute(statement)

        async def fill(tx: Transaction) -> None:
            if await tx.fetch_value("select count(*) from rdskit_shard_epoch"):
                return
            await tx.insert_many(
                "rdskit_shard_map",
                [
                    {"bucket": bucket, "shard": shard, "closed": False}
                    for bucket, shard in enumerate(first_owners(shards))
                ],
            )
            await tx.execute("insert into rdskit_shard_epoch (one, epoch) values (1, 1)")

        await db.run(fill)
    return await read_map(db)


async def make_fence(db: Database, owned: frozenset[int]) -> None:
    """Create the fence of a shard where it is missing. May be called again: rows that are there stay.

    Args:
        db: the shard.
        owned: its buckets, by the map.
    """
    async with db.lock(_LOCK, timeout=60.0):
        await db.execute(_FENCE)

        async def fill(tx: Transaction) -> None:
            there = {row[0] for row in await tx.fetch_all("select bucket from rdskit_bucket")}
            missing = [{"bucket": bucket, "owned": bucket in owned} for bucket in range(BUCKETS) if bucket not in there]
            if missing:
                await tx.insert_many("rdskit_bucket", missing)

        await db.run(fill)


async def read_map(db: Database) -> ShardMap:
    """Return the map, all of it of one moment.

    Args:
        db: the database that keeps it.

    Raises:
        ConfigError: there is none.
    """

    async def read(tx: Transaction) -> ShardMap:
        epoch = await tx.fetch_value("select epoch from rdskit_shard_epoch where one = 1")
        if epoch is None:
            raise _no_map()
        return map_from(epoch, await tx.fetch_all("select bucket, shard, closed from rdskit_shard_map"))

    try:
        return await db.run(read, isolation="repeatable read")
    except StatementError as error:
        if _NO_SUCH_TABLE.intersection({error.sqlstate, error.errno}):
            raise _no_map() from error
        raise


async def read_epoch(db: Database) -> int:
    """Return the map's epoch, as the writer has it: a replica may lag.

    Args:
        db: the database that keeps the map.
    """

    async def read(tx: Transaction) -> int:
        return int(await tx.fetch_value("select epoch from rdskit_shard_epoch where one = 1"))

    return await db.run(read)


async def change_map(db: Database, low: int, high: int, *, shard: str | None = None, closed: bool) -> int:
    """Change the map for a range of buckets, and return the new epoch; nothing is changed where it says so already.

    Args:
        db: the database that keeps it.
        low: the first bucket.
        high: the last bucket.
        shard: the new owner; None for the present one.
        closed: whether they are being moved.
    """

    async def write(tx: Transaction) -> int:
        epoch = int(await tx.fetch_value("select epoch from rdskit_shard_epoch where one = 1 for update"))
        rows = await tx.fetch_all(
            "select shard, closed from rdskit_shard_map where bucket between :low and :high", low=low, high=high
        )
        if all(bool(row[1]) == closed and (shard is None or row[0] == shard) for row in rows):
            return epoch
        set_shard = "" if shard is None else "shard = :shard, "
        await tx.execute(
            f"update rdskit_shard_map set {set_shard}closed = :closed where bucket between :low and :high",  # noqa: S608 - one of two texts
            {"low": low, "high": high, "closed": closed} | ({} if shard is None else {"shard": shard}),
        )
        await tx.execute("update rdskit_shard_epoch set epoch = epoch + 1 where one = 1")
        return epoch + 1

    return await db.run(write)


async def change_fence(tx: Transaction, low: int, high: int, *, owned: bool) -> None:
    """Give a range of buckets to a shard, or take it away once the transactions that hold it have ended.

    Args:
        tx: a transaction on the shard.
        low: the first bucket.
        high: the last bucket.
        owned: whether the shard has them afterwards.
    """
    await tx.execute(
        "update rdskit_bucket set owned = :owned where bucket between :low and :high", owned=owned, low=low, high=high
    )


async def owned_count(db: Database, low: int, high: int) -> int:
    """Return how many buckets of a range a shard owns.

    Args:
        db: the shard.
        low: the first bucket.
        high: the last bucket.
    """

    async def read(tx: Transaction) -> int:
        text = "select count(*) from rdskit_bucket where owned and bucket between :low and :high"
        return int(await tx.fetch_value(text, low=low, high=high))

    return await db.run(read)


def _no_map() -> ConfigError:
    return ConfigError("there is no map of shards yet: create it with `rdskit shards init`")
