"""What is known of the catalog, for as long as the namespace's epoch does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.client import api
from rdskit.kernel.sql import Dialect
from rdskit.scale.cache.catalog.mysql import MysqlCatalog
from rdskit.scale.cache.catalog.postgres import PostgresCatalog
from rdskit.scale.cache.policy import not_yet_known, tables_changed, tables_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.client.api import Database
    from rdskit.scale.cache.model import Facts, Identity


class Catalog:
    """Answers which tables stand behind names, and asks the writer about each name once in a generation.

    A statement that changes definitions has unknown tables, so it changes the namespace's epoch: that begins the next
    generation, in every process.

    Args:
        db: the database, in the scope that its statements run with.
    """

    def __init__(self, db: Database) -> None:
        fresh = api.token_at(db, None)
        self._engine = (PostgresCatalog if api.dialect_of(db) is Dialect.POSTGRES else MysqlCatalog)(db, fresh)
        self._generation = b""
        self._names: dict[str, str | None] = {}
        self._facts: dict[str, Facts] = {}
        self._changed: dict[frozenset[str], frozenset[str] | None] = {}
        self._identity: Identity | None = None

    async def identity(self) -> Identity:
        """Return the database and the user that statements run as; asked once."""
        if self._identity is None:
            self._identity = await self._engine.identity()
        return self._identity

    async def read(self, spelled: Iterable[str], generation: bytes) -> tuple[str, ...] | None:
        """Return the canonical names of all tables that a query depends on; None if it must not be cached.

        Args:
            spelled: the relations that it names.
            generation: the id of the namespace's epoch, read before this call.
        """
        names, facts = await self._known(spelled, generation)
        return None if names is None else tables_read(names, facts)

    async def changed(self, spelled: Iterable[str], generation: bytes) -> frozenset[str] | None:
        """Return the canonical names of all tables that a write may change; None if it may be any.

        Args:
            spelled: the relations that it names.
            generation: as for ``read``.
        """
        asked = frozenset(spelled)
        names, facts = await self._known(asked, generation)
        changed = None if names is None else tables_changed(names, facts)
        if generation == self._generation:
            self._changed[asked] = changed
        return changed

    def changed_at_once(self, spelled: frozenset[str]) -> tuple[bytes, frozenset[str] | None] | None:
        """Return the current generation and what ``changed`` says in it; None if the catalog must be asked."""
        return (self._generation, self._changed[spelled]) if spelled in self._changed else None

    async def missing(self, spelled: Iterable[str]) -> list[str]:
        """Return those of some names that stand for no table or view."""
        names = list(spelled)
        found = await self._engine.canonical(names) if names else {}
        return [name for name in names if name not in found]

    async def _known(self, spelled: Iterable[str], generation: bytes) -> tuple[set[str] | None, dict[str, Facts]]:
        asked = frozenset(spelled)
        if generation != self._generation:
            self._generation, self._names, self._facts, self._changed = generation, {}, {}, {}
        known, facts = self._names, self._facts  # a later generation replaces them while the writer is asked
        if unknown := asked - known.keys():
            found = await self._engine.canonical(unknown)
            known |= {name: found.get(name) for name in unknown}
        names = {name for name in map(known.__getitem__, asked) if name is not None}
        while missing := not_yet_known(names, facts):
            found_facts = await self._engine.facts(missing)
            if not found_facts.keys() >= missing:  # dropped since, or not visible
                return None, facts
            facts |= found_facts
        return (None if None in map(known.__getitem__, asked) else names), facts
