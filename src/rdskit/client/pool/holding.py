"""Which pools the running block holds a connection of: what makes a deadlock visible before it happens."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_held: ContextVar[tuple[object, ...]] = ContextVar("rdskit_held", default=())


@contextlib.contextmanager
def holding(lender: object) -> Iterator[None]:
    """Mark that the code inside holds a connection of a pool until the block ends."""
    token = _held.set((*_held.get(), lender))
    try:
        yield
    finally:
        # A block that is entered in one task and left in another, as a test fixture's is, has nothing to reset there.
        with contextlib.suppress(ValueError):
            _held.reset(token)


def holds(lender: object) -> bool:
    """Whether the running code is inside a block that holds a connection of this pool."""
    held = _held.get()
    return bool(held) and any(one is lender for one in held)
