"""One connection on loan."""

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
    """Who ends calls that are overdue."""

    def guard(
        self, lease: Lease, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Run a call on a lease and end it when it is due."""
        ...

    def extend(self, lease: Lease, due: float) -> None:
        """Give the call under way on a lease another moment by which it must have ended."""
        ...

    def leave(self, lease: Lease) -> None:
        """End the call under way on a lease, which gives the lease back when it has ended."""
        ...


class Lender(Protocol):
    """Whom a lease goes back to."""

    @property
    def watchdog(self) -> Guard:
        """Who ends its calls."""
        ...

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
        used_at: when it was last lent.
        due: when the call on it must have ended; infinite while there is none.
        caller: the task that runs that call.
        cancelling: how often that task was being cancelled when the call began.
        overdue: the call was ended because it was due.
        settles: whether the call's outcome matters: when it is due, the server is asked to cancel it, and may answer.
        busy: a call of a transaction, a stream or a lock is under way on it.
        left: its block ended while that call was under way; the call gives it back.
        epoch: the pool's failure epoch at which it was last known to be alive.
        generation: the pool's generation it was opened in; an older one is never lent again.
        dirty: the session was changed and must be reset before somebody else gets it.
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
        "lender",
        "opened_at",
        "overdue",
        "scope",
        "settles",
        "used_at",
    )

    def __init__(
        self, connection: Connection, lender: Lender, *, now: float, expires_at: float, epoch: int, generation: int
    ) -> None:
        self.connection = connection
        self.lender = lender
        self.expires_at = expires_at
        self.opened_at = self.used_at = now
        self.epoch = epoch
        self.generation = generation
        self.dirty = False
        self.scope = NO_SCOPE
        self.due = math.inf
        self.caller: asyncio.Task[Any] | None = None
        self.cancelling = 0
        self.overdue = False
        self.settles = False
        self.busy = False
        self.left = False

    def run(self, call: Coroutine[Any, Any, T], due: float, *, settles: bool = False) -> Coroutine[Any, Any, T]:
        """Run a call of this connection; ``due`` is a moment on the loop's clock, infinite for no limit."""
        return self.lender.watchdog.guard(self, call, due, settles=settles)

    def give_back(self) -> None:
        """Return the connection to its pool."""
        self.lender.give_back(self)

    def leave(self) -> None:
        """Return the connection to its pool although another task has a call under way on it: end the call first.

        That task gets the error that says so. Nothing is waited for.
        """
        self.lender.watchdog.leave(self)
