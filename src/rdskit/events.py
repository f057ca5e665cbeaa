"""What ``rdskit.connect(…, observers=[…])`` calls its functions with."""

from rdskit.kernel.events import (
    BreakerClosed,
    BreakerOpened,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    CredentialsRotated,
    Event,
    FailoverCompleted,
    FailoverStarted,
    Observer,
    PoolWaited,
    QueryFinished,
    QueryRetried,
    TopologyUnavailable,
)

__all__ = [
    "BreakerClosed",
    "BreakerOpened",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionOpened",
    "CredentialsRotated",
    "Event",
    "FailoverCompleted",
    "FailoverStarted",
    "Observer",
    "PoolWaited",
    "QueryFinished",
    "QueryRetried",
    "TopologyUnavailable",
]
