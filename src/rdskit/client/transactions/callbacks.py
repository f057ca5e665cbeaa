"""Keep and run the callbacks of ``on_commit``."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("rdskit.transactions")


class Callbacks:
    """Callbacks in the order of their registration; a nested block that rolls back drops its own."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], Any]] = []

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(self, callback: Callable[[], Any]) -> None:
        """Add a function without arguments, or a coroutine function."""
        self._callbacks.append(callback)

    def keep(self, count: int) -> None:
        """Drop all but the first ``count``."""
        del self._callbacks[count:]

    async def run(self) -> None:
        """Call each once, and log what it raises.

        An exception must not reach the caller: it would look as if the transaction had failed.
        """
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                answer = callback()
                if inspect.isawaitable(answer):
                    await answer
            except Exception:  # noqa: BLE001 - the application's own code; logged, and never taken for a failed transaction
                _log.exception("on_commit(%r) raised; the transaction is committed all the same", callback)
