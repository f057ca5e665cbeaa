"""Run the local RDS's own SQL on MySQL and MariaDB. The only module of the local RDS that imports PyMySQL."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any, Self

import pymysql
from pymysql.connections import Connection
from pymysql.constants import COMMAND, CR, ER
from pymysql.converters import encoders, escape_string

from rdskit.local.engines.session import TIMEOUT, Account, Record, Row, ServerSession, SessionLost, StatementRefused

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint

#: Encoders without decoders, so that each value stays in the server's text form.
_ENCODERS: dict[Any, Any] = dict(encoders)
_CLIENT_ERRORS = range(CR.CR_ERROR_FIRST, CR.CR_ERROR_LAST + 1)
#: Errors that a server sends when it closes the connection: shutdown, MariaDB's KILL (1927), and MySQL's KILL (3169).
_CONNECTION_CLOSED = (ER.SERVER_SHUTDOWN, 1927, 3169)


class ServerRefused(StatementRefused):
    """Error that the server answered with.

    Attributes:
        errno: MySQL's own error number.
    """

    def __init__(self, message: str, sqlstate: str, errno: int) -> None:
        super().__init__(message, sqlstate)
        self.errno = errno


class _Wire(Connection):
    """PyMySQL's connection, with sending and receiving of a query separated."""

    # What its published types leave out.
    _sock: socket.socket
    _result: Any
    _read_timeout: float
    _execute_command: Callable[[int, str], None]
    _read_query_result: Callable[[], int]

    def send(self, sql: str) -> None:
        self._execute_command(COMMAND.COM_QUERY, sql)

    def receive(self, timeout: float) -> Any:
        self._read_timeout = timeout
        self._read_query_result()
        return self._result

    def fileno(self) -> int:
        return self._sock.fileno()


class MySQLSession(ServerSession):
    """Session with MySQL or MariaDB. Parameters are marked ``%s``; without parameters ``%`` stands for itself."""

    def __init__(self, connection: _Wire, name: str) -> None:
        self._connection = connection
        self._name = name

    @classmethod
    def open(
        cls,
        address: Endpoint,
        account: Account,
        database: str | None = None,
        *,
        timeout: float = TIMEOUT,
        ca: Path | None = None,
    ) -> Self:
        """Log in to a server or through an endpoint.

        Args:
            address: the server's or the endpoint's.
            account: the user who logs in.
            database: the default one; None sets none.
            timeout: seconds for the connection, and again for the login.
            ca: certificate authority that must have signed the server's certificate; None connects without TLS.

        Raises:
            SessionLost: no login before the deadline, or it was refused.
        """
        try:
            connection = _Wire(
                host=address.host,
                port=address.port,
                user=account.user,
                password=account.password,
                database=database,
                charset="utf8mb4",
                conv=_ENCODERS,
                autocommit=True,
                connect_timeout=timeout,
                read_timeout=timeout,
                write_timeout=timeout,
                program_name="rdsadmin",
                # A user may set ANSI_QUOTES or NO_BACKSLASH_ESCAPES globally, which would change how literals are
                # quoted.
                sql_mode="STRICT_TRANS_TABLES",
                ssl_disabled=ca is None,
                ssl_ca=str(ca) if ca else None,
                ssl_verify_identity=ca is not None,
                ssl_verify_cert=ca is not None,
            )
        except pymysql.Error as error:
            raise SessionLost(f"{account.user} cannot log in at {address}: {_text(error)}") from error
        return cls(connection, str(address))

    def send(self, sql: str, *parameters: str | float | None) -> None:
        """Send one statement without waiting for its answer, which :meth:`receive` reads.

        Raises:
            SessionLost: the connection has ended.
        """
        text = sql % tuple(map(self._connection.escape, parameters)) if parameters else sql
        try:
            self._connection.send(text)
        except pymysql.Error as error:
            raise SessionLost(f"{self._name}: {_text(error)}") from error

    def answered(self) -> bool:
        """Return whether the answer has arrived or the connection has ended, without waiting."""
        return not self.usable or self._readable(0.0)

    def receive(self, timeout: float = TIMEOUT) -> list[Row]:
        """Read the answer to the statement that was sent; raises as :meth:`execute` does."""
        return [_row(row) for row in self._result(timeout).rows or ()]

    def receive_records(self, timeout: float = TIMEOUT) -> list[Record]:
        """Read the answer with each row by column name; raises as :meth:`execute` does."""
        result = self._result(timeout)
        names = [field.name for field in result.fields or ()]
        return [dict(zip(names, _row(row), strict=True)) for row in result.rows or ()]

    def identifier(self, name: str) -> str:
        """Return a name quoted for use in a statement."""
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        """Return a text quoted for use in a statement that takes no parameters."""
        return literal(text)

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for data or for the end of the connection."""
        return self._connection.fileno()

    @property
    def usable(self) -> bool:
        """Whether another statement may be sent."""
        return bool(self._connection.open)

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        if self.usable:
            self._connection.close()

    def _result(self, timeout: float) -> Any:
        if not self.usable:
            raise SessionLost(f"{self._name}: the connection is closed")
        deadline = time.monotonic() + timeout
        try:
            if not self._readable(timeout):
                # The answer may still arrive. A later statement would read it as its own, so the session ends.
                self.close()
                raise SessionLost(f"{self._name}: no answer before the deadline")
            # The first bytes have arrived. The rest gets what is left of the deadline, since PyMySQL's time-out is per
            # read.
            return self._connection.receive(max(0.001, deadline - time.monotonic()))
        except pymysql.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: pymysql.Error) -> SessionLost | ServerRefused:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number == 0 or number in _CLIENT_ERRORS or number in _CONNECTION_CLOSED:
            self.close()
            return SessionLost(f"{self._name}: {_text(error)}")
        return ServerRefused(f"{self._name}: {_text(error)}", getattr(error, "sqlstate", None) or "", number)

    def _readable(self, timeout: float) -> bool:
        poller = select.poll()
        poller.register(self._connection.fileno(), select.POLLIN)
        return bool(poller.poll(timeout * 1000))


def literal(text: str) -> str:
    """Return a text quoted for use in a statement."""
    return f"'{escape_string(text)}'"


def _row(values: tuple[Any, ...]) -> Row:
    return tuple(value.decode(errors="replace") if isinstance(value, bytes) else value for value in values)


def _text(error: pymysql.Error) -> str:
    return f"{error.args[1]} ({error.args[0]})" if len(error.args) > 1 else str(error)
