"""Define the pool's limits and statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit.client.pool.lanes.model import LaneStats


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How large a pool grows and how long its connections live. Times are in seconds.

    Attributes:
        min_size: connections kept open without demand.
        max_size: connections open at most.
        max_waiting: callers that may wait at most; the pool refuses more at once, so that the others get served in
            time.
        connect_timeout: limit of one attempt to open a connection.
        outage_timeout: without one successful attempt for so long, the pool refuses new callers at once.
        lifetime: age at which a connection is replaced; shortened by up to 20 % at random, so that not all connections
            end together.
        idle_time: idle time after which a connection beyond ``min_size`` is closed.
        check_after: idle time after which a connection is pinged before it is checked out.
        resets: whether a session that a caller changed is reset and kept. Otherwise the pool closes the connection:
            that is how RDS Proxy releases a server connection that it has pinned to this one.
    """

    min_size: int = 2
    max_size: int = 10
    max_waiting: int = 100
    connect_timeout: float = 5.0
    outage_timeout: float = 30.0
    lifetime: float = 1800.0
    idle_time: float = 600.0
    check_after: float = 1.0
    resets: bool = True


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool holds at one moment, and its counters since it was created.

    Attributes:
        endpoint: the host, as ``name:port``.
        size: connections open: ``idle + in_use``.
        idle: connections that the next caller gets at once.
        in_use: connections that callers hold, and those that the pool checks or resets for the next caller.
        waiting: callers that wait for a connection.
        opened: connections that joined the pool.
        closed: connections that left the pool: lost, too old, or spare.
        failed_connects: connection attempts that failed, for any reason.
        breaker_is_open: the host has been unreachable for so long that callers get ``CircuitOpen`` at once.
        lanes: the pipelined connections beside it; None where there are none to be had.
    """

    endpoint: str
    size: int
    idle: int
    in_use: int
    waiting: int
    opened: int
    closed: int
    failed_connects: int
    breaker_is_open: bool = False
    lanes: LaneStats | None = None
