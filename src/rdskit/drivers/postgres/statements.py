"""Keep the prepared statements of a connection, and detect when they are out of date.

The server notices a changed table by itself and plans the statement again. It refuses where that would change the
result's columns ("cached plan must not change result type", 0A000), where a type of the statement is gone (XX000,
"cache lookup failed for type"), or where types no longer fit (42804, 42883). asyncpg also caches the shape of composite
types; it notices a change only by a response that has another shape.
"""

from __future__ import annotations

import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg

from rdskit.drivers.postgres.arguments import FIRST_USER_OID, parameters_of
from rdskit.drivers.postgres.failures import unsuitable
from rdskit.drivers.postgres.limits import may_be_large
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.effects import effect_of
from rdskit.kernel.sql.tokens import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.drivers.postgres.arguments import Parameters
    from rdskit.kernel.sql import Effect

_MOST: Final = 256
"""Prepared statements kept per connection; the oldest is dropped first."""

_MOST_PATHS: Final = 16
"""Search paths whose statements are kept."""

_PATH: Final = "search_path"
_PREPARED: Final = "select name, from_sql from pg_catalog.pg_prepared_statements"
# 42804 datatype mismatch, 42883 no such function or operator, 42846 cannot coerce. A statement that was prepared before
# fails like this when a column's type has changed.
_MISFITS: Final = frozenset({"42804", "42846", "42883"})
_SERVER_ERROR: Final = "XX000"
_LOST_TYPE: Final = "cache lookup failed for type"


class Staleness(Enum):
    """What a failure says about the kept statement."""

    NONE = auto()
    """Nothing: the statement itself fails."""
    UNSENT = auto()
    """An argument does not fit the types at the time of preparation; nothing was sent."""
    POSSIBLE = auto()
    """An object that it names may be gone or changed; the server has undone the statement."""
    LIKELY = auto()
    """Its types do not fit any more; the server has undone the statement."""
    CERTAIN = auto()
    """It is out of date, others may be too; it did not run."""
    AFTERWARDS = auto()
    """It note_first_run, and its result has another shape than when it was prepared."""

    @property
    def is_about_types(self) -> bool:
        """Whether the introspected types are out of date, so that other statements may be too."""
        return self in {Staleness.LIKELY, Staleness.CERTAIN, Staleness.AFTERWARDS}


class Kept:
    """A prepared statement.

    Attributes:
        text: its text.
        statement: asyncpg's.
        state: the protocol's state for it.
        parameters: the converter of arguments; None if no type has a rule.
        may_be_large: an argument may be larger than the server accepts.
    """

    __slots__ = ("_known", "may_be_large", "parameters", "state", "statement", "text")

    def __init__(self, text: str, statement: Any, parameters: Parameters | None) -> None:
        self.text = text
        self.statement = statement
        self.state = statement._state  # noqa: SLF001 - used directly: asyncpg's own path has four more functions
        self.parameters = parameters
        self.may_be_large = may_be_large(statement.get_parameters())
        self._known: Effect | None = None

    @property
    def only_reads(self) -> bool:
        """Whether running it twice has the same effect as running it once."""
        return self._effect.repeatable

    @property
    def takes_user_types(self) -> bool:
        """Whether an argument is of a user-defined type, which may have been created again."""
        return any(kind.oid >= FIRST_USER_OID for kind in self.statement.get_parameters())

    @property
    def is_atomic(self) -> bool:
        """Whether an error outside a transaction means that none of its effects remain."""
        return self._effect.atomic

    @property
    def _effect(self) -> Effect:
        if self._known is None:
            self._known = effect_of(tokenize(self.text, Dialect.POSTGRES), Dialect.POSTGRES)
        return self._known


async def prepared(raw: Any, text: str, timeout: float | None) -> Kept:
    """Prepare a statement and look up the rules of its parameters."""
    statement = await raw.prepare(text, timeout=timeout)
    return Kept(text, statement, parameters_of(statement.get_parameters(), raw.types))


def staleness_of(error: Exception, kept: Kept) -> Staleness:
    """Return what the failure of a kept statement says about it."""
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):
        return Staleness.AFTERWARDS
    if isinstance(error, DriverError) or unsuitable(error):
        return Staleness.UNSENT
    if isinstance(error, asyncpg.PostgresError) and kept.is_atomic:
        return _staleness_of_answer(error)
    return Staleness.NONE


