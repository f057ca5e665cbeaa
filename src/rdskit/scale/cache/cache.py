"""The cache that an application uses."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_seconds, require_text
from rdskit.kernel.key_value import KeyValueError
from rdskit.kernel.sql import one_mapping
from rdskit.scale.cache.codec import Shape, Uncacheable, decode_result, encode
from rdskit.scale.cache.loading import Request
from rdskit.scale.cache.model import STORED
from rdskit.scale.cache.plans import Asked, Plan, require_read
from rdskit.scale.cache.policy import is_valid
from rdskit.scale.cache.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from rdskit.client.api import Database, Session
    from rdskit.kernel.ports import Params
    from rdskit.scale.cache.model import CacheStats
    from rdskit.scale.cache.store import Found

T = TypeVar("T")
_bypassed: contextvars.ContextVar[bool] = contextvars.ContextVar("rdskit_cache_bypassed", default=False)
_ROUNDS: Final = 3  # plans made for one call, if definitions change all the time


class Cache:
    """Query results in Redis or Valkey that every write through the database object invalidates.

    ``async with Cache(db, "redis://cache.example.com", namespace="shop") as cache: await cache.fetch_all(…, ttl=60)``

    A read sees every write that was acknowledged before it began, to whatever process with a cache of the same
    namespace. Writes of other clients are seen when the TTL ends, or after ``invalidate``. If the cache cannot be
    reached, the database answers. ``docs/cache.md`` says what holds when something fails.

    Args:
        db: the database, or a view of it. It must lead to the writer.
        redis: ``redis://[user[:password]@]host[:port][/number]``; ``rediss://`` for TLS; also ``valkey://``.
        namespace: first part of every key. One for each database, the same in all processes.
        timeout: seconds for an answer of the cache, after which the database is asked. The same in all processes: ten
            times as long without an answer counts as an outage.
        loads: queries that the cache sends to the database at once from this process, at most.
        largest: bytes of one result, at most.

    Raises:
        ConfigError: an argument is wrong, or the extra is not installed.
    """

    def __init__(
        self,
        db: Database,
        redis: str,
        *,
        namespace: str,
        timeout: float = 0.05,
        loads: int = 8,
        largest: int = 1_048_576,
    ) -> None:
        self._db = db
        self._service = Service(db, redis, namespace, timeout=timeout, loads=loads, largest=largest)
        self._scope = api.scope_of(db)

    def __repr__(self) -> str:
        return f"<rdskit.Cache {self._service.namespace}{' (closed)' if self._service.closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection to the cache; writes of the database are not told to it any more."""
        await self._service.close()

    @property
    def stats(self) -> CacheStats:
        """What this process has done so far."""
        return dataclasses.replace(self._service.stats)

    def of(self, db: Database) -> Cache:
        """Return this cache for another view of the same database: a tenant's, for example.

        Args:
            db: a view of the database; its scope is part of every key.

        Raises:
            ConfigError: it is another database.
        """
        if db.context.shared.hooks is not self._db.context.shared.hooks:
            raise ConfigError("this cache belongs to another database: give a view of the one it was made with")
        other = object.__new__(type(self))
        other._db, other._service, other._scope = db, self._service, api.scope_of(db)
        return other

    # -- queries ---------------------------------------------------------------------------------------------------

    async def fetch_all(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        ttl: float = 60.0,
        tables: Collection[str] | None = None,
        use: bool = True,
        into: type[Any] | None = None,
        **named: Any,
    ) -> list[Any]:
        """Return all rows of a query, from the cache if they are there and nothing has changed.

        Args:
            sql: one query with ``:name`` parameters.
            params: its parameters as a mapping, instead of keywords.
            ttl: seconds for which the result is kept, at most.
            tables: the tables that it depends on, where its text does not tell: it calls functions of your own.
            use: False asks the database, as in ``cache.bypass()``.
            into: what each row becomes, as for ``db.fetch_all``.
            named: its parameters.

        Raises:
            ConfigError: the statement does more than read, text and parameters do not fit, or a table does not exist.
            RdskitError: the database gave no answer.
        """
        found = await self._fetch(Shape.ALL, self._db.fetch_all, sql, one_mapping(params, named), ttl, tables, use=use)
        return found if into is None else api.into_all(found, into)

    async def fetch_one(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        ttl: float = 60.0,
        tables: Collection[str] | None = None,
        use: bool = True,
        into: type[Any] | None = None,
        **named: Any,
    ) -> Any:
        """Return the first row of a query, or None; that there is none is kept too. Arguments as for ``fetch_all``."""
        found = await self._fetch(Shape.ONE, self._db.fetch_one, sql, one_mapping(params, named), ttl, tables, use=use)
        return found if into is None else api.into_one(found, into)

    async def fetch_value(
        self,
        sql: str,
        params: Params | None = None,
        /,
        *,
        ttl: float = 60.0,
        tables: Collection[str] | None = None,
        use: bool = True,
        **named: Any,
    ) -> Any:
        """Return the first column of the first row, or None; arguments as for ``fetch_all``."""
        values = one_mapping(params, named)
        return await self._fetch(Shape.VALUE, self._db.fetch_value, sql, values, ttl, tables, use=use)

    async def get_or_load(
        self,
        key: str,
        loader: Callable[[Session], Awaitable[T]],
        ttl: float = 60.0,
        *,
        depends: Collection[str] = (),
        use: bool = True,
    ) -> T:
        """Return a value that the application computes, from the cache if nothing has changed.

        Args:
            key: names the value, with whatever it depends on: ``"cart:7"``.
            loader: called with a session of the database if the value is not there. What it reads through the session
                is as new as the value must be. The value is of types that MessagePack or the database has.
            ttl: seconds for which the value is kept, at most.
            depends: the tables whose changes invalidate it; without any, the TTL alone ends it.
            use: False calls the loader in any case.

        Raises:
            ConfigError: a table does not exist.
        """

        async def load(token: str | None) -> T:
            async with self._db.session(after=token) as session:
                return await loader(session)

        asked = Asked(Shape.LOADED, require_text("key", key, example="cart:7"), tuple(sorted(depends)), self._scope)
        found: T = await self._answer(asked, {}, ttl, load, use=use)
        return found

    async def invalidate(self, *tables: str) -> None:
        """Invalidate every result that depends on one of these tables; without any, every result.

        For what other clients have written. Writes through the database object need no call.

        Args:
            tables: names of tables or views, as a statement would spell them.
        """
        self._service.require_open()
        await self._service.invalidation.invalidate(tables or None, self._scope)

    async def require_tables(self, *tables: str) -> None:
        """Return if these are tables or views of the database.

        Raises:
            ConfigError: one of them is not.
        """
        missing = await self._service.plans.missing(tables, self._scope)
        if missing:
            raise ConfigError(f"no table or view is named {', '.join(missing)}: spell it as a statement would")

    @contextlib.contextmanager
    def bypass(self) -> Iterator[None]:
        """Have every call of this task inside the block ask the database."""
        before = _bypassed.set(True)
        try:
            yield
        finally:
            _bypassed.reset(before)

    # -- how a call is answered ------------------------------------------------------------------------------------

    async def _fetch(
        self,
        shape: Shape,
        fetch: Callable[..., Awaitable[Any]],
        sql: str,
        values: Params,
        ttl: float,
        tables: Collection[str] | None,
        *,
        use: bool,
    ) -> Any:
        require_read(self._db, sql)

        def load(token: str | None) -> Awaitable[Any]:
            return fetch(sql, values, after=token)

        given = None if tables is None else tuple(sorted(tables))
        return await self._answer(Asked(shape, sql, given, self._scope), values, ttl, load, use=use)

    async def _answer(
        self,
        asked: Asked,
        values: Params,
        ttl: float,
        load: Callable[[str | None], Awaitable[Any]],
        *,
        use: bool,
    ) -> Any:
        service = self._service
        if require_seconds("ttl", ttl, or_none=False) <= 0:
            raise ConfigError(f"ttl={ttl:g} keeps nothing: give seconds above 0, or use=False")
        service.require_open()
        if not use or _bypassed.get():
            service.stats.bypassed += 1
            return await load(None)
        try:
            looked = await self._look(asked, values)
        except KeyValueError:
            service.stats.unavailable += 1
            return await service.loading.direct(Request(_shared_key(asked, values), (), b"", asked.shape, ttl, load))
        if looked is None:
            service.stats.bypassed += 1
            return await load(None)
        key, plan, found = looked
        assert plan.tables is not None
        entry, stamp = found.entry, found.stamp
        if entry is not None and stamp is not None and entry[:1] == STORED and is_valid(entry, stamp):
            with contextlib.suppress(ValueError):  # another version wrote it: load it as if it were not there
                result = decode_result(asked.shape, memoryview(entry)[1 + len(stamp) :])
                service.stats.hits += 1
                return result
        service.stats.misses += 1
        request = Request(key, plan.tables, plan.generation, asked.shape, ttl, load)
        return await service.loading.missed(request, found)

    async def _look(self, asked: Asked, values: Params) -> tuple[bytes, Plan, Found] | None:
        """Return the key of a call and what the store holds; None if the call must not be cached.

        Raises:
            KeyValueError: the store cannot be asked.
        """
        service = self._service
        await service.require_usable()
        plan = service.plans.at_once(asked)
        for _ in range(_ROUNDS):
            if plan is not None:
                if plan.tables is None and plan.generation == service.store.seen:
                    return None
                try:
                    key = plan.key(values)
                except Uncacheable:
                    return None
                if key is None:
                    return None
                found = await service.store.find(key, plan.tables or ())
                if found.generation == plan.generation:
                    return None if plan.tables is None else (key, plan, found)
            plan = await service.plans.make(asked)
        return None


def _shared_key(asked: Asked, values: Params) -> bytes:
    """Return a key by which callers of this process share a load that the cache has no part in; empty for none."""
    try:
        return encode([int(asked.shape), asked.what, str(asked.scope), sorted(values.items())])
    except (Uncacheable, TypeError):
        return b""
