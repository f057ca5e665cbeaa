"""Which pools the running block holds a connection of: what makes a deadlock visible before it happens."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hold:
    """Marks that the running code, and the tasks that it starts, hold a connection of a pool, until ``end``.

    Those tasks inherit the mark, and may outlive it.
    """

    __slots__ = ("_token", "lender")

    def __init__(self, lender: object) -> None:
        self.lender: object | None = lender
        self._token = _holds.set((*_holds.get(), self))

    def end(self) -> None:
        """The connection was given back, or is about to be."""
        self.lender = None
        # A block that is entered in one task and left in another, as a test fixture's is, has nothing to reset there.
        with contextlib.suppress(ValueError):
            _holds.reset(self._token)


_holds: ContextVar[tuple[Hold, ...]] = ContextVar("rdskit_holds", default=())


@contextlib.contextmanager
def holding(lender: object) -> Iterator[None]:
    """Hold for the length of a block."""
    hold = Hold(lender)
    try:
        yield
    finally:
        hold.end()


def holds(lender: object) -> bool:
    """Whether the running code belongs to a block that holds a connection of this pool."""
    held = _holds.get()
    return bool(held) and any(hold.lender is lender for hold in held)
