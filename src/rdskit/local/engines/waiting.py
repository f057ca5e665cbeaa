"""Waiting for a state that announces itself nowhere: polling against a deadline."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def poll(condition: Callable[[], bool], *, timeout: float, interval: float = 0.005) -> bool:
    """Ask again and again until the condition holds.

    Args:
        condition: asked at least once.
        timeout: seconds after which to give up.
        interval: seconds between two questions.

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
