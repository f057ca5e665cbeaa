"""Call the callbacks of ``on_commit`` in the caller's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log = logging.getLogger("rdskit.transactions")


def call_all(callbacks: Iterable[Callable[[], Any]]) -> None:
    """Call the callbacks, and log errors, which must not look as if the transaction had failed."""
    for callback in callbacks:
        try:
            callback()
        except Exception:  # noqa: BLE001 - the application's own code; logged, and never taken for a failed transaction
            _log.exception("on_commit(%r) raised; the transaction is committed all the same", callback)
