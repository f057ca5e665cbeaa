"""The one lock of the control plane, and the news that something changed.

The AWS emulation underneath is not thread-safe, so every access to its state happens inside this monitor. Nobody keeps
it while a database server works or while a client waits: waiting gives the lock back.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Monitor"]


class Monitor:
    """A re-entrant lock with a condition: ``with monitor: ...``."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())

    def __enter__(self) -> Self:
        self._condition.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def announce(self) -> None:
        """Wake everyone who waits, so that they look again. The caller is inside the monitor."""
        self._condition.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Give the lock back until ``condition()`` holds or ``timeout`` seconds have passed.

        The caller is inside the monitor, and is inside it again when this returns.

        Args:
            condition: evaluated inside the monitor, at once and after every announcement.
            timeout: seconds.

        Returns:
            What the condition said last.
        """
        return self._condition.wait_for(condition, timeout)
