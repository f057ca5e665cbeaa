"""Invalidation: deletes the epochs of what was written, before the call that wrote returns."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rdskit.client import api
from rdskit.errors import RdskitError
from rdskit.kernel.key_value import KeyValueError, KeyValueRefused
from rdskit.scale.cache.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.api import Database
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.writes import Write
    from rdskit.runtime.tasks import TaskOwner
    from rdskit.scale.cache.model import CacheStats
    from rdskit.scale.cache.store import Store

_ROUNDS: Final = 3  # times that the catalog is asked again because definitions change at the same time
_CATALOG_TIMEOUT: Final = 5.0  # seconds for the catalog's answer, after which the whole namespace is invalidated
_SCOPES: Final = 1000  # schemas and roles whose catalogs are kept; the oldest goes first
_log = logging.getLogger("rdskit.cache")


class Catalogs:
    """The catalog as each scope of a database sees it.

    Args:
        db: any view of the database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_scope: dict[Scope, Catalog] = {}

    def of(self, scope: Scope) -> Catalog:
        """Return the catalog that statements of a scope see."""
        seen = replace(scope, tenant=None)  # a tenant changes neither names nor definitions
        found = self._by_scope.get(seen)
        if found is None:
            if len(self._by_scope) >= _SCOPES:
                del self._by_scope[next(iter(self._by_scope))]
            found = self._by_scope[seen] = Catalog(api.scoped(self._db, seen))
        return found


class Invalidation:
    """Tells the store of writes.

    Args:
        store: the entries.
        catalogs: which tables a write changes beside those that its text names.
        owner: of the tasks that tell; a caller that is cancelled does not end them.
        stats: counts invalidations.
    """

    def __init__(self, store: Store, catalogs: Catalogs, owner: TaskOwner, stats: CacheStats) -> None:
        self._store = store
        self._catalogs = catalogs
        self._owner = owner
        self._stats = stats

    async def after_write(self, write: Write) -> None:
        """Invalidate what a commit has changed: the write hook of the database."""
        await self.invalidate(write.tables, write.scope)

    async def invalidate(self, tables: Iterable[str] | None, scope: Scope) -> None:
        """Invalidate tables and all that changes with them; return when every later read sees that.

        Args:
            tables: as statements spell them; None for everything.
            scope: that the names are looked up in.
        """
        self._stats.invalidations += 1
        await asyncio.shield(self._owner.spawn(self._invalidate_or_lose_trust(tables, scope), "invalidate"))

    async def _invalidate_or_lose_trust(self, tables: Iterable[str] | None, scope: Scope) -> None:
        try:
            usable = await self._store.usable()
            # After an outage the catalog may be out of date; the command must be on its way before the caller goes on.
            await self._delete(tables if usable else None, scope)
        except KeyValueError as error:
            self._store.trust.lose(f"a write could not reach it: {error}")
            await self._store.trust.seen_by_all()

    async def _delete(self, spelled: Iterable[str] | None, scope: Scope) -> None:
        if spelled is None:
            await self._store.invalidate(None)
            return
        names = frozenset(spelled)
        for _ in range(_ROUNDS):
            generation, tables = await self._changed(names, scope)
            if tables is None:
                break
            before = await self._store.invalidate([table.encode() for table in tables])
            if before is None or before == generation:  # without that epoch, no entry is valid in any case
                return
        await self._store.invalidate(None)

    async def _changed(self, names: frozenset[str], scope: Scope) -> tuple[bytes, frozenset[str] | None]:
        """Return the namespace's epoch and what a write to tables changes under it; None if it may be anything."""
        catalog = self._catalogs.of(scope)
        if (known := catalog.changed_at_once(names)) is not None:
            return known
        try:
            generation = await self._store.generation()
        except KeyValueRefused:  # it is full
            return b"", None
        try:
            async with asyncio.timeout(_CATALOG_TIMEOUT):
                return generation, await catalog.changed(names, generation)
        except (RdskitError, TimeoutError) as error:
            _log.info("the catalog does not tell what a write changes, so everything is invalidated: %s", error)
            return generation, None
