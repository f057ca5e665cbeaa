"""Decide on plain values what a driver's error means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.errors import FailoverError, OutcomeUnknown, QueryError, RdskitError
from rdskit.integrations.sqlalchemy.vendor_codes import ORACLE, SQL_SERVER
from rdskit.kernel.answers import Meaning, meaning_of_errno, meaning_of_sqlstate
from rdskit.kernel.connect_errors import (
    LOGIN,
    NOT_READY,
    Problem,
    connect_error,
    problem_by_errno,
    problem_by_sqlstate,
    problem_in_words,
)
from rdskit.kernel.failures import Action, Failure, Phase, action_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import DriverError


@dataclass(frozen=True, slots=True)
class Reported:
    """The information that a driver reports for an error.

    Attributes:
        backend: SQLAlchemy's name of the engine.
        text: the message.
        sqlstate: the SQLSTATE, if the driver reports one.
        errno: the error number, if the driver reports one.
        is_disconnect: whether the dialect or the network layer reports a lost connection.
    """

    backend: str
    text: str
    sqlstate: str | None = None
    errno: int | None = None
    is_disconnect: bool = False


# -- statements --------------------------------------------------------------------------------------------------------


def meaning_of(reported: Reported) -> Meaning:
    """Return the meaning of an error of a statement, of COMMIT or of ROLLBACK."""
    meaning = _READERS[reported.backend](reported) if reported.backend in _READERS else _UNKNOWN
    if reported.is_disconnect and meaning.failure is not Failure.LOST:
        return Meaning(Failure.LOST, FailoverError)
    return meaning


def public_error(meaning: Meaning, phase: Phase, *, writes: bool, text: str, reported: Reported) -> RdskitError:
    """Return the exception of ``rdskit.errors`` for an error.

    Args:
        meaning: the error's meaning.
        phase: the phase of the work in which it occurred.
        writes: whether the statement can change data.
        text: the statement or phase, for the message.
        reported: the driver's report.
    """
    action = action_for(meaning.failure, phase, writes=writes)
    if action is Action.UNKNOWN:
        return OutcomeUnknown(f"the connection was lost during {text}: it may have happened, or not; {reported.text}")
    if meaning.failure is Failure.LOST:
        return FailoverError(f"the connection was lost during {text}, which had no effect; {reported.text}")
    public = meaning.public if issubclass(meaning.public, QueryError) else QueryError
    return public(reported.text, sqlstate=reported.sqlstate, errno=reported.errno)


def _read_postgres(reported: Reported) -> Meaning:
    return meaning_of_sqlstate(reported.sqlstate, reported.text) if reported.sqlstate else _UNKNOWN


def _read_mysql(reported: Reported) -> Meaning:
    if not reported.errno:
        return _UNKNOWN
    return meaning_of_errno(reported.errno, reported.sqlstate or "", reported.text)


_UNKNOWN: Final = Meaning(Failure.REFUSED, QueryError)
_READERS: Final[dict[str, Callable[[Reported], Meaning]]] = {
    "postgresql": _read_postgres,
    "mysql": _read_mysql,
    "mariadb": _read_mysql,
    "oracle": lambda reported: ORACLE.meaning(reported.errno),
    "mssql": lambda reported: SQL_SERVER.meaning(reported.errno),
}


# -- connecting --------------------------------------------------------------------------------------------------------


def connect_error_of(reported: Reported, endpoint: Endpoint, user: str | None = None) -> DriverError:
    """Return the error for an exception of a driver's ``connect``.

    Args:
        reported: what the driver reported.
        endpoint: the host, for messages.
        user: the user of the login.
    """
    return connect_error(_problem(reported), endpoint, reported.text, user)


def _problem(reported: Reported) -> Problem:
    if reported.backend in {"mysql", "mariadb"} and reported.errno:
        return problem_by_errno(reported.errno, reported.text)
    if reported.backend in {"oracle", "mssql"}:
        return _problem_by_number(reported)
    if reported.sqlstate:
        return problem_by_sqlstate(reported.sqlstate)
    return problem_in_words(reported.text, is_network=reported.is_disconnect)


def _problem_by_number(reported: Reported) -> Problem:
    numbers = ORACLE if reported.backend == "oracle" else SQL_SERVER
    if reported.errno in numbers.login:
        return LOGIN
    if reported.errno in numbers.lost:
        return NOT_READY
    return problem_in_words(reported.text, is_network=reported.is_disconnect)
