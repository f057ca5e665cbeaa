"""Classify an engine's errors: a lost or demoted host invalidates its pooled connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from rdskit.integrations.sqlalchemy.driver_errors import remember, reported_by
from rdskit.integrations.sqlalchemy.drivers import refuses_writes
from rdskit.integrations.sqlalchemy.policy import meaning_of, public_error
from rdskit.integrations.sqlalchemy.read_detection import surely_reads_text
from rdskit.kernel.failures import Failure, Phase
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine, ExceptionContext

    from rdskit.kernel.answers import Meaning

_COMMITTING: Final = "rdskit.committing"


def watch_errors(engine: Engine, role: Role) -> None:
    """Classify the errors of an engine.

    Args:
        engine: the engine.
        role: the role of its hosts; a reader that refuses a write stays in use.
    """

    def note_error(context: ExceptionContext) -> BaseException | None:
        return _handle_error(context, role)

    event.listen(engine, "handle_error", note_error, retval=True)
    event.listen(engine, "begin", _note_open)  # the connection may have committed for another session before
    event.listen(engine, "commit", _note_commit)
    event.listen(engine, "rollback", _note_open)


def _note_commit(connection: Connection) -> None:
    _note(connection, committing=True)


def _note_open(connection: Connection) -> None:
    _note(connection, committing=False)


def _note(connection: Connection, *, committing: bool) -> None:
    if not connection.invalidated:  # an invalidated connection sends nothing, so nothing can fail
        connection.info[_COMMITTING] = committing


def _handle_error(context: ExceptionContext, role: Role) -> BaseException | None:
    """Decide what an error means for the pool, and attach its public exception.

    Returns:
        The exception for SQLAlchemy to raise instead; None to keep its own.
    """
    if context.connection is None:  # while connecting: the connector has classified the error already
        return None
    error = context.original_exception
    reported = reported_by(error, context.dialect, is_disconnect=context.is_disconnect)
    if context.sqlalchemy_exception is None and not reported.is_disconnect:
        return None  # not the database's error: a defect of the application, or its deadline
    meaning = meaning_of(reported)
    remember(
        error,
        public_error(meaning, _phase(context), writes=_may_write(context), text=_name(context), reported=reported),
    )
    if not isinstance(error, Exception):
        return None  # a cancellation or Ctrl-C stays as it is; SQLAlchemy drops the connection by itself
    if not _ends_connection(context, meaning, role):
        return None
    context.is_disconnect = True
    return _as_operational_error(context)


def _ends_connection(context: ExceptionContext, meaning: Meaning, role: Role) -> bool:
    if meaning.failure is Failure.LOST:
        return True
    if meaning.failure is not Failure.READ_ONLY or role is Role.READER:
        return False
    assert context.connection is not None
    if context.dialect.name == "postgresql":
        raw = context.connection.connection.dbapi_connection
        return raw is None or refuses_writes(context.dialect, raw)
    return not _is_transaction_read_only(context.original_exception)


def _is_transaction_read_only(error: BaseException) -> bool:
    """Return whether it is error 1792 of MySQL and MariaDB, for a read-only transaction."""
    return bool(error.args) and error.args[0] == 1792  # noqa: PLR2004 - named above


def _as_operational_error(context: ExceptionContext) -> OperationalError | None:
    """Return an ``OperationalError`` for a lost connection, as applications expect it of every driver."""
    present = context.sqlalchemy_exception
    if isinstance(present, OperationalError):
        return None
    error = context.original_exception
    hidden = context.engine.hide_parameters if context.engine is not None else True
    return OperationalError(
        context.statement,
        context.parameters,
        error,
        hide_parameters=hidden,
        connection_invalidated=True,
        code="e3q8",
        ismulti=present.ismulti if isinstance(present, DBAPIError) else None,
    )


def _phase(context: ExceptionContext) -> Phase:
    assert context.connection is not None
    if context.statement is None:
        is_committing = not context.connection.invalidated and context.connection.info.get(_COMMITTING)
        return Phase.COMMIT if is_committing else Phase.TRANSACTION
    return Phase.STATEMENT if _commits_itself(context) else Phase.TRANSACTION


def _commits_itself(context: ExceptionContext) -> bool:
    """Return whether each statement is a transaction of its own."""
    assert context.connection is not None
    raw: Any = None if context.connection.invalidated else context.connection.connection.dbapi_connection
    try:
        return raw is not None and bool(context.dialect.detect_autocommit_setting(raw))
    except NotImplementedError:  # SQL Server's drivers do not report it: assume the unsafe case
        return True


def _may_write(context: ExceptionContext) -> bool:
    return context.statement is None or not surely_reads_text(context.statement, context.dialect.name)


def _name(context: ExceptionContext) -> str:
    if context.statement is not None:
        return " ".join(context.statement.split())[:80]
    return "COMMIT" if _phase(context) is Phase.COMMIT else "the end of the transaction"
