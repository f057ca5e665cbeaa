"""Make open databases unusable in a forked child, because they belong to its parent.

Parent and child share the sockets, and even the event loop's epoll set. So nothing in the child may touch them: it
would disturb the parent. The child's databases refuse every call, with an error that says what to do.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_open: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()
_left_to_parent: list[Any] = []


def belongs_to_this_process(one: T, leave: Callable[[T], None]) -> None:
    """Register an open object that a forked child must not use.

    Args:
        one: the object; it is held by a weak reference.
        leave: called with the object in the child, to disable it without touching a socket. A plain function, because a
            bound method would keep the object alive.
    """
    _open[one] = leave


def _leave_all_to_parent() -> None:
    # Keep them alive: a collected transport would remove its socket from the epoll set that the parent's loop uses too.
    # A copy, because `leave` may register the object again: the sync facade does.
    inherited = list(_open.items())
    _left_to_parent.extend(one for one, _ in inherited)
    _open.clear()
    for one, leave in inherited:
        leave(one)


os.register_at_fork(after_in_child=_leave_all_to_parent)
