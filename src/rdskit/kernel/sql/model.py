"""The values of this room."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple


class Dialect(Enum):
    """Whose lexical rules a text follows."""

    POSTGRES = auto()
    """PostgreSQL with ``standard_conforming_strings = on``, its default since 9.1."""
    MYSQL = auto()
    """MySQL and MariaDB in their default ``sql_mode``: backslash escapes on, ``"…"`` is a string."""


class Kind(Enum):
    """What a statement is for: what routing and retrying need to know."""

    READ = auto()
    """Only reads, and takes no row lock: any host that is fresh enough can answer it."""
    WRITE = auto()
    """Changes data, locks rows, or cannot be told apart from a statement that does: writer only."""
    TRANSACTION = auto()
    """Begins, ends or marks a transaction, or changes the current one only."""
    SESSION = auto()
    """Changes only the state of its own connection."""


class ParameterStyle(Enum):
    """How a driver wants parameters to be written."""

    NUMBERED = auto()
    """``$1``, each name once; a list is one array."""
    POSITIONAL = auto()
    """``?``, one for each use and for each element of a list."""
    NAMED = auto()
    """``:name``; a list is ``:name_1, :name_2``."""


class Tables(NamedTuple):
    """The tables that a statement names, as it spells them: ``orders`` or ``sales.orders``.

    PostgreSQL's names without quotes are in lower case. Views count as tables. What triggers, rules and cascading
    foreign keys do is not in the text, and so not here.

    Attributes:
        reads: tables that are read; None if the text does not tell them all. The table that a statement changes is one
            of them only if it is named a second time.
        writes: tables that are changed, created or dropped; None if the text does not tell them all.
    """

    reads: frozenset[str] | None
    writes: frozenset[str] | None


STYLES: Final = {Dialect.POSTGRES: ParameterStyle.NUMBERED, Dialect.MYSQL: ParameterStyle.POSITIONAL}
"""The style of each dialect's own drivers."""

NO_TABLES: Final = Tables(frozenset(), frozenset())
UNKNOWN_TABLES: Final = Tables(None, None)


@dataclass(frozen=True, slots=True)
class Effect:
    """What running a statement does.

    Attributes:
        kind: see `Kind`.
        returns_rows: whether the server sends a result set.
        dirties_session: whether the connection differs afterwards (setting, session lock, temporary table, prepared
            statement, …) and needs a reset before somebody else gets it. Orthogonal to ``kind``. Statements that run
            code which is not in their text (``CALL``, ``DO``), and unknown ones, count as dirtying.
        repeatable: a READ that leaves the session as it was and calls only built-in functions known to have no effect:
            running it twice is the same as running it once. False where a function is not known, because
            ``select transfer(1, 2)`` reads nothing.
        unknown: the functions that alone keep a READ from being repeatable: nobody has told yet whether they only read.
            As the statement spells them, without quotes: ``price`` or ``shop.price``.
        atomic: outside a transaction it happens as a whole or not at all. False for code that is not in the text
            (``CALL``, ``DO``) and for unknown statements: they may commit a part and fail after that.
        changes_role: ``SET ROLE``, ``SET SESSION AUTHORIZATION``, ``set_config('role', …)`` and the like. Not what a
            user's own function does.
        tables: the tables that it reads and writes.
    """

    kind: Kind
    returns_rows: bool
    dirties_session: bool
    repeatable: bool
    unknown: frozenset[str] = frozenset()
    atomic: bool = True
    changes_role: bool = False
    tables: Tables = UNKNOWN_TABLES


@dataclass(frozen=True, slots=True)
class Statement:
    """One compiled SQL statement.

    Attributes:
        source: the text as the caller wrote it.
        dialect: the dialect it was compiled for.
        style: how its parameters are written.
        text: what the driver is given. Numbered: ``$1``, each name once, ``in :ids`` as ``= any($1)``.
            Positional: one ``?`` for each use, also for a list: `bind` gives the text for a list's real length.
            Named: ``:name``, and the same for lists.
        names: parameter names in binding order: ``names[0]`` is ``$1``, or the first ``?`` or ``:name``.
        parameters: the same names, each once.
        only: the name of a plain statement with one, used once, as in most queries by key; else empty.
        lists: the names used as ``in :ids`` or ``not in :ids``, whose values are lists.
        alone: the names used as ``in (:id)``, whose values are no lists.
        plain: whether it has neither, so that a call need not look at its values.
        kind: what the statement is for.
        returns_rows: whether the server sends a result set.
        dirties_session: whether the connection needs a reset afterwards.
        repeatable: whether running it twice is the same as running it once.
        unknown: the functions on which that depends still; see `Effect`.
        atomic: whether an error says that outside a transaction nothing of it remains; see `Effect`.
        changes_role: whether the transaction may act as another role afterwards.
        tables: the tables that it reads and writes, as far as the text tells.
        pieces: the literal text before, between and after the parameters' uses.
    """

    source: str
    dialect: Dialect
    style: ParameterStyle
    text: str
    names: tuple[str, ...]
    parameters: frozenset[str]
    only: str
    lists: frozenset[str]
    alone: frozenset[str]
    plain: bool
    kind: Kind
    returns_rows: bool
    dirties_session: bool
    repeatable: bool
    unknown: frozenset[str]
    atomic: bool
    changes_role: bool
    tables: Tables
    pieces: tuple[str, ...]
