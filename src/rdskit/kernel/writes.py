"""The values that write hooks receive after a commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position
    from rdskit.kernel.scope import Scope


class Write(NamedTuple):
    """An autocommitted statement, or a transaction, that has written or may have written.

    Attributes:
        tables: the written tables, as the statements spell them; None if the text does not show all of them. See
            ``kernel.sql.Tables``.
        position: the writer's position after the commit; None if no hook requests it, the writer keeps no positions, or
            the query for it failed.
        certain: whether it is known to be committed; False after a lost COMMIT, a cancellation and the like.
        scope: the tenant, role and schema that it ran with.
    """

    tables: frozenset[str] | None
    position: Position | None
    certain: bool
    scope: Scope


WriteHook = Callable[[Write], Awaitable[None]]


class TablesWritten:
    """Collect the tables that the statements of a transaction write.

    Attributes:
        tables: the tables so far; None once one of them is unknown.
    """

    __slots__ = ("tables",)

    def __init__(self) -> None:
        self.tables: frozenset[str] | None = frozenset()

    def add(self, tables: frozenset[str] | None) -> None:
        """Add the tables of one statement."""
        self.tables = None if tables is None or self.tables is None else self.tables | tables
