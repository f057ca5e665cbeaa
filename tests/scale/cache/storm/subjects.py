"""The caches that a storm strikes: ours, and cashews as its documentation shows it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from rdskit.scale import Cache

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    import rdskit
    from rdskit.client.api import Session

TABLES = 4


class Subject(Protocol):
    """A cache under test."""

    async def read(self, row: int, chance: random.Random) -> int:
        """Return the version of a row, through the cache."""
        ...

    async def write(self, row: int, version: int, chance: random.Random) -> None:
        """Write a version of a row, and return when every later read sees it."""
        ...

    def counts(self) -> dict[str, int]:
        """Return what the cache counts."""
        ...


class Ours:
    """``rdskit.scale.Cache``: reads by key, by a view, by a range and by a loader."""

    def __init__(self, db: rdskit.Database, cache: Cache) -> None:
        self._db = db
        self._cache = cache

    async def read(self, row: int, chance: random.Random) -> int:
        table, way = row % TABLES, chance.randrange(8)
        if way == 0:
            rows = await self._cache.fetch_all(f"select id, version from v{table} order by id")
            return next(int(each.version) for each in rows if each.id == row)
        if way == 1:

            async def load(session: Session) -> int:
                found: int = await session.fetch_value(f"select version from t{table} where id = :id", id=row)
                return found

            return await self._cache.get_or_load(f"row:{row}", load, depends=[f"t{table}"])
        found: int = await self._cache.fetch_value(f"select version from t{table} where id = :id", id=row)
        return found

    async def write(self, row: int, version: int, chance: random.Random) -> None:
        sql = f"update t{row % TABLES} set version = greatest(version, :version) where id = :id"
        if chance.randrange(2):
            await self._db.execute(sql, version=version, id=row)
        else:
            async with self._db.transaction() as tx:
                await tx.execute(sql, version=version, id=row)

    def counts(self) -> dict[str, int]:
        stats = self._cache.stats
        return {"hits": stats.hits, "loads": stats.loads, "joined": stats.joined, "waited": stats.waited} | {
            "unavailable": stats.unavailable,
            "outages": stats.outages,
        }


class Cashews:
    """cashews with a tag for each table, deleted after each write."""

    def __init__(self, db: rdskit.Database, redis: str) -> None:
        from cashews import Cache as Theirs  # a peer that only bench/ installs

        self._db = db
        self._cache: Any = Theirs()
        self._cache.setup(redis)

        async def load(row: int, table: int) -> int:
            found: int = await db.fetch_value(f"select version from t{table} where id = :id", id=row)
            return found

        self._load = self._cache(ttl=60, key="row:{row}", tags=["table:{table}"])(load)

    async def read(self, row: int, _: random.Random) -> int:
        found: int = await self._load(row=row, table=row % TABLES)
        return found

    async def write(self, row: int, version: int, _: random.Random) -> None:
        sql = f"update t{row % TABLES} set version = greatest(version, :version) where id = :id"
        await self._db.execute(sql, version=version, id=row)
        await self._cache.delete_tags(f"table:{row % TABLES}")

    def counts(self) -> dict[str, int]:
        return {}


@contextlib.asynccontextmanager
async def subject(name: str, db: rdskit.Database, redis: str, timeout: float) -> AsyncIterator[Subject]:
    """Open a cache under test."""
    if name == "cashews":
        theirs = Cashews(db, redis)
        yield theirs
        await theirs._cache.close()
    else:
        async with Cache(db, redis, namespace="storm", timeout=timeout) as cache:
            yield Ours(db, cache)
