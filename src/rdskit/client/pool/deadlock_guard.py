"""Record which pools the running code holds a connection of, so that the pool can refuse a deadlock."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hold:
    """A mark that the running code holds a connection of a pool, until ``end``.

    Tasks that this code starts inherit the mark through their context, and may outlive it.
    """

    __slots__ = ("_token", "pool")

    def __init__(self, pool: object) -> None:
        self.pool: object | None = pool
        self._token = _holds.set((*_holds.get(), self))

    def end(self) -> None:
        """Remove the mark; call it when the connection goes back."""
        # Tasks that inherited the mark keep it in their copy of the context: clearing the pool ends it there too.
        self.pool = None
        # A test fixture enters a block in one task and leaves it in another, whose context has no such token.
        with contextlib.suppress(ValueError):
            _holds.reset(self._token)


_holds: ContextVar[tuple[Hold, ...]] = ContextVar("rdskit_holds", default=())


@contextlib.contextmanager
def holding(pool: object) -> Iterator[None]:
    """Mark the code of a ``with`` block as holding a connection of a pool."""
    hold = Hold(pool)
    try:
        yield
    finally:
        hold.end()


def holds(pool: object) -> bool:
    """Return whether the running code is inside a block that holds a connection of this pool."""
    held = _holds.get()
    return bool(held) and any(hold.pool is pool for hold in held)
