"""Poll a condition against a deadline, where no event announces it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def poll(condition: Callable[[], bool], *, timeout: float, interval: float = 0.005) -> bool:
    """Check a condition until it holds or the time is over.

    Args:
        condition: checked at least once.
        timeout: seconds after which to give up.
        interval: seconds between two checks.

    Returns:
        Whether the condition held in time.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause.wait(interval)
    return True
