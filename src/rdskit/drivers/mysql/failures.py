"""Classify errors of MySQL, MariaDB and asyncmy, and write the public errors for them.

Sources: MySQL "Server Error Message Reference" and "Client Error Message Reference"; MariaDB "Error Codes".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from asyncmy.constants import FIELD_TYPE
from asyncmy.errors import MySQLError, ProgrammingError

from rdskit.drivers.connect_errors import error_text, refused_by_network, unknown_database
from rdskit.errors import ConfigError, FailoverError, QueryError, QueryTimeout, ResultError, StatementError
from rdskit.kernel.answers import meaning_of_errno
from rdskit.kernel.connect_errors import NO_TLS, connect_error, problem_by_errno
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped, family_words
from rdskit.kernel.session_settings import setting_refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login

_BAD_HANDSHAKE: Final = 1043
_UNKNOWN_DATABASE: Final = 1049
_VECTOR: Final = 242  # MySQL 9; asyncmy decodes it as text
_NAMES: Final = {value: name.lower() for name, value in vars(FIELD_TYPE).items() if isinstance(value, int)} | {
    _VECTOR: "vector"
}
_MOMENTS: Final = frozenset({FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP})
_TEXTS: Final = frozenset(
    {
        *(FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB, FIELD_TYPE.TINY_BLOB),
        *(FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.JSON, _VECTOR),
    }
)
_READ_FROM: Final[tuple[tuple[type[Exception], frozenset[int]], ...]] = (
    (UnicodeDecodeError, _TEXTS),
    (ArithmeticError, frozenset({FIELD_TYPE.NEWDECIMAL})),
)
_TOO_LARGE: Final = "out of 64-bit range"  # part of asyncmy's message for an integer


def number_of(error: BaseException) -> int | None:
    """Return the error number of an asyncmy error; None for anything else."""
    number = error.args[0] if isinstance(error, MySQLError) and error.args else None
    return number if isinstance(number, int) else None


def failed(error: Exception, endpoint: Endpoint, *, connected: bool) -> DriverError:
    """Return the error for a running call that failed.

    Args:
        error: asyncmy's, the socket's, or the error for a value that cannot be sent or read.
        endpoint: the host, for messages.
        connected: whether the connection is still open.
    """
    number = number_of(error)
    if number is None or number == 0:  # InterfaceError(0, …): asyncmy's "not connected"
        return _failed_in_client(error, endpoint, connected=connected)
    state = getattr(error, "sqlstate", None)
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    failure, public = meaning_of_errno(number, state or "", text)
    if not issubclass(public, QueryError):
        return _lost(error, endpoint)
    return DriverError(failure, public(f"{family_words(text)} [{number}]", sqlstate=state, errno=number))


def _failed_in_client(error: Exception, endpoint: Endpoint, *, connected: bool) -> DriverError:
    if isinstance(error, UnreadableError):
        return DriverError(Failure.REFUSED, ResultError(str(error)))
    if isinstance(error, ProgrammingError) and connected:  # as many values as parameters: checked before it sends
        return DriverError(Failure.REFUSED, StatementError(error_text(error)))
    if isinstance(error, MySQLError | OSError | struct.error) or not connected:
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, StatementError(_unsendable_message(error)))


def _unsendable_message(error: Exception) -> str:
    # asyncmy's own message contains the value, which may be secret.
    if isinstance(error, UnicodeEncodeError):
        return (
            "the statement or a parameter has a lone surrogate (U+D800 to U+DFFF), which UTF-8 cannot encode: drop it"
        )
    if _TOO_LARGE in str(error):
        return "an int parameter is not between -2**63 and 2**64 - 1: give a Decimal, for a DECIMAL column"
    return f"a value cannot be sent or read: {error_text(error)}"


class UnreadableError(Exception):
    """A value in a result has no counterpart in Python."""


def unreadable(error: Exception, description: Sequence[Sequence[Any]] | None) -> Exception:
    """Return an error that names the columns whose value could not be read; any other error unchanged.

    Args:
        error: what reading raised.
        description: name and type of each column of the result, if it has arrived.
    """
    if not isinstance(error, ValueError | ArithmeticError) or not leaves_answer_unread(error) or not description:
        return error
    types = next((types for kind, types in _READ_FROM if isinstance(error, kind)), _MOMENTS)
    columns = [f"{name!r} ({_NAMES.get(type_, type_)})" for name, type_, *_ in description if type_ in types]
    return UnreadableError(
        f"a value of column {' or '.join(columns) or 'unknown'} has no counterpart in Python ({type(error).__name__}): "
        "select it as text, with cast(… as char)"
    )


def undecoded(name: str, kind: int, error: Exception) -> DriverError:
    """Return the error for a statement that ran, and whose result a column's codec could not read.

    Args:
        name: the column.
        kind: the number of its type.
        error: what the codec raised; its text may contain the value and is not repeated.
    """
    message = (
        f"the statement ran, but its result cannot be read: {type(error).__name__} in column {name!r} "
        f"({_NAMES.get(kind, kind)}); select it as text, with cast(… as char)"
    )
    return DriverError(Failure.REFUSED, ResultError(message))


def leaves_answer_unread(error: Exception) -> bool:
    """Return whether an error left a part of the server's response unread, so that the session is out of step.

    A server's error ends its response. These errors occur before anything is sent: refusals by the driver, arguments of
    a wrong type, texts with lone surrogates, integers of more than 64 bits.
    """
    unsent = isinstance(error, MySQLError | DriverError | TypeError | UnicodeEncodeError) or _TOO_LARGE in str(error)
    return not unsent


def timed_out(endpoint: Endpoint) -> DriverError:
    """Return the error for a deadline that passed while the server worked."""
    return DriverError(Failure.TIMEOUT, QueryTimeout(f"{endpoint} did not answer before the deadline"))


def _lost(error: Exception, endpoint: Endpoint) -> DriverError:
    reason = escaped(str(error.args[1])) if isinstance(error, MySQLError) and len(error.args) > 1 else error_text(error)
    return DriverError(Failure.LOST, FailoverError(f"connection to {endpoint} was lost: {reason}"))


# -- opening -----------------------------------------------------------------------------------------------------------


class SettingsRefusedError(Exception):
    """The server refused the application's settings; the text has the server's message and error number."""


def settings_refused(error: MySQLError) -> Exception:
    """Return the error for refused settings; the original error where it concerns the connection instead."""
    number, text = number_of(error) or 0, str(error.args[-1])
    failure, public = meaning_of_errno(number, getattr(error, "sqlstate", None) or "", text)
    answered = number and failure is Failure.REFUSED and issubclass(public, QueryError)
    return SettingsRefusedError(f"{text} [{number}]") if answered else error


def refused(error: Exception, options: ConnectOptions, login: Login) -> DriverError:
    """Return the error for a failed connection attempt; ``LOST`` is worth another attempt, ``REFUSED`` is not."""
    if isinstance(error, SettingsRefusedError):
        return setting_refused(options.endpoint, escaped(str(error)))
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = number_of(error)
    if isinstance(cause, OSError):
        return refused_by_network(cause, options)
    if number is None or number == 0:
        return DriverError(Failure.REFUSED, ConfigError(f"cannot connect to {options.endpoint}: {error_text(error)}"))
    return _refused_answer(error, number, options, login)


def _refused_answer(error: Exception, number: int, options: ConnectOptions, login: Login) -> DriverError:
    if number == _UNKNOWN_DATABASE:
        return unknown_database(options, login)
    text = escaped(str(error.args[-1]))
    handshake = number == _BAD_HANDSHAKE and options.tls is not None
    problem = NO_TLS if handshake else problem_by_errno(number, text)
    return connect_error(problem, options.endpoint, f"{text} [{number}]", login.user)
