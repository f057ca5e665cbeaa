"""Define every public exception.

RdskitError
├── ConfigError                 the call or the settings are wrong; nothing was sent
├── ConnectError                no usable connection
│   ├── AuthenticationError     the server refused the login
│   ├── TLSError                the certificate or the handshake was refused
│   ├── NoWriterError           no writable host was found before the deadline
│   ├── PoolTimeout             no connection became free in time, or the queue is full
│   ├── TooManyConnections      the server takes no more connections
│   └── CircuitOpen             the host failed repeatedly; not tried again yet
├── QueryError                  the server answered with an error (``sqlstate`` or ``errno`` set)
│   ├── IntegrityError          a constraint refused the row
│   ├── SerializationError      concurrent transactions conflict; retry the whole transaction
│   ├── DeadlockError           chosen as the victim of a deadlock; retry the whole transaction
│   ├── ReadOnlyError           a write reached a read-only host
│   ├── StatementError          the SQL text is wrong, or names something that does not exist
│   ├── ResultError             the statement took effect, and its result cannot be read
│   └── QueryTimeout            the deadline passed and nothing was changed
├── FailoverError               the connection was lost; what was sent had no effect
│   └── OutcomeUnknown          the connection or the deadline was lost after a write was sent: it may have happened
├── HookError                   a write hook raised; the write before it is committed
├── MustRefetch                 changes are lost for a consumer of ``rdskit.stream``: it must copy its tables again
├── StaleReadError              no host has replayed the position that this read needs
├── AwsError                    AWS refused a call (``code`` says why)
├── PlanError                   a plan is out of date, or a step failed or its outcome is unknown (``job``, ``step``)
└── LocalError                  the local RDS, or one of its servers, could not do what was asked

Each message names the thing, the value and the next step. A driver's own exception is the ``__cause__``.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "AwsError",
    "CircuitOpen",
    "ConfigError",
    "ConnectError",
    "DeadlockError",
    "FailoverError",
    "HookError",
    "IntegrityError",
    "LocalError",
    "MustRefetch",
    "NoWriterError",
    "OutcomeUnknown",
    "PlanError",
    "PoolTimeout",
    "QueryError",
    "QueryTimeout",
    "RdskitError",
    "ReadOnlyError",
    "ResultError",
    "SerializationError",
    "StaleReadError",
    "StatementError",
    "TLSError",
    "TooManyConnections",
]


class RdskitError(Exception):
    """Base of everything rdskit raises on purpose."""


class ConfigError(RdskitError):
    """The call or the settings are wrong; nothing was sent."""


class ConnectError(RdskitError):
    """No usable connection could be made."""


class AuthenticationError(ConnectError):
    """The server refused the login."""


class TLSError(ConnectError):
    """The certificate or the TLS handshake was refused."""


class NoWriterError(ConnectError):
    """No writable host was found before the deadline."""


class PoolTimeout(ConnectError):  # noqa: N818 - the public name says what happened
    """No connection became free in time, or too many callers wait already."""


class TooManyConnections(ConnectError):  # noqa: N818 - the public name says what happened
    """The server accepts no more connections, in total or for this user."""


class CircuitOpen(ConnectError):  # noqa: N818 - the public name says what happened
    """The host failed repeatedly and is not tried again yet."""


class QueryError(RdskitError):
    """The server answered with an error.

    Attributes:
        sqlstate: the five-character SQLSTATE, or None where the engine gave none.
        errno: the engine's own error number (MySQL family), else None.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None, errno: int | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.errno = errno


class IntegrityError(QueryError):
    """A constraint refused the row."""


class SerializationError(QueryError):
    """Concurrent transactions conflict; the whole transaction can be retried."""


class DeadlockError(QueryError):
    """Chosen as the victim of a deadlock; the whole transaction can be retried."""


class ReadOnlyError(QueryError):
    """A write reached a read-only host or transaction."""


class StatementError(QueryError):
    """The SQL text is wrong, or names something that does not exist or is not allowed."""


class ResultError(QueryError):
    """The statement ran and took effect, and a value of its result cannot be read."""


class QueryTimeout(QueryError):  # noqa: N818 - the public name says what happened
    """The deadline passed and nothing was changed."""


class FailoverError(RdskitError):
    """The connection was lost in mid-flight; what was sent had no effect."""


class OutcomeUnknown(FailoverError):  # noqa: N818 - the public name says what happened
    """A write may have taken effect: it was sent, and the connection or the deadline was lost before its answer.

    Also raised if a procedure fails outside a transaction, because it may have committed a part of its work.
    """


class HookError(RdskitError):
    """A write hook raised after the commit. The write stays committed: do not repeat it.

    The hook's own exception is the cause.
    """


class MustRefetch(RdskitError):  # noqa: N818 - the public name says what to do
    """Changes are lost for a consumer of ``rdskit.stream``, so it must copy its tables again; it is never silent."""


class StaleReadError(RdskitError):
    """No host has replayed the position that this read needs."""


class AwsError(RdskitError):
    """AWS refused a call.

    Attributes:
        code: the error code, as in ``DBInstanceNotFound``.
    """

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"AWS {operation} was refused: {message} [{code}]")
        self.code = code
        self._arguments = (operation, code, message)

    def __reduce__(self) -> tuple[type[AwsError], tuple[str, str, str]]:
        """Support pickling, as for process pools: the default would call ``__init__`` with the message only."""
        return type(self), self._arguments


class PlanError(RdskitError):
    """A plan could not be run to its end: it is out of date, a step failed, or the outcome of a step is unknown.

    Attributes:
        job: the job's id; None where there is no job yet.
        step: the step concerned, if one is.
    """

    def __init__(self, message: str, *, job: str | None = None, step: str | None = None) -> None:
        super().__init__(message)
        self.job = job
        self.step = step


class LocalError(RdskitError):
    """The local RDS, or one of its servers, could not do what was asked."""
