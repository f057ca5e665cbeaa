"""Track the history (timeline) of the writer's positions, without which other processes' positions mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position


class History:
    """The writer's history, as last read from the writer.

    Attributes:
        is_open: whether to read it from the writer again.
    """

    def __init__(self) -> None:
        self._known: str | None = None
        self.is_open = True

    def holds(self, position: Position) -> bool:
        """Return whether a position belongs to this history; if not, read the writer's history again."""
        if not position.history or position.history == self._known:
            return True
        self.is_open = True
        return False

    def note(self, position: Position | None) -> bool:
        """Record the history of a position of the writer; None if the writer keeps no positions.

        Returns:
            Whether the history has changed, so that there was a failover, even if this client has not noticed it.
        """
        self.is_open = False
        before = self._known
        # A writer without positions keeps the history that is known: it says nothing against it.
        self._known = before or "" if position is None else position.history
        return before not in {None, self._known}
