"""What errors of MySQL, MariaDB and asyncmy mean.

Sources: MySQL "Server Error Message Reference" and "Client Error Message Reference"; MariaDB "Error Codes".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from asyncmy.errors import MySQLError, ProgrammingError

from rdskit.drivers.refusals import no_tls_offered, refused_by_network, said, unknown_database
from rdskit.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    DeadlockError,
    FailoverError,
    IntegrityError,
    QueryError,
    QueryTimeout,
    ReadOnlyError,
    SerializationError,
    StatementError,
    TLSError,
    TooManyConnections,
)
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login

_CLIENT_ERRORS: Final = range(2000, 3000)  # raised by the client library: the connection was cut or lost its order
# 1053 shutdown, 1077/1079/1080 ended, 1152 to 1161 network trouble, 1927 killed (MariaDB), 4031 idle for too long
_LOST: Final = frozenset({1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 4031})
# 1021 disk full, 1030 storage engine, 1037/1041 out of memory, 1135 out of threads
_UNWELL: Final = frozenset({1021, 1030, 1037, 1041, 1135})
_DEADLOCK: Final = 1213
# 1205 lock wait timeout, 1020 row changed since it was read (MariaDB), 3101 refused by group certification.
# After 1205 the transaction is still open, and COMMIT would keep its earlier statements: only ROLLBACK may follow.
_CONFLICTS: Final = frozenset({1205, _DEADLOCK, 1020, 3101})
_READ_ONLY: Final = frozenset({1792, 1836})
_OPTION_PREVENTS: Final = 1290  # for many options; read-only is one of them
# 1317 KILL QUERY, 3024 max_execution_time, 1969 max_statement_time (MariaDB): the server says that it was undone
_ENDED: Final = frozenset({1317, 1969, 3024})
# Constraints whose SQLSTATE is not of class 23: 1364 no default, 1557 foreign key, 3819 and 4025 check.
_INTEGRITY: Final = frozenset({1364, 1557, 3819, 4025})

# 1044 database, 1045 password, 1130 host, 1698 plug-in, 1820/1862 expired, 2059/2061 no such plug-in here, 3118 locked
_LOGIN: Final = frozenset({1044, 1045, 1130, 1698, 1820, 1862, 2059, 2061, 3118, 4151})
_TOO_MANY: Final = frozenset({1040, 1129, 1203, 1226})
_BAD_HANDSHAKE: Final = 1043
_TLS_DEMANDED: Final = 3159
_UNKNOWN_DATABASE: Final = 1049


def number_of(error: BaseException) -> int | None:
    """The error number of an asyncmy error; None for anything else."""
    number = error.args[0] if isinstance(error, MySQLError) and error.args else None
    return number if isinstance(number, int) else None


def failed(error: Exception, endpoint: Endpoint, *, connected: bool) -> DriverError:
    """Say what an error of a running call means.

    Args:
        error: asyncmy's, the socket's, or that of a value that cannot be sent or read.
        endpoint: the host, for messages.
        connected: whether the connection still stands.
    """
    number = number_of(error)
    if number is None or number == 0:  # InterfaceError(0, …): asyncmy's "not connected"
        return _failed_here(error, endpoint, connected=connected)
    if number in _LOST or number in _CLIENT_ERRORS:
        return _lost(error, endpoint)
    state = getattr(error, "sqlstate", None)
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    failure, public = _meaning(number, state or "", text)
    return DriverError(failure, public(f"{text} [{number}]", sqlstate=state, errno=number))


def _meaning(number: int, state: str, text: str) -> tuple[Failure, type[QueryError]]:
    if number in _CONFLICTS:
        return Failure.CONFLICT, DeadlockError if number == _DEADLOCK else SerializationError
    if number in _READ_ONLY or (number == _OPTION_PREVENTS and "read-only" in text.replace("_", "-").lower()):
        return Failure.READ_ONLY, ReadOnlyError
    if number in _UNWELL:
        return Failure.UNWELL, QueryError
    if number in _ENDED:
        return Failure.REFUSED, QueryTimeout
    if number in _INTEGRITY or state.startswith("23"):
        return Failure.REFUSED, IntegrityError
    return Failure.REFUSED, StatementError if state.startswith("42") else QueryError


def _failed_here(error: Exception, endpoint: Endpoint, *, connected: bool) -> DriverError:
    if isinstance(error, ProgrammingError) and connected:  # as many values as parameters: checked before it sends
        return DriverError(Failure.REFUSED, StatementError(said(error)))
    if isinstance(error, MySQLError | OSError | struct.error) or not connected:
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, StatementError(f"a value cannot be sent or read: {said(error)}"))


def leaves_answer_unread(error: Exception) -> bool:
    """Whether an error that is not the server's came while its answer was read, so that a part of it is still to come.

    Before anything was sent fail: arguments of a wrong type, texts with lone surrogates, integers of more than 64 bits.
    """
    unsent = isinstance(error, MySQLError | TypeError | UnicodeEncodeError) or "out of 64-bit range" in str(error)
    return not unsent


def timed_out(endpoint: Endpoint) -> DriverError:
    """The deadline passed while the server worked."""
    return DriverError(Failure.TIMEOUT, QueryTimeout(f"{endpoint} did not answer before the deadline"))


def _lost(error: Exception, endpoint: Endpoint) -> DriverError:
    reason = error.args[1] if isinstance(error, MySQLError) and len(error.args) > 1 else said(error)
    return DriverError(Failure.LOST, FailoverError(f"connection to {endpoint} was lost: {reason}"))


# -- opening -----------------------------------------------------------------------------------------------------------


def refused(error: Exception, options: ConnectOptions, login: Login) -> DriverError:
    """Say what a failed connect means; ``LOST`` is worth another attempt, ``REFUSED`` is not."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = number_of(error)
    if isinstance(cause, OSError):
        return refused_by_network(cause, options)
    if number is None or number == 0:
        return DriverError(Failure.REFUSED, ConfigError(f"cannot connect to {options.endpoint}: {said(error)}"))
    return _refused_answer(error, number, options, login)


def _refused_answer(error: Exception, number: int, options: ConnectOptions, login: Login) -> DriverError:
    endpoint, reason = options.endpoint, f"{error.args[-1]} [{number}]"
    if number in _LOGIN:
        message = f"{endpoint} refused the login of user {login.user!r}: {reason}; check the user name and the password"
        return DriverError(Failure.REFUSED, AuthenticationError(message))
    if number == _TLS_DEMANDED:
        message = f"{endpoint} takes encrypted connections only: {reason}; pass tls='verify-full', the default"
        return DriverError(Failure.REFUSED, TLSError(message))
    if number == _BAD_HANDSHAKE and options.tls is not None:
        return no_tls_offered(endpoint)
    if number == _UNKNOWN_DATABASE:
        return unknown_database(options)
    kind = TooManyConnections if number in _TOO_MANY else ConnectError
    transient = number in _TOO_MANY or number in _LOST or number in _CLIENT_ERRORS
    public = kind(f"{endpoint} refused the connection: {reason}")
    return DriverError(Failure.LOST if transient else Failure.REFUSED, public)
