"""The dialect of the PostgreSQL backend, for psycopg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from rdskit.client.api import tls_arguments
from rdskit.integrations.django.dialects import is_readable
from rdskit.kernel import sql
from rdskit.kernel.answers import meaning_of_sqlstate
from rdskit.kernel.connect_errors import problem_in_words
from rdskit.kernel.failures import Failure
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.integrations.django.settings import DatabaseSettings
    from rdskit.kernel.connect_errors import Problem


class Psycopg:
    """The dialect of PostgreSQL."""

    engines: ClassVar[frozenset[Engine]] = frozenset({Engine.POSTGRES})
    sql: ClassVar[sql.Dialect] = sql.Dialect.POSTGRES
    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg.Error,)

    def arguments(self, settings: DatabaseSettings) -> dict[str, Any]:
        """Return psycopg's arguments for TLS and timeouts; libpq rounds to whole seconds, with a minimum of 2."""
        timeout = max(2, round(settings.connect_timeout))
        tls = tls_arguments("psycopg", settings.tls, settings.ca, cleartext_password=settings.sends_password)
        return {"connect_timeout": timeout, **tls}

    def open(
        self,
        opening: Callable[[dict[str, Any]], Any],
        arguments: dict[str, Any],
        settings: DatabaseSettings,  # noqa: ARG002 - libpq has a limit of its own
    ) -> Any:
        """Let Django open a connection; libpq's ``connect_timeout`` covers the login."""
        return opening(arguments)

    def run_first_query(self, connection: Any) -> None:
        """Run an empty query and await its response."""
        connection.execute("")
        connection.rollback()

    def problem(self, error: Exception) -> Problem:
        """Decide by the message: libpq reports no SQLSTATE for a failed connection."""
        return problem_in_words(str(error))

    def spoils(self, connection: Any, error: BaseException) -> bool:
        """Decide by the SQLSTATE; 25006 counts only if the host refuses all writes, not for a read-only transaction."""
        failure = meaning_of_sqlstate(getattr(error, "sqlstate", None) or "").failure
        if failure is Failure.READ_ONLY:
            reported = (_reported(connection, "in_hot_standby"), _reported(connection, "default_transaction_read_only"))
            return "on" in reported
        return failure is Failure.LOST

    def as_lost(self, error: BaseException) -> BaseException:
        """Return the error unchanged: psycopg raises an ``OperationalError`` by itself."""
        return error

    def role(self, connection: Any) -> Role | None:
        """Return the role; PostgreSQL ≥ 14 reports ``in_hot_standby`` unasked, so this needs no round trip."""
        standby = _reported(connection, "in_hot_standby")
        return None if standby is None else Role.READER if standby == "on" else Role.WRITER

    def descriptor(self, connection: Any) -> int:
        """Return the descriptor of libpq's socket."""
        return int(connection.fileno())

    def is_gone(self, connection: Any) -> bool:
        """Return whether it is closed, or does not respond after the server has sent something unasked."""
        return bool(connection.closed) or (is_readable(self.descriptor(connection)) and not _answers(connection))


def _reported(connection: psycopg.Connection[Any], name: str) -> str | None:
    """Return the value of a setting that PostgreSQL reports unasked whenever it changes."""
    return None if connection.closed else connection.info.parameter_status(name)


def _answers(connection: psycopg.Connection[Any]) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except psycopg.Error:
        return False
    return True
