"""Decisions on plain values: what a driver's error means, whether to connect again, and which hosts to try."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from rdskit.errors import (
    AuthenticationError,
    ConnectError,
    FailoverError,
    OutcomeUnknown,
    QueryError,
    RdskitError,
    TLSError,
    TooManyConnections,
)
from rdskit.integrations.sqlalchemy.numbers import ORACLE, SQL_SERVER
from rdskit.kernel.answers import (
    LOGIN_REFUSED,
    TOO_MANY_CONNECTIONS,
    Meaning,
    is_transient_errno,
    meaning_of_errno,
    meaning_of_sqlstate,
)
from rdskit.kernel.failures import Action, Failure, Phase, action_for, is_transient_refusal
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Reported:
    """What a driver told of an error.

    Attributes:
        backend: SQLAlchemy's name of the engine.
        text: the message.
        sqlstate: where the driver gives one.
        errno: where the driver gives one.
        is_disconnect: the dialect, or the network, says that the connection is gone.
    """

    backend: str
    text: str
    sqlstate: str | None = None
    errno: int | None = None
    is_disconnect: bool = False


# -- statements --------------------------------------------------------------------------------------------------------


def meaning_of(reported: Reported) -> Meaning:
    """What the error of a statement, of COMMIT or of ROLLBACK means."""
    told = _READERS[reported.backend](reported) if reported.backend in _READERS else _UNKNOWN
    if reported.is_disconnect and told.failure is not Failure.LOST:
        return Meaning(Failure.LOST, FailoverError)
    return told


def told_as(meaning: Meaning, phase: Phase, *, writes: bool, text: str, reported: Reported) -> RdskitError:
    """The exception of ``rdskit.errors`` for an error.

    Args:
        meaning: what it means.
        phase: how far the work had come.
        writes: whether the statement can change data.
        text: what was under way, for the message.
        reported: what the driver told.
    """
    action = action_for(meaning.failure, phase, writes=writes)
    if action is Action.UNKNOWN:
        return OutcomeUnknown(f"the connection was lost during {text}: it may have happened, or not; {reported.text}")
    if meaning.failure is Failure.LOST:
        return FailoverError(f"the connection was lost during {text}, which had no effect; {reported.text}")
    public = meaning.public if issubclass(meaning.public, QueryError) else QueryError
    return public(reported.text, sqlstate=reported.sqlstate, errno=reported.errno)


def _read_postgres(reported: Reported) -> Meaning:
    return meaning_of_sqlstate(reported.sqlstate) if reported.sqlstate else _UNKNOWN


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


class Refusal(Enum):
    """What a connection that could not be opened calls for."""

    LOGIN = "another login, if there is one"
    AWAY = "another attempt a moment later, or another host"
    FINAL = "nothing: the next attempt would end the same way"


class Refused(Exception):  # noqa: N818 - a value on its way to whoever decides, never seen outside
    """A connection could not be opened.

    Attributes:
        refusal: what that calls for.
        public: the exception of ``rdskit.errors`` that stands for it.
    """

    def __init__(self, refusal: Refusal, public: RdskitError) -> None:
        super().__init__(str(public))
        self.refusal = refusal
        self.public = public


# libpq gives no SQLSTATE for a connection that could not be opened, only the server's words, or its own.
_LIBPQ_LOGIN: Final = (
    "authentication failed",
    "no pg_hba.conf entry",
    "no password supplied",
    "is not permitted to log",
)
_LIBPQ_AWAY: Final = (
    *("connection refused", "timeout expired", "timed out", "closed the connection", "could not receive data"),
    *(
        "no route to host",
        "network is unreachable",
        "connection reset",
        "broken pipe",
        "eof detected",
        "unexpected eof",
    ),
    *("is starting up", "is shutting down", "in recovery mode", "not yet accepting", "due to administrator command"),
)
_TOO_MANY_CLIENTS: Final = ("too many clients", "too many connections", "connection slots are reserved")
_TLS_WORDS: Final = ("certificate", "ssl error", "does not support ssl", "tls", "rejected ssl upgrade")


def refusal_of(reported: Reported, endpoint: object) -> Refused:
    """What an error means that a driver's ``connect`` raised.

    Args:
        reported: what the driver told.
        endpoint: the host, for messages.
    """
    refusal, public = _refusal(reported)
    advice = _ADVICE.get(public, "")
    return Refused(refusal, public(f"{endpoint} could not be connected to: {reported.text}{advice}"))


def _refusal(reported: Reported) -> tuple[Refusal, type[RdskitError]]:
    if reported.backend in {"mysql", "mariadb"} and reported.errno:
        return _refused_by_errno(reported.errno, reported.text)
    if reported.backend in {"oracle", "mssql"}:
        return _refused_by_number(reported)
    if reported.sqlstate:
        return _refused_by_sqlstate(reported.sqlstate)
    return _refused_in_words(reported.text.lower(), is_network=reported.is_disconnect)


def _refused_by_errno(errno: int, text: str) -> tuple[Refusal, type[RdskitError]]:
    if errno in LOGIN_REFUSED:
        return Refusal.LOGIN, AuthenticationError
    if errno in TOO_MANY_CONNECTIONS:
        return Refusal.AWAY, TooManyConnections
    if is_transient_errno(errno):  # the client library's own numbers cover TLS and names as well
        return _refused_in_words(text.lower(), is_network=True)
    return Refusal.FINAL, ConnectError


def _refused_by_number(reported: Reported) -> tuple[Refusal, type[RdskitError]]:
    numbers = ORACLE if reported.backend == "oracle" else SQL_SERVER
    if reported.errno in numbers.login:
        return Refusal.LOGIN, AuthenticationError
    if reported.errno in numbers.lost:
        return Refusal.AWAY, ConnectError
    return _refused_in_words(reported.text.lower(), is_network=reported.is_disconnect)


def _refused_by_sqlstate(sqlstate: str) -> tuple[Refusal, type[RdskitError]]:
    if sqlstate[:2] == "28":
        return Refusal.LOGIN, AuthenticationError
    if sqlstate == "53300":
        return Refusal.AWAY, TooManyConnections
    return (Refusal.AWAY if is_transient_refusal(sqlstate) else Refusal.FINAL), ConnectError


def _refused_in_words(text: str, *, is_network: bool) -> tuple[Refusal, type[RdskitError]]:
    for words, answer in (
        (_LIBPQ_LOGIN, (Refusal.LOGIN, AuthenticationError)),
        (_TOO_MANY_CLIENTS, (Refusal.AWAY, TooManyConnections)),
        (_LIBPQ_AWAY, (Refusal.AWAY, ConnectError)),
        (_TLS_WORDS, (Refusal.FINAL, TLSError)),
        (("name or service not known", "could not translate host name", "getaddrinfo"), (Refusal.FINAL, ConnectError)),
    ):
        if any(word in text for word in words):
            return answer
    return (Refusal.AWAY if is_network else Refusal.FINAL), ConnectError


_ADVICE: Final[dict[type[RdskitError], str]] = {
    AuthenticationError: "; check the user name and the password, or credentials=",
    TLSError: "; pass ca=PATH or set RDSKIT_CA to the authority that signed it",
}


def hosts_for(role: Role, topology: Topology, turn: int) -> tuple[Host, ...]:
    """The hosts that may serve, in the order in which they are to be tried.

    Args:
        role: what is wanted.
        topology: what there is.
        turn: how many connections were opened before: readers share them evenly.
    """
    writers = tuple(host for host in topology.hosts if host.role is Role.WRITER)
    if role is Role.WRITER or not topology.readers:
        return writers
    start = turn % len(topology.readers)
    return (*topology.readers[start:], *topology.readers[:start], *writers)
