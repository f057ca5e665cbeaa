"""``Shards``: one application over several databases, each with a part of the rows."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rdskit.client.api import DEFAULT, connect, dialect_of, rewriting, scoped
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_seconds
from rdskit.kernel.scope import NO_SCOPE
from rdskit.runtime.deadlines import Deadline
from rdskit.scale.sharding.guard import KeyGuard
from rdskit.scale.sharding.model import ShardConfig, config_from
from rdskit.scale.sharding.on import OnKey
from rdskit.scale.sharding.policy import bucket_of
from rdskit.scale.sharding.router import MapReader
from rdskit.scale.sharding.scatter import Scatter
from rdskit.scale.sharding.tables import FENCE, make_fence, make_map

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rdskit.client.api import Database
    from rdskit.scale.sharding.merge import Merge
    from rdskit.scale.sharding.model import ShardMap

_KEPT = 1024  # queries over shards whose plans are remembered
_TIMEOUT = 30.0  # seconds for a call, where nothing else is said


class Shards:
    """The shards of an application. Made by ``Shards.connect``; safe for use by many tasks of one event loop."""

    def __init__(self, config: ShardConfig, options: Mapping[str, Any]) -> None:
        self.config = config
        if options.get("readers", "off") != "off":
            raise ConfigError("readers= is not for shards: a replica may lag behind a move, so writers answer reads")
        self._options = {"readers": "off", **options}
        self._timeout: float | None = self._options.setdefault("timeout", _TIMEOUT)
        self._connected: tuple[Database, ...] = ()
        self._databases: dict[str, Database] = {}  # views that refuse changes of shard keys
        self._map: MapReader | None = None
        self.fence = ""  # the statement that holds a bucket; known once the shards are connected
        self.merges: dict[tuple[str, bool], Merge] = {}  # how queries over shards run, by their texts
        self._opening = asyncio.Lock()
        self._closed = False

    @classmethod
    def connect(cls, shards: str | os.PathLike[str] | Mapping[str, Any] | ShardConfig, **options: Any) -> Self:
        """Return the shards that a configuration names; they are connected by the first call that needs them.

        Args:
            shards: the path of a TOML file, or what it would hold: ``{"shards": {"s1": "rds://orders-1/shop"}}``.
            options: further arguments of ``rdskit.connect``, for all of them.

        Raises:
            ConfigError: the configuration cannot be read, or is wrong.
        """
        if isinstance(shards, ShardConfig):
            return cls(shards, options)
        if isinstance(shards, Mapping):
            return cls(config_from(shards), options)
        return cls(read_config(Path(shards)), options)

    def on(self, key: Any) -> OnKey:
        """Return what runs statements for one shard key, on the shard that has it.

        Args:
            key: an int, a str, bytes or a UUID, as it is in the table's key column.
        """
        return OnKey(self, key, bucket_of(key))

    def everywhere(self) -> Scatter:
        """Return what runs queries on all shards at the same time, and merges their rows."""
        return Scatter(self)

    def among(self, **keys: Sequence[Any]) -> Scatter:
        """Return what runs queries on the shards of some keys; each gets those of the list that it has.

        Args:
            keys: the name of a list parameter with the shard keys in it: ``among(ids=[1, 2]).fetch_all("… in :ids")``.

        Raises:
            ConfigError: not exactly one list is given.
        """
        if len(keys) != 1:
            raise ConfigError("among() takes one list of shard keys: among(ids=[1, 2, 3])")
        [(name, values)] = keys.items()
        return Scatter(self, name, tuple(values))

    async def map(self) -> ShardMap:
        """Return the map as it is now."""
        return await (await self.opened()).refreshed(self._timeout)

    async def setup(self, shards: Sequence[str] | None = None) -> ShardMap:
        """Create the map and the fences where they are missing; may be called again, and after an interruption.

        Args:
            shards: those that share the buckets of a new map; all by default.
        """
        await self._connect_all()
        found = await make_map(self._databases[self.config.map_at], list(shards or self.config.shards))
        for name, db in self._databases.items():
            await make_fence(db, frozenset(b for b, owner in enumerate(found.owners) if owner == name))
        return found

    async def close(self) -> None:
        """Close all connections. May be called twice."""
        self._closed = True
        if self._map is not None:
            await self._map.close()
        for db in self._connected:
            await db.close()

    async def __aenter__(self) -> Self:
        await self._connect_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- for the other modules of this room ------------------------------------------------------------------------

    async def opened(self) -> MapReader:
        """Return the map's reader, once the shards are connected."""
        if self._map is None or self._closed:
            await self._connect_all()
            async with self._opening:
                if self._map is None:
                    self._map = MapReader(self._databases[self.config.map_at], self.config.lease)
        return self._map

    def database(self, shard: str) -> Database:
        """Return the database of a shard.

        Raises:
            ConfigError: the map names one that the configuration does not.
        """
        found = self._databases.get(shard)
        if found is None:
            raise ConfigError(f"the map names shard {shard!r}, which the configuration does not: add it under [shards]")
        return found

    def keep(self, key: tuple[str, bool], merge: Merge) -> None:
        """Remember how a query runs; the oldest one goes when there are too many."""
        if len(self.merges) >= _KEPT:
            del self.merges[next(iter(self.merges))]
        self.merges[key] = merge

    def limit(self, timeout: float | None) -> Deadline:
        """Return the deadline of a call."""
        return Deadline.after(self._timeout if timeout is DEFAULT else require_seconds("timeout", timeout))

    async def _connect_all(self) -> None:
        if self._closed:
            raise ConfigError("these shards are closed: connect again with Shards.connect")
        if self._databases:
            return
        async with self._opening:
            if self._databases:
                return
            opened: dict[str, Database] = {}
            try:
                for name, target in self.config.shards.items():
                    opened[name] = await connect(target, **self._options)
            except BaseException:
                for db in opened.values():
                    await db.close()
                raise
            dialects = {dialect_of(db) for db in opened.values()}
            if len(dialects) > 1:
                for db in opened.values():
                    await db.close()
                raise ConfigError("the shards are of several products: use one for all")
            self.fence = FENCE[dialects.pop()]
            self._connected = tuple(opened.values())
            self._databases = {
                name: scoped(db, NO_SCOPE, statements=rewriting(db, KeyGuard(self.config, dialect_of(db))))
                for name, db in opened.items()
            }


def read_config(path: Path) -> ShardConfig:
    """Return what a TOML file says of shards.

    Args:
        path: of the file.

    Raises:
        ConfigError: it cannot be read, or is wrong; the error names the file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name the configuration of the shards") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}; correct that line") from error
    try:
        return config_from(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
