"""The pool's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rdskit.kernel.ports import Connection


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How large a pool grows and how long its connections live. Times are in seconds.

    Attributes:
        min_size: connections kept open while nobody asks.
        max_size: connections open at most.
        max_waiting: callers that may wait at most; more are refused at once, so that the others are served in time.
        connect_timeout: for one attempt to open a connection.
        lifetime: after it a connection is replaced; shortened by up to 20 % at random, so that not all end together.
        idle_time: a connection beyond ``min_size`` that nobody used for so long is closed.
        check_after: a connection that was idle for longer is asked for a sign of life before it is lent.
    """

    min_size: int = 2
    max_size: int = 10
    max_waiting: int = 100
    connect_timeout: float = 5.0
    lifetime: float = 1800.0
    idle_time: float = 600.0
    check_after: float = 1.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool holds at one moment, and what it has done so far."""

    endpoint: str
    size: int
    idle: int
    in_use: int
    waiting: int
    opened: int
    closed: int
    failed_connects: int


class Lender(Protocol):
    """Whom a lease goes back to."""

    def give_back(self, lease: Lease) -> None:
        """Take the connection back."""
        ...

    def suspect(self) -> None:
        """Hear that something failed at the host."""
        ...


class Lease:
    """One connection and what the pool knows of it. Whoever holds the lease owns the connection.

    Attributes:
        connection: the driver's connection.
        lender: whose it is.
        opened_at: when it was opened, on the loop's clock.
        expires_at: when it is due for replacement, on the same clock.
        idle_since: when it was last given back.
        epoch: the pool's failure epoch at which it was last known to be alive.
        generation: the pool's generation it was opened in; an older one is never lent again.
        dirty: the session was changed and must be reset before somebody else gets it.
    """

    __slots__ = ("connection", "dirty", "epoch", "expires_at", "generation", "idle_since", "lender", "opened_at")

    def __init__(
        self, connection: Connection, lender: Lender, *, now: float, expires_at: float, epoch: int, generation: int
    ) -> None:
        self.connection = connection
        self.lender = lender
        self.expires_at = expires_at
        self.opened_at = self.idle_since = now
        self.epoch = epoch
        self.generation = generation
        self.dirty = False

    def give_back(self) -> None:
        """Return the connection to its pool."""
        self.lender.give_back(self)
