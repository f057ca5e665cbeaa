"""Decide when the pool opens, checks, replaces and closes connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rdskit.client.pool.model import PoolLimits

# A login costs the server a process or thread, so a growing pool opens this many at once. It opens the first connection
# alone: after an outage, that one caller works as soon as possible. It also probes an unreachable host with one only.
OPENING_AT_ONCE = 2
# Connections that were opened together would otherwise all be replaced in the same moment.
LIFETIME_JITTER = 0.2


class Kept(Protocol):
    """What the policies read of a connection in the pool."""

    expires_at: float
    used_at: float
    epoch: int


def expiry(limits: PoolLimits, now: float, uniform: float) -> float:
    """Return when to replace a connection that is opened now; ``uniform`` is random in 0 to 1."""
    return now + limits.lifetime * (1.0 - LIFETIME_JITTER * uniform)


def openings_wanted(
    limits: PoolLimits, *, size: int, opening: int, waiting: int, failing: bool, for_minimum: bool
) -> int:
    """Return how many more connections to start opening now.

    Args:
        limits: the pool's limits.
        size: connections open or being opened.
        opening: the part of them being opened.
        waiting: callers without a connection.
        failing: whether the last attempt failed.
        for_minimum: whether to fill up to ``min_size`` too, and not only for waiting callers.
    """
    # A connection being opened serves the longest waiting caller, whichever caller it was started for.
    missing = max(waiting - opening, limits.min_size - size if for_minimum else 0)
    # `size == opening` means that no connection is open yet.
    at_once = 1 if failing or size == opening else OPENING_AT_ONCE
    return max(0, min(missing, limits.max_size - size, at_once - opening))


class Overdraft(NamedTuple):
    """By how much the pools may exceed the connections that a server allows.

    Attributes:
        hopeless: even the minimum of all processes does not fit.
        wanted: connections that all processes may open together.
        room: connections that the server has for them.
    """

    hopeless: bool
    wanted: int
    room: int


def overdraft(limits: PoolLimits, processes: int, room: int) -> Overdraft | None:
    """Check the pools' sizes against the server's connection limit; return None if they fit.

    Args:
        limits: of the pool in each process.
        processes: number of processes with such a pool.
        room: connections that the server has for them.
    """
    if limits.min_size * processes > room:
        return Overdraft(hopeless=True, wanted=limits.min_size * processes, room=room)
    if limits.max_size * processes > room:
        return Overdraft(hopeless=False, wanted=limits.max_size * processes, room=room)
    return None


def is_due(lease: Kept, limits: PoolLimits, now: float, *, spare: bool) -> bool:
    """Return whether to close an idle connection now: it is too old, or unused for long and not needed."""
    return now >= lease.expires_at or (spare and now - lease.used_at >= limits.idle_time)


def needs_check(lease: Kept, limits: PoolLimits, now: float, epoch: int) -> bool:
    """Return whether to ping a connection before it is checked out: it was idle, or its host failed since."""
    return now - lease.used_at > limits.check_after or lease.epoch != epoch
