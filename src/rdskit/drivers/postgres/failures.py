"""Classify asyncpg's errors, and write the public errors for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg

from rdskit.drivers.connect_errors import error_text, refused_by_network, unknown_database
from rdskit.errors import (
    ConfigError,
    FailoverError,
    QueryError,
    QueryTimeout,
    ResultError,
    SerializationError,
    StatementError,
)
from rdskit.kernel.answers import meaning_of_sqlstate
from rdskit.kernel.connect_errors import NO_TLS, TLS_DEMANDED, connect_error, problem_by_sqlstate
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import argument_words, escaped, postgres_words
from rdskit.kernel.session_settings import setting_refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.kernel.ports import ConnectOptions, Login

#: Errors that a call may raise, besides those of decoders.
ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
#: The refusal of a connection without TLS by pg_hba.conf, as on RDS with rds.force_ssl; "SSL off" before 12.
_NO_ENCRYPTION = re.compile(r"pg_hba\.conf (entry|rejects) .*(no encryption|SSL off)")
#: A prepared statement of this session is missing, or exists before the session has created it.
_STATEMENT_LOST = frozenset({"26000", "42P05"})
_POOLER = (
    "another session answered than the one that prepared it; behind pgbouncer in transaction mode, or another pooler "
    "that changes sessions, pass pinning='avoid' to rdskit.connect"
)
_UNKNOWN_DATABASE: Final = "3D000"  # SQLSTATE
#: Unknown parameter; invalid value; no privilege; not possible now; not supported; invalid name.
_SETTING_REFUSED: Final = frozenset({"42704", "22023", "42501", "55P02", "0A000", "42602"})  # SQLSTATE
#: Types whose values contain no text, so that decoding them as UTF-8 cannot fail.
_NO_TEXTS: Final = frozenset(
    {
        *("bool", "bytea", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "inet", "cidr"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb"),
    }
)
_ARGUMENT: Final = re.compile(r"query argument \$(\d+)(?: in element #(\d+))?")


def mapped(error: Exception, text: str, endpoint: object) -> DriverError:
    """Return the error for a running call that failed."""
    if isinstance(error, asyncpg.DataError | asyncpg.InterfaceError) and (wrong := unsuitable(error)):
        return DriverError(Failure.REFUSED, StatementError(wrong))
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return _mapped_answer(error, error.sqlstate, endpoint)
    if isinstance(error, TimeoutError):
        return DriverError(
            Failure.TIMEOUT, QueryTimeout(f"{endpoint} did not answer before the deadline: {_brief(text)}")
        )
    if isinstance(error, asyncpg.DataError | asyncpg.InterfaceError) and not isinstance(
        error, asyncpg.InternalClientError
    ):
        return _mapped_interface(error, endpoint)
    if isinstance(error, OSError | asyncpg.InternalClientError | asyncpg.PostgresError):
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, QueryError(f"{type(error).__name__}: {error_text(error)}"))


def unsuitable(error: Exception) -> str | None:
    """Return which argument asyncpg cannot encode, without its value (asyncpg's own message has it); None if none."""
    found, reason = _ARGUMENT.search(str(error)), error.__cause__
    if found is None or reason is None:  # an error of the server's, not of an encoder
        return None
    number = f" of parameter set {int(found[2]) + 1}" if found[2] else ""
    return f"argument {found[1]}{number} cannot be sent: {_encoder_reason(reason)}"


def _encoder_reason(error: BaseException) -> str:
    if isinstance(error, AttributeError):  # an encoder used an attribute that only values of its type have
        return f"a value of type {type(error.obj).__name__} does not fit"
    return error_text(error)


class Unsuitable(NamedTuple):
    """A parameter set that asyncpg cannot encode.

    Attributes:
        number: of the set among those sent together, from 1.
        reason: what is wrong.
    """

    number: int
    reason: str


def unsuitable_element(error: Exception) -> Unsuitable | None:
    """Return which of several parameter sets asyncpg cannot encode; None if the server refused one."""
    found, reason = _ARGUMENT.search(str(error)), error.__cause__
    return None if found is None or reason is None else Unsuitable(int(found[2] or 0) + 1, _encoder_reason(reason))


def unreadable(error: Exception, statement: Any, *, wrote: bool) -> DriverError:
    """Return the error for a statement that ran, and whose result asyncpg could not read.

    Args:
        error: what asyncpg raised; its text may contain the value and is not repeated.
        statement: asyncpg's prepared statement.
        wrote: whether it may have changed something.
    """
    columns = [(each.name, each.type.name) for each in statement.get_attributes()]
    named = [(name, kind) for name, kind in columns if f"type {kind} (" in str(error)]
    if isinstance(error, UnicodeDecodeError):
        named = [(name, kind) for name, kind in columns if kind not in _NO_TEXTS]
    return _unread(named or columns, error, wrote=wrote)


def undecoded(unread: Sequence[tuple[str, str, Exception]], *, wrote: bool) -> DriverError:
    """Return the error for a statement that ran, and whose result some codecs could not read.

    Args:
        unread: name, type and reason of each of these columns.
        wrote: whether the statement may have changed something.
    """
    return _unread([(name, kind) for name, kind, _ in unread], unread[0][2], wrote=wrote)


def _unread(columns: Sequence[tuple[str, str]], error: Exception, *, wrote: bool) -> DriverError:
    effect = "the statement took effect, but its result cannot be read" if wrote else "the result cannot be read"
    shown = " or ".join(f"{name!r} ({kind})" for name, kind in columns)
    message = f"{effect}: {type(error).__name__} in column {shown}; select it as text: column::text"
    return DriverError(Failure.REFUSED, ResultError(message))


def cancelled(error: asyncpg.QueryCanceledError, endpoint: object) -> DriverError:
    """Return the error for a statement that the server cancelled at its deadline, and undid."""
    message = f"{endpoint} did not finish before the deadline: the server cancelled the statement and undid it"
    return DriverError(Failure.REFUSED, QueryTimeout(f"{message} [SQLSTATE 57014]", sqlstate=error.sqlstate))


def answered_late(endpoint: object) -> DriverError:
    """Return the error for a statement that completed although the server had been asked to cancel it.

    Its success is no promise. A commit that waits for a synchronous standby completes like this when it is cancelled,
    and only the local server has it then (PostgreSQL manual, "Synchronous Replication").
    """
    message = f"{endpoint} answered after the deadline, when it had been asked to cancel the statement"
    return DriverError(Failure.TIMEOUT, QueryTimeout(message))


def schema_changed(error: Exception) -> DriverError:
    """Return the error for a transaction whose statement was prepared before a table or type changed."""
    message = (
        "a table or type has changed since this statement was prepared, so the transaction was undone; "
        f"run it again (db.run does so by itself): {error_text(error)}"
    )
    return DriverError(Failure.CONFLICT, SerializationError(message, sqlstate=getattr(error, "sqlstate", None)))


def _mapped_answer(error: asyncpg.PostgresError, sqlstate: str, endpoint: object) -> DriverError:
    failure, public = meaning_of_sqlstate(sqlstate, str(error.args[0]))
    if not issubclass(public, QueryError):
        return _lost(error, endpoint)
    if sqlstate in _STATEMENT_LOST:  # asyncpg's own hint names options that rdskit does not have
        words = f"{escaped(str(error.args[0]))}: {_POOLER}"
    else:
        hint: str | None = getattr(error, "hint", None)
        words = postgres_words(sqlstate, str(error.args[0]), getattr(error, "detail", None), hint)
    return DriverError(failure, public(f"{words} [SQLSTATE {sqlstate}]", sqlstate=sqlstate))


def _mapped_interface(error: Exception, endpoint: object) -> DriverError:
    # asyncpg says "connection is closed" and "underlying connection is closed" with the same class as a wrong argument.
    if "closed" in str(error):
        return _lost(error, endpoint)
    return DriverError(Failure.REFUSED, StatementError(argument_words(str(error))))


def _lost(error: Exception, endpoint: object) -> DriverError:
    return DriverError(Failure.LOST, FailoverError(f"connection to {endpoint} was lost: {error_text(error)}"))


def refused(error: Exception, options: ConnectOptions, login: Login) -> DriverError:
    """Return the error for a failed connection attempt; ``LOST`` is worth another attempt, ``REFUSED`` is not."""
    endpoint = options.endpoint
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        if error.sqlstate == _UNKNOWN_DATABASE:
            return unknown_database(options, login)
        words = escaped(str(error))
        if any(name.lower() in words.lower() for name, _ in options.settings) and error.sqlstate in _SETTING_REFUSED:
            return setting_refused(endpoint, f"{words} [SQLSTATE {error.sqlstate}]")
        in_the_clear = options.tls is None and not endpoint.is_unix_socket
        demanded = in_the_clear and _NO_ENCRYPTION.search(str(error)) is not None
        problem = TLS_DEMANDED if demanded else problem_by_sqlstate(error.sqlstate)
        return connect_error(problem, endpoint, f"{error} [SQLSTATE {error.sqlstate}]", login.user)
    if "rejected SSL upgrade" in str(error):
        return connect_error(NO_TLS, endpoint, "the server rejected the request for it")
    if isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InternalClientError):
        return refused_by_network(error, options)
    return DriverError(Failure.REFUSED, ConfigError(f"cannot connect to {endpoint}: {error_text(error)}"))


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"  # noqa: PLR2004 - one terminal line
