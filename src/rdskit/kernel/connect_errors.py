"""Classify connections that could not be opened, for every driver: by message, error number or SQLSTATE.

``failure`` is ``LOST`` where another attempt a moment later or at another host may succeed. It is ``REFUSED`` where it
cannot; but after an ``AuthenticationError`` another login may succeed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.errors import (
    AuthenticationError,
    ConnectError,
    NoWriterError,
    RdskitError,
    TLSError,
    TooManyConnections,
)
from rdskit.kernel.answers import LOGIN_REFUSED, TOO_MANY_CONNECTIONS, is_transient_errno
from rdskit.kernel.failures import Failure, is_transient_refusal
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of refused connection.

    Attributes:
        failure: whether another attempt may succeed.
        public: the exception of ``rdskit.errors``.
        message: a format string with the fields ``endpoint``, ``host``, ``user`` and ``text``.
    """

    failure: Failure
    public: type[RdskitError]
    message: str


LOGIN: Final = Problem(
    Failure.REFUSED,
    AuthenticationError,
    "{endpoint} refused the login of user {user!r}: {text}; check the user name and the password",
)
BUSY: Final = Problem(Failure.LOST, TooManyConnections, "{endpoint} refused the connection: {text}")
NOT_READY: Final = Problem(Failure.LOST, ConnectError, "{endpoint} refused the connection: {text}")
AWAY: Final = Problem(
    Failure.LOST, ConnectError, "{endpoint} cannot be reached: {text}; check that the server runs there"
)
TLS: Final = Problem(
    Failure.REFUSED,
    TLSError,
    "TLS with {endpoint} failed: {text}; pass ca=PATH or set RDSKIT_CA to the authority that signed its certificate",
)
NO_TLS: Final = Problem(
    Failure.REFUSED,
    TLSError,
    "{endpoint} offers no TLS ({text}); turn it on at the server, or pass tls='off' for a server on this machine",
)
TLS_DEMANDED: Final = Problem(
    Failure.REFUSED,
    TLSError,
    "{endpoint} takes encrypted connections only: {text}; pass tls='verify-full', the default, not 'off'",
)
NAME: Final = Problem(
    Failure.REFUSED,
    ConnectError,
    "host {host!r} is unknown ({text}); check its spelling and the DNS of this network",
)
DATABASE: Final = Problem(
    Failure.REFUSED,
    ConnectError,
    "{endpoint} refused the connection: {text}; create the database or correct the target",
)
OTHER: Final = Problem(Failure.REFUSED, ConnectError, "{endpoint} refused the connection: {text}")

# libpq reports no SQLSTATE for a failed connection, only the server's message or its own. PyMySQL has one number, 2003,
# for networks, names and certificates. So the message decides, and the first match counts: a server that closes the
# connection during the TLS handshake is away, although the message names TLS.
_BY_WORDS: Final = tuple(
    (re.compile("|".join(patterns)), problem)
    for problem, patterns in (
        (BUSY, ("too many clients", "too many connections", "slots are reserved")),
        (
            LOGIN,
            ("authentication failed", r"no pg_hba\.conf entry", "no password", "is not permitted to log", 'role ".*"'),
        ),
        (
            NOT_READY,
            (
                *("is starting up", "is shutting down", "in recovery mode", "not yet accepting"),
                "due to administrator command",
            ),
        ),
        (
            AWAY,
            (
                *("connection refused", "timeout expired", "timed out", "closed the connection"),
                *("could not receive data", "no route to host", "network is unreachable", "connection reset"),
                *("broken pipe", "eof detected", "unexpected eof", "unexpected_eof", "eof occurred"),
                "ssl syscall error",
            ),
        ),
        (NO_TLS, ("does not support ssl", "rejected ssl upgrade")),
        (TLS, ("certificate", "ssl error", r"\[ssl", "sslmode", "tls")),
        (NAME, ("name or service not known", "could not translate host name", "getaddrinfo")),
        (DATABASE, ('database ".*" does not exist', "unknown database")),
    )
)
_UNKNOWN_DATABASE: Final = 1049
_UNKNOWN_HOST: Final = 2005  # of the client library, as is the next one
_CLIENT_TLS: Final = 2026
_TLS_DEMANDED: Final = 3159
_CLIENT_ERRORS: Final = range(2000, 3000)


def problem_in_words(text: str, *, is_network: bool = False) -> Problem:
    """Return the problem that an error describes in its message only.

    Args:
        text: the error's message, in English.
        is_network: whether an error without a match counts as a network failure, which is worth another attempt.
    """
    lower = text.lower()
    for pattern, problem in _BY_WORDS:
        if pattern.search(lower):
            return problem
    return AWAY if is_network else OTHER


def problem_by_errno(number: int, text: str) -> Problem:
    """Return the problem for an error number of MySQL, MariaDB or their client library.

    Args:
        number: the error number.
        text: the message, for the client library's ambiguous numbers.
    """
    if number in LOGIN_REFUSED:
        return LOGIN
    if number in TOO_MANY_CONNECTIONS:
        return BUSY
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    if number in _CLIENT_ERRORS:
        return problem_in_words(text, is_network=True)
    return NOT_READY if is_transient_errno(number) else OTHER


_BY_NUMBER: Final = {_UNKNOWN_DATABASE: DATABASE, _UNKNOWN_HOST: NAME, _CLIENT_TLS: TLS, _TLS_DEMANDED: TLS_DEMANDED}


def problem_by_sqlstate(sqlstate: str) -> Problem:
    """Return the problem for an SQLSTATE of PostgreSQL."""
    if sqlstate[:2] == "28":
        return LOGIN
    if sqlstate == "53300":
        return BUSY
    if sqlstate == "3D000":
        return DATABASE
    return NOT_READY if is_transient_refusal(sqlstate) else OTHER


def connect_error(problem: Problem, endpoint: Endpoint, text: str, user: str | None = None) -> DriverError:
    """Build the error for a connection that could not be opened.

    Args:
        problem: what is wrong.
        endpoint: the host.
        text: what the driver or the server reported; it is made fit for a terminal and a log.
        user: who was to log in.
    """
    message = problem.message.format(endpoint=endpoint, host=endpoint.host, user=user, text=escaped(text))
    return DriverError(problem.failure, problem.public(message))


def no_writer_there(endpoint: Endpoint) -> DriverError:
    """Build the error for a host that was expected to be the writer and answers as a replica."""
    message = f"{endpoint} answers as a replica: the failover is not complete, or its name still leads to another host"
    return DriverError(Failure.LOST, NoWriterError(message))


def no_writer_known() -> DriverError:
    """Build the error for a topology without a writer."""
    message = "the topology shows no host that takes writes: a failover is under way"
    return DriverError(Failure.LOST, NoWriterError(message))
