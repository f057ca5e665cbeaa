"""What ``rdskit.connect(…, observers=[…])`` calls its functions with."""

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
