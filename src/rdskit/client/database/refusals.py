"""What a connection calls for that a driver could not open, and which hosts are tried: decisions on plain values."""

from __future__ import annotations

from enum import Enum
from typing import Final

from rdskit.errors import AuthenticationError, ConnectError, RdskitError, TLSError, TooManyConnections
from rdskit.kernel.answers import LOGIN_REFUSED, TOO_MANY_CONNECTIONS, is_transient_errno
from rdskit.kernel.failures import is_transient_refusal
from rdskit.kernel.topology import Host, Role, Topology


class Refusal(Enum):
    """What a connection that could not be opened calls for."""

    LOGIN = "another login, if there is one"
    AWAY = "another attempt a moment later, or another host"
    FINAL = "nothing: the next attempt would end the same way"


Verdict = tuple[Refusal, type[RdskitError]]
"""What it calls for, and the exception that stands for it."""


class Refused(Exception):  # noqa: N818 - a value on its way to whoever decides, never seen outside
    """A connection could not be opened. Its ``__cause__`` is the driver's error, if it was one.

    Attributes:
        refusal: what that calls for.
        public: the exception of ``rdskit.errors`` that stands for it.
    """

    def __init__(self, refusal: Refusal, public: RdskitError) -> None:
        super().__init__(str(public))
        self.refusal = refusal
        self.public = public


# libpq gives no SQLSTATE for a connection that could not be opened, only the server's words, or its own; and PyMySQL
# has one number, 2003, for networks, names and certificates.
_LOGIN_WORDS: Final = (
    *("authentication failed", "no pg_hba.conf entry", "no password supplied", "is not permitted to log"),
)
_AWAY_WORDS: Final = (
    *("connection refused", "timeout expired", "timed out", "closed the connection", "could not receive data"),
    *("no route to host", "network is unreachable", "connection reset", "broken pipe"),
    *("eof detected", "unexpected eof", "unexpected_eof", "eof occurred"),
    *("is starting up", "is shutting down", "in recovery mode", "not yet accepting", "due to administrator command"),
)
_TOO_MANY_CLIENTS: Final = ("too many clients", "too many connections", "slots are reserved")
_TLS_WORDS: Final = ("certificate", "ssl error", "[ssl", "does not support ssl", "tls", "rejected ssl upgrade")
_NAME_WORDS: Final = ("name or service not known", "could not translate host name", "getaddrinfo")
_BY_WORDS: Final[tuple[tuple[tuple[str, ...], Verdict], ...]] = (
    (_LOGIN_WORDS, (Refusal.LOGIN, AuthenticationError)),
    (_TOO_MANY_CLIENTS, (Refusal.AWAY, TooManyConnections)),
    (_AWAY_WORDS, (Refusal.AWAY, ConnectError)),
    (_TLS_WORDS, (Refusal.FINAL, TLSError)),
    (_NAME_WORDS, (Refusal.FINAL, ConnectError)),
)
# The client library's own: 2005 a name that does not exist, 2026 TLS.
_FINAL_NUMBERS: Final[dict[int, type[RdskitError]]] = {2005: ConnectError, 2026: TLSError}


def refused_in_words(text: str, *, is_network: bool = False) -> Verdict:
    """What an error calls for that tells in words only.

    Args:
        text: the error's.
        is_network: whether it came from the network, and is worth another attempt unless the words say otherwise.
    """
    lower = text.lower()
    for words, verdict in _BY_WORDS:
        if any(word in lower for word in words):
            return verdict
    return (Refusal.AWAY if is_network else Refusal.FINAL), ConnectError


def refused_by_errno(errno: int, text: str) -> Verdict:
    """What an error number of MySQL's, MariaDB's or their client library calls for; ``text`` comes with it."""
    if errno in LOGIN_REFUSED:
        return Refusal.LOGIN, AuthenticationError
    if errno in TOO_MANY_CONNECTIONS:
        return Refusal.AWAY, TooManyConnections
    if errno in _FINAL_NUMBERS:
        return Refusal.FINAL, _FINAL_NUMBERS[errno]
    if is_transient_errno(errno):
        return refused_in_words(text, is_network=True)
    return Refusal.FINAL, ConnectError


def refused_by_sqlstate(sqlstate: str) -> Verdict:
    """What an SQLSTATE of PostgreSQL's calls for."""
    if sqlstate[:2] == "28":
        return Refusal.LOGIN, AuthenticationError
    if sqlstate == "53300":
        return Refusal.AWAY, TooManyConnections
    return (Refusal.AWAY if is_transient_refusal(sqlstate) else Refusal.FINAL), ConnectError


_ADVICE: Final[dict[type[RdskitError], str]] = {
    AuthenticationError: "; check the user name and the password, or credentials=",
    TLSError: "; pass ca=PATH or set RDSKIT_CA to the authority that signed it",
}


def refused(verdict: Verdict, endpoint: object, text: str) -> Refused:
    """The exception for a host that could not be connected to.

    Args:
        verdict: what it calls for.
        endpoint: the host.
        text: what the driver told.
    """
    refusal, public = verdict
    return Refused(refusal, public(f"{endpoint} could not be connected to: {text}{_ADVICE.get(public, '')}"))


def hosts_for(role: Role, topology: Topology, turn: int) -> tuple[Host, ...]:
    """The hosts that may serve, in the order in which they are to be tried; the writer stands in for its readers.

    Args:
        role: what is wanted.
        topology: what there is.
        turn: how many connections were opened before: readers share them evenly.
    """
    writers = tuple(host for host in topology.hosts if host.role is Role.WRITER)
    readers = topology.readers
    if role is Role.WRITER or not readers:
        return writers
    start = turn % len(readers)
    return (*readers[start:], *readers[:start], *writers)
