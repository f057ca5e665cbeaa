"""What is known of a statement before it is run: its tables, and the part of its key that never changes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.client import api
from rdskit.errors import ConfigError
from rdskit.kernel.sql import Kind
from rdskit.scale.cache.codec import Shape, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rdskit.client.api import Database
    from rdskit.kernel.scope import Scope
    from rdskit.runtime.tasks import TaskOwner
    from rdskit.scale.cache.store import Store
    from rdskit.scale.cache.writes import Catalogs

_PLANS: Final = 4096  # kept; the oldest goes first
_DIGEST: Final = 16  # bytes of a key


class Asked(NamedTuple):
    """What a plan is made for.

    Attributes:
        shape: what the call returns.
        what: the statement, or the name of a loader's value.
        tables: the tables that the caller names; None to read them from the statement.
        scope: the tenant, role and schema.
    """

    shape: Shape
    what: str
    tables: tuple[str, ...] | None
    scope: Scope


class Plan(NamedTuple):
    """How calls of one statement are answered.

    Attributes:
        generation: the id of the namespace's epoch under which the tables were found.
        tables: canonical names; None where the result must not be cached.
        salt: the beginning of the hash that makes keys.
        names: parameters of the statement, in the order in which their values are hashed.
    """

    generation: bytes
    tables: tuple[bytes, ...] | None
    salt: Any
    names: tuple[str, ...]

    def key(self, values: Mapping[str, Any]) -> bytes | None:
        """Return the key of one call; None where its parameters are not those of the statement.

        Raises:
            Uncacheable: a value has no exact form.
        """
        if len(values) != len(self.names):
            return None
        try:
            packed = encode([values[name] for name in self.names])
        except KeyError:
            return None
        digest = self.salt.copy()
        digest.update(packed)
        found: bytes = digest.digest()
        return found


class Plans:
    """Makes plans, each once in a generation.

    Args:
        db: any view of the database.
        store: the entries.
        catalogs: the tables behind names.
        owner: of the tasks that ask the catalog.
    """

    def __init__(self, db: Database, store: Store, catalogs: Catalogs, owner: TaskOwner) -> None:
        self._db = db
        self._store = store
        self._catalogs = catalogs
        self._owner = owner
        self._plans: dict[Asked, Plan] = {}
        self._making: dict[Asked, asyncio.Task[Plan | Exception]] = {}

    def at_once(self, asked: Asked) -> Plan | None:
        """Return a plan that is there; it holds if its generation is the current one."""
        return self._plans.get(asked)

    async def make(self, asked: Asked) -> Plan:
        """Return a plan of the current generation.

        Raises:
            KeyValueError: the store does not tell the generation.
            RdskitError: the catalog cannot be asked.
            ConfigError: a table that the caller names does not exist.
        """
        making = self._making.get(asked)
        if making is None:
            making = self._making[asked] = self._owner.spawn(self._make(asked), "ask for the tables of a statement")
            making.add_done_callback(lambda _: self._making.pop(asked, None))
        plan = await asyncio.shield(making)
        if isinstance(plan, Exception):
            raise plan
        return plan

    async def missing(self, tables: Iterable[str], scope: Scope) -> list[str]:
        """Return those of some names that stand for no table or view."""
        return await self._catalogs.of(scope).missing(tables)

    async def _make(self, asked: Asked) -> Plan | Exception:
        try:
            plan = await self._made(asked)
        except Exception as error:  # noqa: BLE001 - carried to every caller that waits for the plan
            return error
        if len(self._plans) >= _PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[asked] = plan
        return plan

    async def _made(self, asked: Asked) -> Plan:
        generation = await self._store.generation()
        catalog = self._catalogs.of(asked.scope)
        identity = await catalog.identity()
        named = asked.tables
        names: tuple[str, ...] = ()
        if asked.shape is not Shape.LOADED:
            statement = await api.learn_functions(self._db, asked.what)
            names = tuple(sorted(statement.parameters))
            if not statement.repeatable:  # a function in it may write
                named = None
            elif named is None and statement.tables.reads is not None:
                named = tuple(statement.tables.reads)
        tables = None if named is None else await catalog.read(named, generation)
        if tables is None and named and asked.tables:
            raise ConfigError(
                f"the tables {', '.join(asked.tables)} cannot be watched: each must be a table or view that exists, "
                "and a view must call no functions of your own"
            )
        scope = (asked.scope.tenant, asked.scope.role, asked.scope.schema)
        salt = hashlib.blake2b(encode([int(asked.shape), asked.what, scope, *identity]), digest_size=_DIGEST)
        return Plan(generation, None if tables is None else tuple(map(str.encode, tables)), salt, names)


def require_read(db: Database, sql: str) -> None:
    """Refuse a statement that does more than read.

    Raises:
        ConfigError: it does, or it is not one statement with ``:name`` parameters.
    """
    if api.statement_of(db, sql).kind is not Kind.READ:
        raise ConfigError(f"the cache only reads, and this statement does more: {sql.strip()[:60]!r}; use the database")
