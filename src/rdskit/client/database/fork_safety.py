"""What a forked child finds: databases that belong to its parent.

Parent and child share the sockets, and even the event loop's list of them, so whatever the child did there would
disturb the parent. The child's copies are therefore closed without a word to anybody: to use one says what to do.
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
    """Have something open left to the parent in every child that is forked from now on.

    Args:
        one: a fork must not share it.
        leave: called with it in the child, to make it useless there without touching a socket. A function and no bound
            method, which would keep it alive.
    """
    _open[one] = leave


def _leave_all_to_parent() -> None:
    # They are kept alive: collecting a transport would take its socket out of the list that the parent's loop waits on.
    inherited = list(_open.items())
    _left_to_parent.extend(one for one, _ in inherited)
    _open.clear()
    for one, leave in inherited:
        leave(one)


os.register_at_fork(after_in_child=_leave_all_to_parent)
