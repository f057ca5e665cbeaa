"""Define the events that ``rdskit.connect(…, observers=[…])`` passes to its functions."""

from rdskit.kernel.events import (
    BreakerClosed,
    BreakerOpened,
    BulkFinished,
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
    StreamFinished,
    TopologyUnavailable,
)

__all__ = [
    "BreakerClosed",
    "BreakerOpened",
    "BulkFinished",
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
    "StreamFinished",
    "TopologyUnavailable",
]
