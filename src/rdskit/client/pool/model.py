"""The pool's values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How large a pool grows and how long its connections live. Times are in seconds.

    Attributes:
        min_size: connections kept open while nobody asks.
        max_size: connections open at most.
        max_waiting: callers that may wait at most; more are refused at once, so that the others are served in time.
        connect_timeout: for one attempt to open a connection.
        patience: after so long without one successful attempt, new callers are told at once instead of waiting.
        lifetime: after it a connection is replaced; shortened by up to 20 % at random, so that not all end together.
        idle_time: a connection beyond ``min_size`` that nobody used for so long is closed.
        check_after: a connection that was idle for longer is asked for a sign of life before it is lent.
        resets: a session that a caller changed is reset and kept; otherwise its connection is closed, which is what
            gives a server connection back that a proxy has pinned to it.
    """

    min_size: int = 2
    max_size: int = 10
    max_waiting: int = 100
    connect_timeout: float = 5.0
    patience: float = 30.0
    lifetime: float = 1800.0
    idle_time: float = 600.0
    check_after: float = 1.0
    resets: bool = True


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool holds at one moment, and what it has done since it was made.

    Attributes:
        endpoint: the host, as ``name:port``.
        size: connections open: ``idle + in_use``.
        idle: connections that the next caller gets at once.
        in_use: connections that a caller has, and those that are being checked or reset for the next caller.
        waiting: callers that wait for a connection.
        opened: connections that were opened and joined the pool.
        closed: connections that left the pool: lost, too old, or spare.
        failed_connects: attempts to open a connection that failed, for whatever reason.
        breaker_is_open: the host has been away for so long that callers get ``CircuitOpen`` at once.
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
