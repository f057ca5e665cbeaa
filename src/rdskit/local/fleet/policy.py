"""What to do about servers that do not answer: decisions on plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_INTERVAL: Final = 0.2
MISSES_ALLOWED: Final = 3
LATE: Final = 0.1  # seconds by which our own clock tick may be late before its observation counts for nothing
STREAM_GRACE: Final = 1.0  # seconds that writers wait for a standby that has lost its stream
REBUILD_AFTER: Final = 10.0  # seconds without a stream after which a copy is made anew

# A hot standby stops replaying unless it has at least its primary's values of these.
RECOVERY_LIMITS: Final[Mapping[str, int]] = {
    "max_connections": 200,
    "max_worker_processes": 8,
    "max_wal_senders": 20,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


class Verdict(enum.Enum):
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
    def verdict(self) -> Verdict:
        """What is thought of the server now."""
        if not self.alive:
            return Verdict.ENDED
        return Verdict.HUNG if self.misses >= MISSES_ALLOWED else Verdict.FINE


def decide(primary: Verdict, standby: Verdict | None, *, in_sync: bool) -> Action:
    """What to do.

    Args:
        primary: what is thought of the primary.
        standby: and of the standby; None where there is none.
        in_sync: every acknowledged commit is known to be on the standby. Without that nothing is promoted: a restart
            takes longer, and loses nothing.
    """
    if primary is not Verdict.FINE:
        return Action.PROMOTE if in_sync and standby is Verdict.FINE else Action.RESTART
    if standby not in (None, Verdict.FINE):
        return Action.DROP_STANDBY
    return Action.NOTHING


def is_ahead(received: int, switch_point: int) -> bool:
    """Whether a replica has WAL that the promoted standby had not, and so a history that is no longer ours.

    Args:
        received: the end of the WAL that the replica has received, as a byte position.
        switch_point: where the new timeline begins.
    """
    return received > switch_point


def position(lsn: str) -> int:
    """A PostgreSQL LSN such as ``0/3000060`` as a byte position."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def standby_limits(own: Mapping[str, str], primary: Mapping[str, str]) -> dict[str, str]:
    """The settings of a standby that may not be below its primary's.

    Args:
        own: settings of the standby; for lowering a value, the present ones.
        primary: settings of its primary.
    """
    return {
        name: str(max(int(own.get(name, default)), int(primary.get(name, default))))
        for name, default in RECOVERY_LIMITS.items()
    }
