"""Telling observers, so that none of them can disturb what it observes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.kernel.events import Event, Observer

_log = logging.getLogger("rdskit.observers")


class Observers:
    """Those who listen; false when nobody does, so that events need not even be made."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._observers)

    def notify(self, event: Event) -> None:
        """Call every observer; one that raises is reported once, and goes on being called."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - the application's own code; reported, and never in the way of a query
                if id(observer) not in self._reported:
                    self._reported.add(id(observer))
                    _log.exception("observer %r raised at %s; this is reported once", observer, type(event).__name__)


NOBODY = Observers()
