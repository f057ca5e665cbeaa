"""Value types of this package: dialects, statements and their effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple


class Dialect(Enum):
    """The lexical rules of a text."""

    POSTGRES = auto()
    """PostgreSQL with ``standard_conforming_strings = on``, its default since 9.1."""
    MYSQL = auto()
    """MySQL and MariaDB in their default ``sql_mode``: backslash escapes on, ``"…"`` is a string."""


class Kind(Enum):
    """The purpose of a statement, as routing and retries need it."""

    READ = auto()
    """Only reads, and takes no row lock: any host that is fresh enough can run it."""
    WRITE = auto()
    """Changes data, locks rows, or cannot be distinguished from a statement that does: writer only."""
    TRANSACTION = auto()
    """Begins, ends or marks a transaction, or changes the current one only."""
    SESSION = auto()
    """Changes only the state of its own connection."""


class ParameterStyle(Enum):
    """The placeholder style of a driver."""

    NUMBERED = auto()
    """``$1``, each name once; a list is one array."""
    POSITIONAL = auto()
    """``?``, one for each use and for each element of a list."""
    NAMED = auto()
    """``:name``; a list is ``:name_1, :name_2``."""


class Tables(NamedTuple):
    """The tables that a statement names, as it spells them: ``orders`` or ``sales.orders``.

    PostgreSQL's names without quotes are in lower case. Views count as tables. Effects of triggers, rules and cascading
    foreign keys are not in the text, and so not included.

    Attributes:
        reads: tables that are read; None if the text does not show all of them. The table that a statement changes is
            included only if it is named a second time.
        writes: tables that are changed, created or dropped; None if the text does not show all of them.
    """

    reads: frozenset[str] | None
    writes: frozenset[str] | None


STYLES: Final = {Dialect.POSTGRES: ParameterStyle.NUMBERED, Dialect.MYSQL: ParameterStyle.POSITIONAL}
"""The style of each dialect's own drivers."""

NO_TABLES: Final = Tables(frozenset(), frozenset())
UNKNOWN_TABLES: Final = Tables(None, None)


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of running a statement.

    Attributes:
        kind: see `Kind`.
        returns_rows: whether the server sends a result set.
        dirties_session: whether the connection differs afterwards (setting, session lock, temporary table, prepared
            statement, …) and needs a reset before another caller gets it. Orthogonal to ``kind``. Statements that run
            code which is not in their text (``CALL``, ``DO``), and unknown ones, count as dirtying.
        repeatable: a READ that leaves the session unchanged and calls only built-in functions known to have no effect:
            running it twice has the effect of running it once. False if a function is unknown, because
            ``select transfer(1, 2)`` may write.
        unknown: the functions that alone prevent a READ from being repeatable, because it is not known yet whether they
            only read. As the statement spells them, without quotes: ``price`` or ``shop.price``.
        atomic: outside a transaction it takes effect completely or not at all. False for code that is not in the text
            (``CALL``, ``DO``) and for unknown statements: they may commit a part and then fail.
        changes_role: ``SET ROLE``, ``SET SESSION AUTHORIZATION``, ``set_config('role', …)`` and the like. Effects of
            a user's own functions are not included.
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
        text: the text for the driver. Numbered: ``$1``, each name once, ``in :ids`` as ``= any($1)``.
            Positional: one ``?`` for each use, also for a list: `bind` returns the text for a list's real length.
            Named: ``:name``, and the same for lists.
        names: parameter names in binding order: ``names[0]`` is ``$1``, or the first ``?`` or ``:name``.
        parameters: the same names, each once.
        only: the parameter of a plain statement with one that is used once, as in most queries by key; else empty.
        lists: the names used as ``in :ids`` or ``not in :ids``, whose values are lists.
        alone: the names used as ``in (:id)``, whose values are not lists.
        plain: whether it has neither, so that a call need not check its values.
        kind: what the statement is for.
        returns_rows: whether the server sends a result set.
        dirties_session: whether the connection needs a reset afterwards.
        repeatable: whether running it twice has the effect of running it once.
        unknown: the unknown functions on which that depends; see `Effect`.
        atomic: whether an error outside a transaction means that nothing of it remains; see `Effect`.
        changes_role: whether the transaction may act as another role afterwards.
        tables: the tables that it reads and writes, as far as the text shows.
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
