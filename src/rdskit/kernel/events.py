"""Events between the application and its databases, as values for observers.

An event has names, times and a statement's text. It never has a statement's parameters, and of an error only the class,
because a server's message may repeat refused values.
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
        seconds: how long opening it took, TLS and login included.
    """

    endpoint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """An attempt to open a connection failed; another one follows if a caller waits and it may succeed.

    Attributes:
        endpoint: the host.
        seconds: how long the attempt took.
        error: the class of the error.
    """

    endpoint: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The pool closed a connection.

    Attributes:
        endpoint: the host.
        broken: it was lost or unusable, not just old or spare.
    """

    endpoint: str
    broken: bool


@dataclass(frozen=True, slots=True)
class PoolWaited:
    """A caller had to wait for a connection.

    Attributes:
        endpoint: the host.
        seconds: how long it waited.
        error: the class of the error that ended the wait; None if it ended with a connection.
    """

    endpoint: str
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class QueryFinished:
    """A statement has finished.

    Attributes:
        sql: its text as the application wrote it.
        seconds: the whole call, waiting for a connection and retries included.
        error: the class of the error that the application receives; None after success.
    """

    sql: str
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class QueryRetried:
    """A statement is retried, or a closure of ``run`` runs again: it cannot have taken effect, or only reads.

    Attributes:
        subject: the statement's text as the application wrote it, or the closure's name.
        failure: the failure's name in ``rdskit.kernel.failures.Failure``.
        attempt: how often it has failed like that so far.
    """

    subject: str
    failure: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BulkFinished:
    """``insert_many`` or ``execute_many`` has finished; their single statements cause no events.

    Attributes:
        method: which of the two.
        subject: the table, or the statement's text as the application wrote it.
        rows: how many were inserted, updated or matched; None after an error.
        seconds: the whole call, reading the caller's rows and retries included.
        error: the class of the error that the application receives; None after success.
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
        rows: how many the application received.
        seconds: from the request for its first row to its end, including the application's own work in between.
        error: the class of the error that ended it; None also for a stream that the application left early.
    """

    sql: str
    rows: int
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class FailoverStarted:
    """The writer was lost: by a failover, a restart or a network failure.

    Attributes:
        writer: the host that was the writer.
    """

    writer: str


@dataclass(frozen=True, slots=True)
class FailoverCompleted:
    """A writer is reachable again.

    Attributes:
        writer: the host that is the writer now.
        seconds: how long there was no writer.
    """

    writer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """A host has been unreachable for so long that callers now fail at once.

    Attributes:
        endpoint: the host.
    """

    endpoint: str


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """A host is reachable again after its breaker was open.

    Attributes:
        endpoint: the host.
    """

    endpoint: str


@dataclass(frozen=True, slots=True)
class CredentialsRotated:
    """A login was refused, and the next login of the credentials was accepted.

    Attributes:
        endpoint: the host.
        user: the user of the login.
    """

    endpoint: str
    user: str


@dataclass(frozen=True, slots=True)
class TopologyUnavailable:
    """The cluster of a URL's host is unknown, so there is no failover to another host, and no reader.

    Each database emits this event once.

    Attributes:
        endpoint: the URL's host, which serves all statements.
        error: the class of the error.
        advice: the next step, such as the IAM action to allow.
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
"""Called with each event on the event loop; it must not block."""
