"""What all cache objects of one database share: the store, the hooks and the background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
from typing import TYPE_CHECKING, Final

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_seconds, require_text, require_whole
from rdskit.kernel.key_value import KeyValueError, KeyValueUnreachable
from rdskit.runtime.tasks import TaskOwner
from rdskit.scale.cache.loading import Loading
from rdskit.scale.cache.model import CacheStats
from rdskit.scale.cache.plans import Plans
from rdskit.scale.cache.store import Store
from rdskit.scale.cache.writes import Catalogs, Invalidation

if TYPE_CHECKING:
    from rdskit.client.api import Database
    from rdskit.kernel.key_value import KeyValueStore

_SILENCE: Final = 10  # timeouts without an answer that count as an outage
_COUNT_EVERY: Final = 5.0  # seconds between two updates of the shared counters
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_log = logging.getLogger("rdskit.cache")


class Service:
    """The cache of one database in one process.

    Args:
        db: any view of the database.
        redis: the URL of the server.
        namespace: first part of every key.
        timeout: as for `Cache`.
        loads: as for `Cache`.
        largest: as for `Cache`.

    Attributes:
        namespace: first part of every key.
        stats: what was done so far.
        store: the entries.
        plans: what is known of statements.
        loading: answers misses.
        invalidation: tells of writes.
        closed: whether it has ended.
    """

    def __init__(self, db: Database, redis: str, namespace: str, *, timeout: float, loads: int, largest: int) -> None:
        if require_seconds("timeout", timeout, or_none=False) <= 0:
            raise ConfigError(f"timeout={timeout:g} leaves no time: give seconds above 0")
        require_whole("loads", loads, least=1)
        require_whole("largest", largest, least=1)
        self.namespace = namespace
        self.stats = CacheStats()
        self.closed = False
        self._counted = CacheStats()
        self._redis = connected(redis, namespace, timeout)
        self._owner = TaskOwner(f"cache {namespace}")
        self.store = Store(self._redis, namespace.encode(), _SILENCE * timeout, self._owner, self.stats)
        catalogs = Catalogs(db)
        self.plans = Plans(db, self.store, catalogs, self._owner)
        self.loading = Loading(db, self.store, self._owner, self.stats, loads, largest)
        self.invalidation = Invalidation(self.store, catalogs, self._owner, self.stats)
        self._remove_hook = api.on_write(db, self.invalidation.after_write)
        self._owner.spawn(self._follow(db), "follow the writer")
        self._owner.spawn(self._count(), "count")

    def require_open(self) -> None:
        """Refuse calls after the end.

        Raises:
            ConfigError: the cache is closed.
        """
        if self.closed:
            raise ConfigError(f"the cache {self.namespace} is closed: open another, or ask the database")

    async def require_usable(self) -> None:
        """Return if entries may be served now.

        Raises:
            KeyValueUnreachable: there is no connection, or an outage is not over.
        """
        if not await self.store.usable():
            raise KeyValueUnreachable(f"the cache {self.namespace} is not usable now")

    async def close(self) -> None:
        """End the background tasks and the connection."""
        if self.closed:
            return
        self.closed = True
        self._remove_hook()
        with contextlib.suppress(KeyValueError):
            await self._add_to_counters()
        await self._owner.close()
        await self._redis.close()

    async def _follow(self, db: Database) -> None:
        """Invalidate everything when the writer was lost: the next one may lack what entries show."""
        async with contextlib.aclosing(api.epochs(db)) as epochs:
            first = True
            async for epoch in epochs:
                if not first:
                    _log.info("everything is invalidated: the writer is %s (%s)", epoch.writer, epoch.reason.value)
                    await self.invalidation.invalidate(None, api.scope_of(db))
                first = False

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_EVERY)
            try:
                await self._add_to_counters()
            except KeyValueError as error:
                _log.debug("the counters are written later: %s", error)

    async def _add_to_counters(self) -> None:
        now, before = dataclasses.asdict(self.stats), dataclasses.asdict(self._counted)
        more = {name: number - before[name] for name, number in now.items() if number != before[name]}
        if more:
            await self.store.count(more)
            self._counted = CacheStats(**now)


def connected(url: str, namespace: str, timeout: float) -> KeyValueStore:
    """Return a connection to the server of a cache, which opens in the background.

    Args:
        url: of the server.
        namespace: first part of every key.
        timeout: seconds for an answer.

    Raises:
        ConfigError: an argument is wrong, or the extra is not installed.
    """
    if not _NAMESPACE.fullmatch(require_text("namespace", namespace, example="shop")):
        raise ConfigError(f"namespace={namespace!r} is no prefix: give 1 to 64 of the characters A-Z a-z 0-9 _ . : -")
    try:
        import msgpack  # noqa: F401, PLC0415 - an extra

        from rdskit.drivers.redis import Redis, RedisAddress  # noqa: PLC0415 - same
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the cache needs {error.name}, which is not installed: pip install 'rdskit[redis]'"
        ) from error
    probe = b"{%s}" % namespace.encode()
    return Redis(RedisAddress.parse(url), timeout=timeout, silence=_SILENCE * timeout, probe=probe)
