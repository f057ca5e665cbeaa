"""What to do about servers that do not answer: decisions on plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

PROBE_INTERVAL: Final = 0.2
MISSES_ALLOWED: Final = 3
LATE: Final = 0.1  # seconds by which our own clock tick may be late before its observation counts for nothing
STREAM_GRACE: Final = 1.0  # seconds that writers wait for a standby that has lost its stream
REBUILD_AFTER: Final = 10.0  # seconds without a stream after which a copy is made anew


class ServerHealth(enum.Enum):
    """What is thought of a server."""

    FINE = "fine"
    ENDED = "ended"
    HUNG = "hung"


class Action(enum.Enum):
    """What is to be done about an instance."""

    NOTHING = "nothing"
    PROMOTE = "promote the standby"
    RESTART = "restart the primary in place"
    DROP_STANDBY = "go on without the standby"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes of one server have shown.

    Attributes:
        alive: its process exists.
        misses: probes in a row without an answer.
    """

    alive: bool = True
    misses: int = 0

    def after_probe(self, *, alive: bool, answered: bool, late: float) -> Health:
        """The health after one more probe.

        Args:
            alive: whether the process exists.
            answered: whether the server answered.
            late: seconds by which our own tick came late; a machine too busy for us says nothing about the server.
        """
        if answered:
            return Health(alive)
        counted = self.misses + (1 if late < LATE else 0)
        return replace(self, alive=alive, misses=counted)

    @property
    def verdict(self) -> ServerHealth:
        """What is thought of the server now."""
        if not self.alive:
            return ServerHealth.ENDED
        return ServerHealth.HUNG if self.misses >= MISSES_ALLOWED else ServerHealth.FINE


def decide(primary: ServerHealth, standby: ServerHealth | None, *, in_sync: bool) -> Action:
    """What to do.

    Args:
        primary: what is thought of the primary.
        standby: and of the standby; None where there is none.
        in_sync: every acknowledged commit is known to be on the standby. Without that nothing is promoted: a restart
            takes longer, and loses nothing.
    """
    if primary is not ServerHealth.FINE:
        return Action.PROMOTE if in_sync and standby is ServerHealth.FINE else Action.RESTART
    if standby not in (None, ServerHealth.FINE):
        return Action.DROP_STANDBY
    return Action.NOTHING
