"""Moving buckets to another shard: a plan whose steps are close, copy, drop and open, for each slice of buckets.

While a slice moves, its keys wait, and all others go on. The order keeps each row on exactly one shard for every
reader: the fence of the source falls and the map closes the slice; once every router's lease has ended, one transaction
on the target takes rows and fence together; the source drops its rows; the map opens the slice again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import dialect_of
from rdskit.errors import ConfigError, ResultError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import quote_name, quote_part
from rdskit.plans import Plan, Step, done, not_done
from rdskit.scale.sharding.model import Slice
from rdskit.scale.sharding.policy import BUCKETS, bucket_of, in_slices, rebalanced
from rdskit.scale.sharding.tables import change_fence, change_map, owned_count, read_map

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from rdskit.client.api import Database, Transaction
    from rdskit.kernel.ports import Row
    from rdskit.plans import Probe, StepContext
    from rdskit.scale.sharding.context import ShardContext
    from rdskit.scale.sharding.model import ShardMap

KIND: Final = "shard-move"
SLICE: Final = 16  # buckets that move together
_BATCH: Final = 1000  # rows read at a time
_POSTGRES_COLUMNS: Final = """
    select column_name, identity_generation = 'ALWAYS' from information_schema.columns
    where table_schema = current_schema() and table_name = :name and is_generated = 'NEVER' order by ordinal_position
"""
_MYSQL_COLUMNS: Final = """
    select column_name, 0 from information_schema.columns
    where table_schema = database() and table_name = :name and coalesce(generation_expression, '') = ''
    order by ordinal_position
