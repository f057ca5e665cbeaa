"""Notify observers of events; an observer that raises cannot disturb the operation that it observes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.kernel.events import Event, Observer

_log = logging.getLogger("rdskit.observers")


NamedObserver = Callable[[str, "Event"], None]
"""Called with the name of a database and one of its events."""


class ProcessObservers:
    """The observers of all databases of this process."""

    def __init__(self) -> None:
        self.observers: tuple[NamedObserver, ...] = ()

    def add(self, observer: NamedObserver) -> Callable[[], None]:
        """Add an observer; return a function that removes it."""
        self.observers = (*self.observers, observer)
        return lambda: self._remove(observer)

    def _remove(self, observer: NamedObserver) -> None:
        self.observers = tuple(each for each in self.observers if each is not observer)


EVERYWHERE = ProcessObservers()


class Observers:
    """The observers of one database; false if there are none, so that callers create no events for them."""

    def __init__(self, observers: Iterable[Observer] = (), name: str = "") -> None:
        """Store the observers.

        Args:
            observers: called with each event of the database.
            name: the database's, for the observers of all databases; if empty, they receive no events.
        """
        self._observers = tuple(observers)
        self._name = name
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._observers or (self._name and EVERYWHERE.observers))

    def notify(self, event: Event) -> None:
        """Call every observer; one that raises is logged once, and still receives later events."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - the application's own code; logged, and must not fail a query
                self._report(observer, event)
        for named in EVERYWHERE.observers if self._name else ():
            try:
                named(self._name, event)
            except Exception:  # noqa: BLE001 - same
                self._report(named, event)

    def _report(self, observer: object, event: Event) -> None:
        if id(observer) not in self._reported:
            self._reported.add(id(observer))
            _log.exception("observer %r raised at %s; this is reported once", observer, type(event).__name__)


NO_OBSERVERS = Observers()
