"""What a forked child finds: databases that belong to its parent.

Parent and child share the sockets, and even the event loop's list of them, so whatever the child did there would
disturb the parent. The child's copies are therefore closed without a word to anybody: to use one says what to do.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Inheritable(Protocol):
    """Something open that a fork must not share."""

    def leave_to_parent(self) -> None:
        """Be of no use from now on, without touching a socket."""
        ...


_open: weakref.WeakSet[Inheritable] = weakref.WeakSet()
_left_to_parent: list[Inheritable] = []


def belongs_to_this_process(one: Inheritable) -> None:
    """Have ``one`` left to the parent in every child that is forked from now on."""
    _open.add(one)


def _leave_all_to_parent() -> None:
    # They are kept alive: collecting a transport would take its socket out of the list that the parent's loop waits on.
    inherited = list(_open)
    _left_to_parent.extend(inherited)
    _open.clear()
    for one in inherited:
        one.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)
