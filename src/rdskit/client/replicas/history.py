"""Which history the writer's positions are of: what makes the positions of other processes comparable with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position


class History:
    """The writer's history, as far as it was asked for.

    Attributes:
        is_open: whether the writer should be asked (again).
    """

    def __init__(self) -> None:
        self._known: str | None = None
        self.is_open = True

    def holds(self, position: Position) -> bool:
        """Whether a position is of this history; if not, one of the two is out of date, and the question is open."""
        if not position.history or position.history == self._known:
            return True
        self.is_open = True
        return False

    def told(self, position: Position | None) -> bool:
        """Note a position of the writer's, or that it keeps none.

        Returns:
            Whether the history is another one than before: the writer has changed, noticed or not.
        """
        self.is_open = False
        before = self._known
        self._known = before or "" if position is None else position.history
        return before not in {None, self._known}
