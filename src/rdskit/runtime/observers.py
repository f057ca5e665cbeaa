"""Telling observers, so that none of them can disturb what it observes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdskit.kernel.events import Event, Observer

_log = logging.getLogger("rdskit.observers")


NamedObserver = Callable[[str, "Event"], None]
"""Called with a database's name and an event of it."""


class Everywhere:
    """The observers of all databases of this process."""

    def __init__(self) -> None:
        self.observers: tuple[NamedObserver, ...] = ()

    def add(self, observer: NamedObserver) -> Callable[[], None]:
        """Add an observer; return what removes it."""
        self.observers = (*self.observers, observer)
        return lambda: self._remove(observer)

    def _remove(self, observer: NamedObserver) -> None:
        self.observers = tuple(each for each in self.observers if each is not observer)


EVERYWHERE = Everywhere()


class Observers:
    """The observers of one database; false when there are none, so that events need not even be made."""

    def __init__(self, observers: Iterable[Observer] = (), name: str = "") -> None:
        """Keep observers.

        Args:
            observers: called with each event of the database.
            name: the database's, for the observers of all databases; they get no events where it is empty.
        """
        self._observers = tuple(observers)
        self._name = name
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._observers or (self._name and EVERYWHERE.observers))

    def notify(self, event: Event) -> None:
        """Call every observer; one that raises is reported once, and goes on being called."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - the application's own code; reported, and never in the way of a query
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
