"""The prepared statements of a connection, and when they are out of date.

The server notices by itself that a table changed under a prepared statement, and plans it again. It refuses where that
would change the columns of the result ("cached plan must not change result type", 0A000), and where the types that it
was prepared for are gone (XX000, "cache lookup failed for type") or no longer fit (42804, 42883). asyncpg keeps the
shape of composite types besides, and finds out by an answer that has another one.
"""

from __future__ import annotations

import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg

from rdskit.drivers.postgres.arguments import FIRST_MADE, parameters_of
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
"""Prepared statements kept per connection; the oldest goes first."""

_MOST_PATHS: Final = 16
"""Search paths whose statements are kept."""

_PATH: Final = "search_path"
_PREPARED: Final = "select name, from_sql from pg_catalog.pg_prepared_statements"
# 42804 datatype mismatch, 42883 no such function or operator, 42846 cannot coerce: what a changed column's type makes
# of a statement that has passed the parser before.
_MISFITS: Final = frozenset({"42804", "42846", "42883"})
_SERVER_ERROR: Final = "XX000"
_LOST_TYPE: Final = "cache lookup failed for type"


class Staleness(Enum):
    """What a failure says of the statement that was kept."""

    NONE = auto()
    """Nothing: the failure is the statement's own."""
    UNSENT = auto()
    """An argument does not fit the types that it was prepared for; nothing was sent."""
    POSSIBLE = auto()
    """What it names may be gone or changed; the server has undone the statement."""
    LIKELY = auto()
    """It does not fit the types any more; the server has undone the statement."""
    CERTAIN = auto()
    """It is out of date, and so may be others; it did not run."""
    AFTERWARDS = auto()
    """It ran, and its answer has another shape than when it was prepared."""

    @property
    def is_about_types(self) -> bool:
        """Whether what is known of types is out of date, and so may be other statements."""
        return self in {Staleness.LIKELY, Staleness.CERTAIN, Staleness.AFTERWARDS}


class Kept:
    """A statement that the server has prepared.

    Attributes:
        text: its text.
        statement: asyncpg's.
        state: the protocol's part of it.
        parameters: those that have rules; None if there are none.
        may_be_large: an argument may be larger than the server takes.
    """

    __slots__ = ("_known", "may_be_large", "parameters", "state", "statement", "text")

    def __init__(self, text: str, statement: Any, parameters: Parameters | None) -> None:
        self.text = text
        self.statement = statement
        self.state = statement._state  # noqa: SLF001 - the short way in, past four functions and checks the pool made
        self.parameters = parameters
        self.may_be_large = may_be_large(statement.get_parameters())
        self._known: Effect | None = None

    @property
    def only_reads(self) -> bool:
        """Whether running it twice is the same as running it once."""
        return self._effect.repeatable

    @property
    def takes_made_types(self) -> bool:
        """Whether an argument is of a user-defined type, which may have been created again."""
        return any(kind.oid >= FIRST_MADE for kind in self.statement.get_parameters())

    @property
    def is_atomic(self) -> bool:
        """Whether an error says that outside a transaction nothing of it remains."""
        return self._effect.atomic

    @property
    def _effect(self) -> Effect:
        if self._known is None:
            self._known = effect_of(tokenize(self.text, Dialect.POSTGRES), Dialect.POSTGRES)
        return self._known


async def prepared(raw: Any, text: str, timeout: float | None) -> Kept:
    """Prepare a statement, and learn what its parameters take."""
    statement = await raw.prepare(text, timeout=timeout)
    return Kept(text, statement, parameters_of(statement.get_parameters(), raw.types))


def staleness_of(error: Exception, kept: Kept) -> Staleness:
    """Say what the failure of a kept statement means for it."""
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
    """The kept statements of the search path that is in force; the others wait.

    Under another search path one text names other tables, and a statement that was prepared for the first would be out
    of date each time the path changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._home: _Path | None = None  # of the scope that the session was set up for
        self._path: _Path | None = None
        self._waiting: dict[_Path | None, dict[str, Kept]] = {}

    def keep(self, kept: Kept) -> None:
        """Keep a statement, unless it sets the search path: each run of that is to be seen."""
        if _PATH in kept.text.lower():
            return
        if len(self) >= _MOST:
            del self[next(iter(self))]
        self[kept.text] = kept

    def drop(self, text: str) -> None:
        """Forget one statement."""
        self.pop(text, None)

    def _all(self) -> list[Kept]:
        return [*self.values(), *(kept for waiting in self._waiting.values() for kept in waiting.values())]

    def drop_all(self) -> None:
        """Forget all, those of other search paths too."""
        self.clear()
        self._waiting.clear()

    def ran(self, kept: Kept, args: Sequence[Any]) -> None:
        """Note that a statement which was prepared just now has run."""
        if _PATH in kept.text.lower() and not kept.only_reads:
            self._take((kept.text, *map(str, args)))

    def leave_path(self, control: str) -> None:
        """Go back to the session's own search path at the end of a transaction, or to an unknown one within it."""
        if self._path == self._home:
            return
        if control.startswith("rollback to"):
            self._take(_UNKNOWN)
        elif not control.startswith(("savepoint", "release")):
            self._take(self._home)

    def enter(self, schema: str | None) -> None:
        """Take the statements of a schema, which the session has been set up for; None for the default."""
        self._home = None if schema is None else (schema,)
        self._take(self._home)

    async def reset(self, raw: Any) -> None:
        """Drop statements that the caller prepared by SQL; forget ours if the caller has dropped one of them."""
        prepared = dict(await raw.fetch(_PREPARED))
        foreign = [name for name, from_sql in prepared.items() if from_sql]
        if foreign:
            quoted = (name.replace('"', '""') for name in foreign)
            await raw.execute("".join(f'deallocate "{name}";' for name in quoted))
        ours = {kept.state.name for kept in self._all()}
        if not ours <= prepared.keys() - set(foreign):
            await raw.execute("deallocate all")
            self.drop_all()
            raw._mark_stmts_as_closed()  # noqa: SLF001 - or asyncpg would close each of them by a round trip
        self.enter(None)

    def _take(self, path: _Path | None) -> None:
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
    """Tells every connection of a driver when one of them has met a table or type that changed."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, connection: _Forgetful) -> None:
        """Tell this connection too, as long as it lives."""
        self._connections.add(connection)

    def changed(self, besides: _Forgetful | None = None) -> None:
        """Have all connections but one drop what they have prepared."""
        for connection in list(self._connections):
            if connection is not besides:
                connection.forget_schema()
