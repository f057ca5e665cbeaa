"""What happens between the application and its databases, as values for whoever listens.

An event holds names, times and the text of a statement. It never holds a statement's parameters, and of an error only
its class: a server's message may repeat the values that it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A connection is ready.

    Attributes:
        endpoint: the host, as ``name:port``.
        seconds: what opening it took, TLS and login included.
    """

    endpoint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """An attempt to open a connection failed; another one follows if anybody waits and it may help.

    Attributes:
        endpoint: the host.
        seconds: what the attempt took.
        error: the class of the error.
    """

    endpoint: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A connection was given up.

    Attributes:
        endpoint: the host.
        broken: it was lost or of no use any more, and not just old or spare.
    """

    endpoint: str
    broken: bool


@dataclass(frozen=True, slots=True)
class PoolWaited:
    """A caller had to wait for a connection.

    Attributes:
        endpoint: the host.
        seconds: how long.
        error: the class of the error that ended the wait; None when it ended with a connection.
    """

    endpoint: str
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class QueryFinished:
    """A statement has its answer.

    Attributes:
        sql: its text as the application wrote it.
        seconds: the whole call, waiting for a connection and retries included.
        error: the class of the error that the application sees; None when all was well.
    """

    sql: str
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class QueryRetried:
    """A statement is sent again, or a closure given to ``run`` runs again: it cannot have happened, or only reads.

    Attributes:
        subject: the statement's text as the application wrote it, or the closure's name.
        failure: what went wrong, by the name of ``rdskit.kernel.failures.Failure``.
        attempt: how often it failed like that so far.
    """

    subject: str
    failure: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BulkFinished:
    """``insert_many`` or ``execute_many`` has its answer; what they send on the way is not told one by one.

    Attributes:
        method: which of the two.
        subject: the table, or the statement's text as the application wrote it.
        rows: how many were inserted, updated or matched; None after an error.
        seconds: the whole call, reading the caller's rows and retries included.
        error: the class of the error that the application sees; None when all was well.
    """

    method: str
    subject: str
    rows: int | None
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """A stream has ended.

    Attributes:
        sql: its text as the application wrote it.
        rows: how many the application was given.
        seconds: from its first row being asked for to its end, what the application did in between included.
        error: the class of the error that ended it; None also for a stream that the application left early.
    """

    sql: str
    rows: int
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class FailoverStarted:
    """The writer was lost: a failover, a restart, or the network.

    Attributes:
        writer: the host that was the writer.
    """

    writer: str


@dataclass(frozen=True, slots=True)
class FailoverCompleted:
    """A writer answers again.

    Attributes:
        writer: the host that is the writer now.
        seconds: since it was lost.
    """

    writer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """A host has been away for so long that callers are told at once.

    Attributes:
        endpoint: the host.
    """

    endpoint: str


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """A host that had been away answers again.

    Attributes:
        endpoint: the host.
    """

    endpoint: str


@dataclass(frozen=True, slots=True)
class CredentialsRotated:
    """A login was refused, and what the credentials gave next was accepted.

    Attributes:
        endpoint: the host.
        user: who logs in.
    """

    endpoint: str
    user: str


@dataclass(frozen=True, slots=True)
class TopologyUnavailable:
    """The cluster that a URL's host belongs to is not known, so there is no failover to another host, and no reader.

    Told once for each database.

    Attributes:
        endpoint: the URL's host, which serves everything.
        error: the class of the error.
        advice: what to do about it, such as the action to allow.
    """

    endpoint: str
    error: str
    advice: str


Event: TypeAlias = (
    ConnectionOpened
    | ConnectionFailed
    | ConnectionClosed
    | PoolWaited
    | QueryFinished
    | QueryRetried
    | BulkFinished
    | StreamFinished
    | FailoverStarted
    | FailoverCompleted
    | BreakerOpened
    | BreakerClosed
    | CredentialsRotated
    | TopologyUnavailable
)
Observer: TypeAlias = Callable[[Event], object]
"""Called with each event, on the event loop: it must return at once."""
