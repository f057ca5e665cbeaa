"""Extract message, SQLSTATE and error number from a driver's exception, for every driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import RdskitError
from rdskit.integrations.sqlalchemy.policy import Reported
from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_ODBC_NUMBER: Final = re.compile(r"\((\d+)\)")  # "[42000] [Microsoft][…] text (1205) (SQLExecDirectW)"
_ATTRIBUTE: Final = "rdskit_error"


def reported_by(error: BaseException, dialect: Dialect, *, is_disconnect: bool = False) -> Reported:
    """Return the information of an exception.

    Args:
        error: the driver's, or the network's.
        dialect: the engine's.
        is_disconnect: whether the dialect classifies it as a disconnect.
    """
    text = escaped(" ".join(str(error).split())) or type(error).__name__
    # A driver's own timeout raises TimeoutError too, and leaves the connection usable.
    is_network = isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError)
    return Reported(dialect.name, text, _sqlstate(error), _number(error), is_disconnect or is_network)


def remember(error: BaseException, public: RdskitError) -> None:
    """Attach the public exception to a driver's exception, for ``error_of``."""
    setattr(error, _ATTRIBUTE, public)


def error_of(error: BaseException) -> RdskitError | None:
    """Return the exception of ``rdskit.errors`` for an exception of SQLAlchemy's.

    ``isinstance(error_of(e), rdskit.OutcomeUnknown)`` detects a lost COMMIT that may have taken effect. No exception of
    SQLAlchemy's shows that.

    Args:
        error: an exception from an engine of rdskit's, or the driver's exception in its ``orig``.

    Returns:
        The exception; None if the error came from another engine or not from a database.
    """
    if isinstance(error, RdskitError):
        return error
    for holder in (error, getattr(error, "orig", None)):
        found = getattr(holder, _ATTRIBUTE, None)
        if isinstance(found, RdskitError):
            return found
    return None


def _sqlstate(error: BaseException) -> str | None:
    for candidate in (getattr(error, "sqlstate", None), error.args[0] if error.args else None):
        if isinstance(candidate, str) and _SQLSTATE.fullmatch(candidate):
            return candidate
    return None


def _number(error: BaseException) -> int | None:
    first: Any = error.args[0] if error.args else None
    code = getattr(first, "code", first)  # oracledb wraps code and message in an object
    if isinstance(code, int) and not isinstance(error, OSError):
        return code
    if isinstance(first, str) and len(error.args) > 1 and _SQLSTATE.fullmatch(first):  # pyodbc: state, message
        found = _ODBC_NUMBER.search(str(error.args[1]))
        return int(found[1]) if found else None
    return None
