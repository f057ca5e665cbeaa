"""Define the lease: one checked-out connection, with what the pool knows of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rdskit.kernel.scope import NO_SCOPE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from rdskit.kernel.ports import Connection

T = TypeVar("T")


class Guard(Protocol):
    """The pool's watchdog, as leases see it: it ends calls whose deadline has passed."""

    def guard(
        self, lease: Lease, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Run a call on a lease, and end it at its deadline."""
        ...

    def extend(self, lease: Lease, due: float) -> None:
        """Set a new deadline for the call under way on a lease."""
        ...

    def leave(self, lease: Lease) -> None:
        """End the call under way on a lease; the call then gives the lease back."""
        ...


class LeaseOwner(Protocol):
    """The pool that a lease belongs to, as the lease sees it."""

    @property
    def watchdog(self) -> Guard:
        """The watchdog that ends overdue calls of this pool's leases."""
        ...

    def give_back(self, lease: Lease) -> None:
        """Check the connection in."""
        ...

    def suspect(self) -> None:
        """Note a failure at the host, so that every idle connection is checked before its next use."""
        ...


class Lease:
    """One connection and what the pool knows of it. The holder of the lease owns the connection.

    Attributes:
        connection: the driver's connection.
        pool: the pool that it belongs to.
        opened_at: when it was opened, on the loop's clock.
        expires_at: when the pool replaces it, on the same clock.
        used_at: when it was last checked out.
        due: deadline of the call on it; infinite while there is none.
        caller: the task that runs that call.
        cancelling: cancellations of that task that were pending when the call began.
        overdue: the watchdog ended the call because its deadline passed.
        settles: whether the call's outcome matters. If so, the watchdog first asks the server to cancel the call, and
            waits for its answer.
        busy: a call of a transaction, a stream or a lock is under way on it.
        left: its block ended while that call was under way; the call gives the lease back.
        epoch: the pool's failure epoch in which it was last known to be alive.
        generation: the pool's generation in which it was opened; the pool never checks out an older one.
        dirty: a caller changed the session, so the pool resets it before its next use.
        scope: the tenant, role and schema that the session is set up for.
    """

    __slots__ = (
        "busy",
        "caller",
        "cancelling",
        "connection",
        "dirty",
        "due",
        "epoch",
        "expires_at",
        "generation",
        "left",
        "opened_at",
        "overdue",
        "pool",
        "scope",
        "settles",
        "used_at",
    )

    def __init__(
        self, connection: Connection, pool: LeaseOwner, *, now: float, expires_at: float, epoch: int, generation: int
    ) -> None:
        self.connection = connection
        self.pool = pool
        self.expires_at = expires_at
        self.opened_at = self.used_at = now
        self.epoch = epoch
        self.generation = generation
        self.dirty = False
        # Compared by identity when the lease is taken, so an unchanged scope costs nothing.
        self.scope = NO_SCOPE
        self.due = math.inf
        self.caller: asyncio.Task[Any] | None = None
        self.cancelling = 0
        self.overdue = False
        self.settles = False
        self.busy = False
        self.left = False

    def run(self, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False) -> Coroutine[Any, Any, T]:
        """Run a call of this connection.

        Args:
            call: the call.
            due: its deadline on the loop's clock; infinite for none.
            settles: whether the server has to confirm the call's end, see `Lease`.
        """
        return self.pool.watchdog.guard(self, call, due, settles=settles)

    def give_back(self) -> None:
        """Return the connection to its pool."""
        self.pool.give_back(self)

    def leave(self) -> None:
        """Return the connection to its pool while another task has a call under way on it.

        The watchdog cancels that call, and its task gets an error that says so. This method does not wait.
        """
        self.pool.watchdog.leave(self)
