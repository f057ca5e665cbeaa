"""What write hooks receive after a commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position
    from rdskit.kernel.scope import Scope


class Write(NamedTuple):
    """One autocommitted statement, or one transaction, that has written or may have written.

    Attributes:
        tables: the tables that were written, as the statements spell them; None if the text does not tell them all. See
            ``kernel.sql.Tables``.
        position: how far the writer's log had come after the commit; None where no hook asks for it, where the writer
            keeps no positions, and where it could not be learned.
        certain: it is committed. False after a lost COMMIT, a cancellation and the like: it may have happened.
        scope: the tenant, role and schema that it ran with.
    """

    tables: frozenset[str] | None
    position: Position | None
    certain: bool
    scope: Scope


WriteHook = Callable[[Write], Awaitable[None]]


class TablesWritten:
    """The tables that the statements of a transaction write.

    Attributes:
        tables: so far; None once one of them is unknown.
    """

    __slots__ = ("tables",)

    def __init__(self) -> None:
        self.tables: frozenset[str] | None = frozenset()

    def add(self, tables: frozenset[str] | None) -> None:
        """Add those of one statement."""
        self.tables = None if tables is None or self.tables is None else self.tables | tables
