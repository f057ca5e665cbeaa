"""Define the limits and statistics of pipelined connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How many pipelined connections a host has, and how long they live. Times are in seconds.

    Attributes:
        most: largest number of connections.
        in_flight: largest number of reads in flight on one connection.
        warm: reads per write to the network above which pipelining pays off even if pooled connections are free.
        late: time after which the reads behind the oldest one move to another connection; longer on a slow network.
        given_up: time after which an oldest read without a caller is cancelled, together with its connection.
        lifetime: age at which a connection is replaced.
        idle_time: idle time after which a connection is closed.
    """

    most: int = 4
    in_flight: int = 1024
    warm: int = 4
    late: float = 0.003
    given_up: float = 0.1
    lifetime: float = 1800.0
    idle_time: float = 30.0


@dataclass(frozen=True, slots=True)
class LaneStats:
    """What the pipelined connections to one host do at one moment, and what they have done.

    Attributes:
        connections: open now.
        in_flight: reads sent and not answered.
        statements: statements whose reads are pipelined, as far as their costs are known now.
        answered: reads answered.
        moved: reads sent once more, on another connection, because the first one was late or was lost.
        sent_to_pool: reads that went to a pooled connection after all.
        late: how often the oldest read held up others for too long.
        closed: connections that were ended before their time: lost, or with a result that was too large or given up.
    """

    connections: int
    in_flight: int
    statements: int
    answered: int
    moved: int
    sent_to_pool: int
    late: int
    closed: int