def _staleness_of_answer(error: asyncpg.PostgresError) -> Staleness:
    lost_type = error.sqlstate == _SERVER_ERROR and str(error).startswith(_LOST_TYPE)
    if lost_type or isinstance(error, asyncpg.InvalidCachedStatementError):
        return Staleness.CERTAIN
    if error.sqlstate in _MISFITS:
        return Staleness.LIKELY
    return Staleness.POSSIBLE if str(error.sqlstate).startswith("42") else Staleness.NONE


_Path = tuple[str, ...]
"""The text and arguments of the statement that set a search path."""

_UNKNOWN: Final[_Path] = ()


class Statements(dict[str, Kept]):
    """The kept statements of the current search path; those of other paths are set aside.

    The same text names other tables under another search path. A statement kept for all paths would be out of date each
    time the path changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._home: _Path | None = None  # of the scope that the session was set up for
        self._path: _Path | None = None
        self._waiting: dict[_Path | None, dict[str, Kept]] = {}

    def keep(self, kept: Kept) -> None:
        """Keep a statement, unless it sets the search path: every run of such a statement must be noticed."""
        if _PATH in kept.text.lower():
            return
        if len(self) >= _MOST:
            del self[next(iter(self))]
        self[kept.text] = kept

    def drop(self, text: str) -> None:
        """Drop one kept statement."""
        self.pop(text, None)

    def _all(self) -> list[Kept]:
        return [*self.values(), *(kept for waiting in self._waiting.values() for kept in waiting.values())]

    def drop_all(self) -> None:
        """Drop all kept statements, those of other search paths too."""
        self.clear()
        self._waiting.clear()

    def note_first_run(self, kept: Kept, args: Sequence[Any]) -> None:
        """Note that a newly prepared statement has run; if it set the search path, switch to that path."""
        if _PATH in kept.text.lower() and not kept.only_reads:
            self._switch_to((kept.text, *map(str, args)))

    def leave_path(self, control: str) -> None:
        """Switch to the session's own search path at the end of a transaction.

        ROLLBACK TO may undo a ``set local search_path`` or keep it. So the path is unknown after it.
        """
        if self._path == self._home:
            return
        if control.startswith("rollback to"):
            self._switch_to(_UNKNOWN)
        elif not control.startswith(("savepoint", "release")):
            self._switch_to(self._home)

    def enter(self, schema: str | None) -> None:
        """Switch to the statements of a schema that the session was set up for; None for the default."""
        self._home = None if schema is None else (schema,)
        self._switch_to(self._home)

    async def reset(self, raw: Any) -> None:
        """Drop statements that the caller prepared by SQL; drop all others if the caller has dropped one of them."""
        prepared = dict(await raw.fetch(_PREPARED))
        foreign = [name for name, from_sql in prepared.items() if from_sql]
        if foreign:
            quoted = (name.replace('"', '""') for name in foreign)
            await raw.execute("".join(f'deallocate "{name}";' for name in quoted))
        ours = {kept.state.name for kept in self._all()}
        if not ours <= prepared.keys() - set(foreign):
            await raw.execute("deallocate all")
            self.drop_all()
            raw._mark_stmts_as_closed()  # noqa: SLF001 - else asyncpg closes each with a round trip
        self.enter(None)

    def _switch_to(self, path: _Path | None) -> None:
        if path == self._path:
            return
        if self._path != _UNKNOWN:
            self._waiting[self._path] = dict(self)
        self.clear()
        self.update(self._waiting.pop(path, {}))
        self._path = path
        while len(self._waiting) > _MOST_PATHS or sum(map(len, self._waiting.values())) > _MOST:
            del self._waiting[next(iter(self._waiting))]


class _Forgetful(Protocol):
    def forget_schema(self) -> None: ...


class Schemas:
    """Notify all connections of a driver when one of them has met a changed table or type."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, connection: _Forgetful) -> None:
        """Register a connection for as long as it lives."""
        self._connections.add(connection)

    def changed(self, besides: _Forgetful | None = None) -> None:
        """Make all connections but one drop their prepared statements."""
        for connection in list(self._connections):
            if connection is not besides:
                connection.forget_schema()
