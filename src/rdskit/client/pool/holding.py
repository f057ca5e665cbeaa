"""Which pools the running block holds a connection of: what makes a deadlock visible before it happens."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Hold:
    """One block's hold on a pool. Tasks that the block starts inherit it, and may outlive it."""

    __slots__ = ("lender",)

    def __init__(self, lender: object) -> None:
        self.lender: object | None = lender


_holds: ContextVar[tuple[_Hold, ...]] = ContextVar("rdskit_holds", default=())


@contextlib.contextmanager
def holding(lender: object) -> Iterator[None]:
    """Mark that the code inside, and the tasks that it starts, hold a connection of a pool until the block ends."""
    hold = _Hold(lender)
    token = _holds.set((*_holds.get(), hold))
    try:
        yield
    finally:
        hold.lender = None
        # A block that is entered in one task and left in another, as a test fixture's is, has nothing to reset there.
        with contextlib.suppress(ValueError):
            _holds.reset(token)


def holds(lender: object) -> bool:
    """Whether the running code belongs to a block that holds a connection of this pool."""
    held = _holds.get()
    return bool(held) and any(hold.lender is lender for hold in held)
