"""Decide what to do about servers that do not answer. Plain values in, plain values out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

# 200 ms times three misses: a hung primary is detected after about 0.6 s. A server that exited needs no misses, because
# the supervisor also waits on its pidfd.
PROBE_INTERVAL: Final = 0.2
MISSES_ALLOWED: Final = 3
LATE: Final = 0.1  # seconds; when our own tick is later than this, the machine is too busy to blame the server
# Seconds that commits wait for a standby whose stream broke. Shorter would drop the standby for one reconnect of its
# receiver; longer would stall every writer, since a synchronous commit has no timeout of its own.
STREAM_GRACE: Final = 1.0
REBUILD_AFTER: Final = 10.0  # seconds without a stream after which a follower is rewound or copied again


class ServerHealth(enum.Enum):
    """Verdict of the probes on one server."""

    FINE = "fine"
    ENDED = "ended"
    HUNG = "hung"


class Action(enum.Enum):
    """Action that the supervisor takes on an instance."""

    NOTHING = "nothing"
    PROMOTE = "promote the standby"
    RESTART = "restart the primary in place"
    DROP_STANDBY = "go on without the standby"


@dataclass(frozen=True, slots=True)
class Health:
    """Result of the probes of one server so far.

    Attributes:
        alive: whether its process exists.
        misses: consecutive probes without an answer.
    """

    alive: bool = True
    misses: int = 0

    def after_probe(self, *, alive: bool, answered: bool, late: float) -> Health:
        """Return the health after one more probe.

        Args:
            alive: whether the process exists.
            answered: whether the server answered.
            late: seconds by which our own tick was late. A late tick says nothing about the server.
        """
        # One answer clears all misses: only consecutive misses mean that the server hangs.
        if answered:
            return Health(alive)
        counted = self.misses + (1 if late < LATE else 0)
        return replace(self, alive=alive, misses=counted)

    @property
    def verdict(self) -> ServerHealth:
        """Verdict on the server, from the probes so far."""
        if not self.alive:
            return ServerHealth.ENDED
        return ServerHealth.HUNG if self.misses >= MISSES_ALLOWED else ServerHealth.FINE


def decide(primary: ServerHealth, standby: ServerHealth | None, *, in_sync: bool) -> Action:
    """Return the action to take on an instance.

    Args:
        primary: verdict on the primary.
        standby: verdict on the standby; None without one.
        in_sync: whether the standby is known to have every acknowledged commit.
    """
    if primary is not ServerHealth.FINE:
        # Promoting a standby that is not in sync could lose acknowledged commits. A restart in place is slower, as it
        # waits for crash recovery, but it loses nothing.
        return Action.PROMOTE if in_sync and standby is ServerHealth.FINE else Action.RESTART
    # Commits wait for a synchronous standby without a timeout. A failed one must stop counting, or writers hang.
    if standby not in (None, ServerHealth.FINE):
        return Action.DROP_STANDBY
    return Action.NOTHING
