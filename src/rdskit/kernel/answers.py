"""Map a server's error code to its meaning for the work and to a public exception.

Sources: PostgreSQL appendix A (error codes); MySQL "Server Error Message Reference" and "Client Error Message
Reference"; MariaDB "Error Codes".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rdskit.errors import (
    DeadlockError,
    FailoverError,
    IntegrityError,
    QueryError,
    QueryTimeout,
    RdskitError,
    ReadOnlyError,
    SerializationError,
    StatementError,
)
from rdskit.kernel.failures import Failure, failure_of_sqlstate


class Meaning(NamedTuple):
    """The meaning of an error.

    Attributes:
        failure: its meaning for the connection and for the work.
        public: its exception of ``rdskit.errors``.
    """

    failure: Failure
    public: type[RdskitError]


_BY_STATE: Final[dict[str, type[QueryError]]] = {
    "40001": SerializationError,
    "40P01": DeadlockError,
    "25006": ReadOnlyError,
    "57014": QueryTimeout,
}
_BY_CLASS: Final[dict[str, type[QueryError]]] = {"23": IntegrityError, "42": StatementError}

_CLIENT_ERRORS: Final = range(2000, 3000)  # raised by the client library: the connection was lost or is out of step
# 1053 shutdown, 1077/1079/1080 ended, 1152 to 1161 network trouble, 1927 killed (MariaDB), 4031 idle for too long
_LOST: Final = frozenset({1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 4031})
# 1030 storage engine, 1135 out of threads. Not 1021 disk full and 1037/1041 out of memory: the same statement would
# fail again, here and on any other host of that size. Not 1030 with one of these numbers of the storage engine either:
# 28 no space left, 132 memory, 135 table full, 139 row too large.
_UNWELL: Final = frozenset({1030, 1135})
_ENGINE_IS_FULL: Final = re.compile(r"error (?:28|132|135|139)\b")
# The server reports XX000 for its own faults, and also for a value of over 1 GB.
_TOO_LARGE: Final = "invalid memory alloc request size"
_DEADLOCK: Final = 1213
# 1205 lock wait timeout, 1020 row changed since it was read (MariaDB), 3101 refused by group certification.
# After 1205 the transaction is still open, and COMMIT would keep its earlier statements: only ROLLBACK may follow.
_CONFLICTS: Final = frozenset({1205, _DEADLOCK, 1020, 3101})
_READ_ONLY: Final = frozenset({1792, 1836})
_OPTION_PREVENTS: Final = 1290  # for many options; read-only is one of them
# 1317 KILL QUERY, 3024 max_execution_time, 1969 max_statement_time (MariaDB): the server has undone the statement
_ENDED: Final = frozenset({1317, 1969, 3024})
# Constraints whose SQLSTATE is not of class 23: 1364 no default, 1557 foreign key, 3819 and 4025 check.
_INTEGRITY: Final = frozenset({1364, 1557, 3819, 4025})

#: Error numbers of refused logins: 1044 database, 1045 password, 1130 host, 1698 plug-in, 1820/1862 expired, 2059/2061
#: no such plug-in here, 3118 locked.
LOGIN_REFUSED: Final = frozenset({1044, 1045, 1130, 1698, 1820, 1862, 2059, 2061, 3118, 4151})
#: Error numbers of connection limits: of the server, of this client host, or of this user.
TOO_MANY_CONNECTIONS: Final = frozenset({1040, 1129, 1203, 1226})


def meaning_of_sqlstate(sqlstate: str, text: str = "") -> Meaning:
    """Return the meaning of a PostgreSQL error.

    Args:
        sqlstate: its SQLSTATE.
        text: the message; for XX000 only the message shows whether a value was too large.
    """
    if sqlstate == "XX000" and _TOO_LARGE in text:
        return Meaning(Failure.REFUSED, QueryError)
    failure = failure_of_sqlstate(sqlstate)
    if failure is Failure.LOST:
        return Meaning(failure, FailoverError)
    return Meaning(failure, _BY_STATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], QueryError))


def meaning_of_errno(number: int, state: str, text: str) -> Meaning:
    """Return the meaning of an error of MySQL, MariaDB or their client library.

    Args:
        number: the error number.
        state: the SQLSTATE, or the empty string if the driver reports none.
        text: the message; it names the option for 1290, and the storage engine's error for 1030.
    """
    if number in _LOST or number in _CLIENT_ERRORS:
        return Meaning(Failure.LOST, FailoverError)
    if number in _CONFLICTS:
        return Meaning(Failure.CONFLICT, DeadlockError if number == _DEADLOCK else SerializationError)
    if number in _READ_ONLY or (number == _OPTION_PREVENTS and "read-only" in text.replace("_", "-").lower()):
        return Meaning(Failure.READ_ONLY, ReadOnlyError)
    if number in _UNWELL and not _ENGINE_IS_FULL.search(text):
        return Meaning(Failure.UNWELL, QueryError)
    if number in _ENDED:
        return Meaning(Failure.REFUSED, QueryTimeout)
    return Meaning(Failure.REFUSED, _refusal(number, state))


def is_transient_errno(number: int) -> bool:
    """Return whether a *connection* that was refused with this error is worth another attempt."""
    if number in LOGIN_REFUSED:
        return False
    return number in TOO_MANY_CONNECTIONS or number in _LOST or number in _CLIENT_ERRORS


def _refusal(number: int, state: str) -> type[QueryError]:
    if number in _INTEGRITY or state.startswith("23"):
        return IntegrityError
    return StatementError if state.startswith("42") else QueryError