"""


def rebalancing(shards: ShardContext, known: ShardMap, most: int = SLICE) -> list[Slice]:
    """Return the slices that have to move so that all configured shards have equally many buckets.

    Args:
        shards: with the configuration.
        known: the map.
        most: buckets in a slice.
    """
    moves = rebalanced(known.owners, list(shards.config.shards))
    return [Slice(*each) for each in in_slices(moves, known.owners, most)]


def range_to(shards: ShardContext, known: ShardMap, low: int, high: int, to: str, most: int = SLICE) -> list[Slice]:
    """Return the slices that bring a range of buckets to one shard.

    Args:
        shards: with the configuration.
        known: the map.
        low: the first bucket.
        high: the last bucket.
        to: the shard that gets them.
        most: buckets in a slice.

    Raises:
        ConfigError: there is no such range or shard.
    """
    if to not in shards.config.shards:
        raise ConfigError(f"{to!r} is none of the shards: {', '.join(shards.config.shards)}")
    if not 0 <= low <= high < BUCKETS:
        raise ConfigError(f"buckets {low}-{high} are no range: give LOW-HIGH between 0 and {BUCKETS - 1}")
    moves = {bucket: to for bucket in range(low, high + 1) if known.owners[bucket] != to}
    return [Slice(*each) for each in in_slices(moves, known.owners, most)]


def plan_for(shards: ShardContext, slices: Sequence[Slice], *, arguments: Mapping[str, Any] | None = None) -> Plan:
    """Return the plan that moves slices, one after another.

    Args:
        shards: connected, and set up.
        slices: what moves.
        arguments: what the plan is rebuilt from, besides the slices.
    """
    steps = [step for each in slices for step in _Move(shards, each).steps()]
    buckets = sum(each.high - each.low + 1 for each in slices)

    async def read() -> Mapping[str, str]:
        known = await read_map(shards.database(shards.config.map_at))
        return {each.name: ",".join(sorted(set(known.owners[each.low : each.high + 1]))) for each in slices}

    return Plan(
        KIND,
        f"move {buckets} of {BUCKETS} buckets in {len(slices)} slices",
        {"slices": [list(each) for each in slices], **(arguments or {})},
        steps,
        facts={each.name: each.source for each in slices},
        read=read,
    )


class _Move:
    """The steps of one slice. Each may be repeated; what it saves first says that it may have begun."""

    def __init__(self, shards: ShardContext, moved: Slice) -> None:
        self._shards = shards
        self._slice = moved
        self._range = {"low": moved.low, "high": moved.high}

    def steps(self) -> list[Step]:
        name, ends = self._slice.name, f"{self._slice.source} to {self._slice.target}"
        return [
            Step(
                f"close {name}", f"stop writes and reads of buckets {name}", self._close, self._is_closed, self._reopen
            ),
            Step(f"copy {name}", f"copy and verify their rows from {ends}", self._copy, self._is_copied, self._uncopy),
            Step(
                f"drop {name}", f"delete their rows on {self._slice.source}", self._drop, self._is_dropped, self._undrop
            ),
            Step(f"open {name}", f"let routers use {self._slice.target}", self._open, self._is_open, self._close_again),
        ]

    @property
    def _map(self) -> Database:
        return self._shards.database(self._shards.config.map_at)

    @property
    def _source(self) -> Database:
        return self._shards.database(self._slice.source)

    @property
    def _target(self) -> Database:
        return self._shards.database(self._slice.target)

    # -- close -----------------------------------------------------------------------------------------------------

    async def _close(self, context: StepContext) -> None:
        await context.save("begun")
        await self._fence(self._source, owned=False)
        await change_map(self._map, *self._slice[:2], closed=True)

    async def _is_closed(self, context: StepContext) -> Probe:
        del context
        known = await read_map(self._map)
        low, high = self._slice[:2]
        closed = known.closed.issuperset(range(low, high + 1))
        return done() if closed and await owned_count(self._source, low, high) == 0 else not_done()

    async def _reopen(self, context: StepContext) -> None:
        del context
        await self._fence(self._source, owned=True)
        await change_map(self._map, *self._slice[:2], shard=self._slice.source, closed=False)

    # -- copy ------------------------------------------------------------------------------------------------------

    async def _copy(self, context: StepContext) -> dict[str, int]:
        await context.save("begun")
        await asyncio.sleep(self._shards.config.lease)  # routers that have not seen the closed map ask it again
        return await self._carry(self._source, self._target)

    async def _is_copied(self, context: StepContext) -> Probe:
        del context
        low, high = self._slice[:2]
        return done({}) if await owned_count(self._target, low, high) == high - low + 1 else not_done()

    async def _uncopy(self, context: StepContext) -> None:
        del context

        async def work(tx: Transaction) -> None:
            await change_fence(tx, *self._slice[:2], owned=False)
            await self._delete(tx)

        await self._target.run(work, timeout=None)

    # -- drop ------------------------------------------------------------------------------------------------------

    async def _drop(self, context: StepContext) -> None:
        await context.save("begun")
        await self._source.run(self._delete, timeout=None)

    async def _is_dropped(self, context: StepContext) -> Probe:
        del context

        async def count(tx: Transaction) -> int:
            return sum(
                [await tx.fetch_value(self._text(table, "select count(*)"), self._range) for table in self._tables]
            )

        return not_done() if await self._source.run(count) else done()

    async def _undrop(self, context: StepContext) -> None:
        del context
        await self._carry(self._target, self._source, owned=False)

    # -- open ------------------------------------------------------------------------------------------------------

    async def _open(self, context: StepContext) -> None:
        await context.save("begun")
        await change_map(self._map, *self._slice[:2], shard=self._slice.target, closed=False)

    async def _is_open(self, context: StepContext) -> Probe:
        del context
        known = await read_map(self._map)
        buckets = range(self._slice.low, self._slice.high + 1)
        there = all(known.owners[bucket] == self._slice.target for bucket in buckets)
        return done() if there and known.closed.isdisjoint(buckets) else not_done()

    async def _close_again(self, context: StepContext) -> None:
        del context
        await self._fence(self._target, owned=False)
        await change_map(self._map, *self._slice[:2], closed=True)
        await asyncio.sleep(self._shards.config.lease)

    # -- rows ------------------------------------------------------------------------------------------------------

    async def _fence(self, db: Database, *, owned: bool) -> None:
        async def work(tx: Transaction) -> None:
            await change_fence(tx, *self._slice[:2], owned=owned)

        await db.run(work)

    async def _carry(self, source: Database, target: Database, *, owned: bool = True) -> dict[str, int]:
        """Copy the slice's rows in one transaction of the target, verify them there, and hand over the fence."""

        async def work(tx: Transaction) -> dict[str, int]:
            await self._delete(tx)
            counts = {}
            for table in self._shards.config.tables:
                columns = await self._columns(source, table)
                text = self._text(table, f"select {', '.join(self._quoted(columns))}")
                sent = _Tally(self._shards.config.tables[table], self._shards.config.bucket, columns)
                async with contextlib.aclosing(source.stream(text, self._range, batch=_BATCH, timeout=None)) as rows:
                    await tx.insert_many(table, _counted(rows, sent, columns))
                found = _Tally(self._shards.config.tables[table], self._shards.config.bucket, columns)
                async with contextlib.aclosing(tx.stream(text, self._range, batch=_BATCH)) as rows:
                    async for row in rows:
                        found.add(row)
                if (sent.count, sent.sum) != (found.count, found.sum):
                    raise ResultError(
                        f"table {table!r} came out with other rows than it has on {self._slice.source!r} "
                        f"({found.count} of {sent.count}): nothing was moved; compare its columns on both shards"
                    )
                counts[table] = sent.count
            if owned:
                await change_fence(tx, *self._slice[:2], owned=True)
            return counts

        return await target.run(work, timeout=None)

    @property
    def _tables(self) -> list[str]:
        """The tables, children before parents."""
        return list(self._shards.config.tables)[::-1]

    async def _delete(self, tx: Transaction) -> None:
        for table in self._tables:
            await tx.execute(self._text(table, "delete"), self._range)

    async def _columns(self, db: Database, table: str) -> list[str]:
        text = _POSTGRES_COLUMNS if dialect_of(db) is Dialect.POSTGRES else _MYSQL_COLUMNS

        async def read(tx: Transaction) -> list[Row]:
            return await tx.fetch_all(text, name=table)

        rows = await db.run(read)
        columns = [str(row[0]) for row in rows]
        if always := [row[0] for row in rows if row[1]]:
            raise ConfigError(
                f"column {always[0]!r} of {table!r} is generated always, so its values cannot be moved: alter it to "
                "generated by default"
            )
        for needed in (self._shards.config.bucket, self._shards.config.tables[table]):
            if needed not in columns:
                raise ConfigError(f"table {table!r} has no column {needed!r} on {self._slice.source!r}: add it there")
        return columns

    def _text(self, table: str, verb: str) -> str:
        dialect = dialect_of(self._source)
        bucket = quote_part(self._shards.config.bucket, dialect)
        return f"{verb} from {quote_name(table, dialect)} where {bucket} between :low and :high"

    def _quoted(self, columns: Sequence[str]) -> list[str]:
        return [quote_part(column, dialect_of(self._source)) for column in columns]


class _Tally:
    """Counts rows, and adds up a hash of each, whatever their order; refuses a row in a wrong bucket."""

    def __init__(self, key: str, bucket: str, columns: Sequence[str]) -> None:
        self.count = 0
        self.sum = 0
        self._key = columns.index(key)
        self._bucket = columns.index(bucket)

    def add(self, row: Row) -> None:
        """Count a row.

        Raises:
            ResultError: its bucket is not that of its key.
        """
        expected = bucket_of(row[self._key])
        if row[self._bucket] != expected:
            raise ResultError(
                f"a row says bucket {row[self._bucket]}, and its key belongs to {expected}: nothing was moved; correct "
                "the rows that were inserted without shards.on(key)"
            )
        self.count += 1
        digest = hashlib.blake2b(repr(tuple(row)).encode(), digest_size=16).digest()
        self.sum = (self.sum + int.from_bytes(digest)) % (1 << 128)


async def _counted(rows: AsyncIterator[Row], tally: _Tally, columns: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
    async for row in rows:
        tally.add(row)
        yield dict(zip(columns, row, strict=True))
