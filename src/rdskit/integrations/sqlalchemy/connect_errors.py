"""Convert errors of failed connection attempts for the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.errors import RdskitError
from rdskit.integrations.sqlalchemy.driver_errors import remember

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

    from rdskit.kernel.ports import DriverError


def as_driver_error(dialect: Dialect, refused: DriverError) -> Exception:
    """Return the driver's own error, if there is one, so that SQLAlchemy wraps it as usual.

    Args:
        dialect: the engine's.
        refused: the error of the attempt.
    """
    cause = refused.__cause__
    if isinstance(cause, dialect.loaded_dbapi.Error):
        error: Exception = cause
        error.add_note(str(refused.public))
    elif dialect.name in {"mysql", "mariadb"}:
        error = dialect.loaded_dbapi.OperationalError(2003, str(refused.public))  # CR_CONN_HOST_ERROR
    else:
        error = dialect.loaded_dbapi.OperationalError(str(refused.public))
    assert isinstance(refused.public, RdskitError), refused.public
    remember(error, refused.public)
    return error
