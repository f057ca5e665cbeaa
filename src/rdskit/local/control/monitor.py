"""Guard all state of the control plane with one lock, and wake waiting threads after a change.

moto is not thread-safe, so every access to its state happens inside this monitor. No thread holds the monitor while a
database server works or a client waits: :meth:`Monitor.wait_until` releases it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Monitor"]


class Monitor:
    """A re-entrant lock with a condition: ``with monitor: ...``.

    Lock order: threads of the fleet report events while they hold an instance's lock, and take the monitor then. So
    code inside the monitor must never take an instance's lock (docs/architecture.md, "Lock order of the local RDS").
    """

    def __init__(self) -> None:
        # Re-entrant: a request that is dispatched inside the monitor calls methods that take it again. A wait releases
        # the lock of all levels, so callers on every level must expect changed state.
        self._condition = threading.Condition(threading.RLock())

    def __enter__(self) -> Self:
        self._condition.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def announce(self) -> None:
        """Wake all waiting threads to evaluate their conditions again. Call inside the monitor."""
        # All of them: each one waits for another condition.
        self._condition.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Release the lock until ``condition()`` holds or ``timeout`` seconds have passed.

        Call inside the monitor. The caller is inside it again when this returns, but other threads may have changed
        anything in between.

        Args:
            condition: evaluated inside the monitor, at once and after every announcement.
            timeout: seconds.

        Returns:
            The last result of the condition.
        """
        return self._condition.wait_for(condition, timeout)
