"""Write BEGIN statements, and decide which transactions may be retried."""

from __future__ import annotations

from rdskit.errors import (
    ConfigError,
    DeadlockError,
    FailoverError,
    OutcomeUnknown,
    QueryError,
    QueryTimeout,
    SerializationError,
)
from rdskit.kernel.arguments import require_flag, require_text
from rdskit.kernel.choices import ISOLATION_LEVELS
from rdskit.kernel.failures import Failure


class RefusedMarkerError(QueryError):
    """The server refused an implicit commit marker, and rolled back; without a marker a retry may succeed."""


def begin_text(isolation: str | None, *, read_only: bool, deferrable: bool) -> str:
    """Return the BEGIN statement for some options.

    Args:
        isolation: an isolation level, or None for the server's default.
        read_only: refuse writes.
        deferrable: wait for a snapshot that cannot fail; only with serializable and read_only.

    Raises:
        ConfigError: the level is unknown, or ``deferrable`` has no meaning here.
    """
    require_text("isolation", isolation, or_none=True, example="serializable")
    require_flag("read_only", read_only)
    require_flag("deferrable", deferrable)
    if isolation is not None and isolation.lower() not in ISOLATION_LEVELS:
        raise ConfigError(f"isolation={isolation!r} is not a level; choose one of {', '.join(ISOLATION_LEVELS)}")
    if deferrable and not (read_only and isolation == "serializable"):
        raise ConfigError("deferrable=True needs isolation='serializable' and read_only=True")
    level = f" isolation level {isolation.lower()}" if isolation else ""
    return f"begin{level}{' read only' if read_only else ''}{' deferrable' if deferrable else ''}"


def may_repeat(error: BaseException) -> bool:
    """Return whether a transaction that ended with this error was rolled back, and a retry may succeed."""
    # OutcomeUnknown is a FailoverError, but its transaction may have committed.
    if isinstance(error, OutcomeUnknown):
        return False
    return isinstance(error, SerializationError | DeadlockError | FailoverError | RefusedMarkerError)


def failure_of(error: BaseException) -> Failure:
    """Return what kind of failure the error of a transaction stands for."""
    if isinstance(error, SerializationError | DeadlockError):
        return Failure.CONFLICT
    if isinstance(error, QueryTimeout):
        return Failure.TIMEOUT
    return Failure.LOST if isinstance(error, FailoverError) else Failure.REFUSED
