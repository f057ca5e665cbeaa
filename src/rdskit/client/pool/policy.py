"""The pool's decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rdskit.client.pool.model import PoolLimits

# Opening is work for the server too: a pool that fills up opens this many at once. The first one is opened alone, so
# that after an outage somebody works as soon as possible, and so is the one that asks whether a host is back.
OPENING_AT_ONCE = 2
LIFETIME_JITTER = 0.2


class Kept(Protocol):
    """What a pool knows of a connection that it keeps."""

    expires_at: float
    used_at: float
    epoch: int


def expiry(limits: PoolLimits, now: float, uniform: float) -> float:
    """When a connection that is opened now is due for replacement."""
    return now + limits.lifetime * (1.0 - LIFETIME_JITTER * uniform)


def openings_wanted(
    limits: PoolLimits, *, size: int, opening: int, waiting: int, failing: bool, for_minimum: bool
) -> int:
    """How many more connections to begin opening now.

    Args:
        limits: the pool's limits.
        size: connections open or being opened.
        opening: of these, the ones being opened.
        waiting: callers without a connection.
        failing: whether the last attempt failed.
        for_minimum: whether to open for the minimum too, and not for callers only.
    """
    missing = max(waiting - opening, limits.min_size - size if for_minimum else 0)
    at_once = 1 if failing or size == opening else OPENING_AT_ONCE
    return max(0, min(missing, limits.max_size - size, at_once - opening))


class Overdraft(NamedTuple):
    """More connections than a server takes.

    Attributes:
        hopeless: not even the minimum of every process fits.
        wanted: connections that all processes may open together.
        room: what the server has for them.
    """

    hopeless: bool
    wanted: int
    room: int


def overdraft(limits: PoolLimits, processes: int, room: int) -> Overdraft | None:
    """Check the connection budget; None when it is kept.

    Args:
        limits: of the pool in each process.
        processes: how many processes have such a pool.
        room: connections that the server has for them.
    """
    if limits.min_size * processes > room:
        return Overdraft(hopeless=True, wanted=limits.min_size * processes, room=room)
    if limits.max_size * processes > room:
        return Overdraft(hopeless=False, wanted=limits.max_size * processes, room=room)
    return None


def is_due(lease: Kept, limits: PoolLimits, now: float, *, spare: bool) -> bool:
    """Whether an idle connection is closed now: too old, or unused for long and not needed for the minimum."""
    return now >= lease.expires_at or (spare and now - lease.used_at >= limits.idle_time)


def needs_check(lease: Kept, limits: PoolLimits, now: float, epoch: int) -> bool:
    """Whether a connection must show a sign of life before it is lent: it was idle, or its host failed since."""
    return now - lease.used_at > limits.check_after or lease.epoch != epoch
