"""The dialect of the MySQL and MariaDB backend, for PyMySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import pymysql

from rdskit.client.api import tls_arguments
from rdskit.drivers.dbapi import MYSQL_REFUSES_WRITES
from rdskit.drivers.pymysql_connect import connect_within
from rdskit.integrations.django.dialects import is_readable
from rdskit.kernel import sql
from rdskit.kernel.answers import meaning_of_errno
from rdskit.kernel.connect_errors import problem_by_errno
from rdskit.kernel.failures import Failure
from rdskit.kernel.targets import Engine
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.integrations.django.settings import DatabaseSettings
    from rdskit.kernel.connect_errors import Problem

_READ_ONLY_TRANSACTION: Final = 1792
_CLOSED: Final = (0, "")
_GONE_AWAY: Final = 2006  # CR_SERVER_GONE_ERROR


class PyMySQL:
    """The dialect of MySQL and MariaDB."""

    engines: ClassVar[frozenset[Engine]] = frozenset({Engine.MYSQL, Engine.MARIADB})
    sql: ClassVar[sql.Dialect] = sql.Dialect.MYSQL
    errors: ClassVar[tuple[type[Exception], ...]] = (pymysql.Error, OSError)

    def arguments(self, settings: DatabaseSettings) -> dict[str, Any]:
        """Return PyMySQL's arguments for TLS and timeouts."""
        timeout = max(1, round(settings.connect_timeout))
        tls = tls_arguments("pymysql", settings.tls, settings.ca, cleartext_password=settings.sends_password)
        return {"connect_timeout": timeout, **tls}

    def open(
        self, opening: Callable[[dict[str, Any]], Any], arguments: dict[str, Any], settings: DatabaseSettings
    ) -> Any:
        """Let Django open a connection within a time limit: PyMySQL has none for the login."""
        return connect_within(
            lambda **given: opening(given),
            arguments,
            settings.connect_timeout,
            cleartext_password=settings.sends_password,
        )

    def run_first_query(self, connection: Any) -> None:
        """Ping the server and await its response."""
        connection.ping(reconnect=False)

    def problem(self, error: Exception) -> Problem:
        """Look up the error number; PyMySQL's 2003 may also be a certificate or a name."""
        return problem_by_errno(_number(error), str(error))

    def spoils(self, connection: Any, error: BaseException) -> bool:  # noqa: ARG002 - the number is enough
        """Decide by the error number; 1792 is only a read-only transaction."""
        number = _number(error)
        failure = meaning_of_errno(number, "", str(error)).failure if number else Failure.REFUSED
        return failure is Failure.LOST or (failure is Failure.READ_ONLY and number != _READ_ONLY_TRANSACTION)

    def as_lost(self, error: BaseException) -> BaseException:
        """Return an ``OperationalError`` for ``InterfaceError(0, "")``, PyMySQL's error for a closed connection.

        Django treats an ``InterfaceError`` as misuse, because it is not a ``DatabaseError``.
        """
        if not isinstance(error, pymysql.InterfaceError) or error.args != _CLOSED:
            return error
        lost = pymysql.OperationalError(
            _GONE_AWAY, "the connection was lost before, so its transaction was rolled back: begin it again"
        )
        lost.__cause__ = error
        return lost

    def role(self, connection: Any) -> Role | None:
        """Query the server's read-only settings, in one round trip."""
        with connection.cursor() as cursor:
            cursor.execute(MYSQL_REFUSES_WRITES)
            (read_only,) = cursor.fetchone()
        connection.rollback()
        return Role.READER if read_only else Role.WRITER

    def descriptor(self, connection: Any) -> int:
        """Return the descriptor of PyMySQL's socket."""
        return int(connection._sock.fileno())  # noqa: SLF001 - shown nowhere else

    def is_gone(self, connection: Any) -> bool:
        """Return whether the connection is closed, or the server has sent something, which is always its end."""
        return not connection.open or is_readable(self.descriptor(connection))


def _number(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
