"""The local RDS's own SQL for MySQL and MariaDB: the only module that knows PyMySQL."""

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

#: Without decoders, so that each value stays in the server's text form.
_ENCODERS: dict[Any, Any] = dict(encoders)
_CLIENT_ERRORS = range(CR.CR_ERROR_FIRST, CR.CR_ERROR_LAST + 1)
#: The server says these as it closes the connection: the shutdown, a KILL, and the one that it did not announce.
_CONNECTION_CLOSED = (ER.SERVER_SHUTDOWN, 1927, 3169)


class ServerRefused(StatementRefused):
    """The server answered with an error.

    Attributes:
        errno: MySQL's own error number.
    """

    def __init__(self, message: str, sqlstate: str, errno: int) -> None:
        super().__init__(message, sqlstate)
        self.errno = errno


class _Wire(Connection):
    """PyMySQL's connection, with the two halves of a query apart."""

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
    """A session with MySQL or MariaDB; parameters are marked ``%s``, and without any ``%`` is itself."""

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
        """Log in.

        Args:
            address: the server's or the endpoint's.
            account: who logs in.
            database: the default one; None has none.
            timeout: seconds for the connection, and again for the login.
            ca: certificate authority that the server must prove itself by; None connects without TLS.

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
                # What a user sets for everybody must not change how our own texts are quoted.
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
        """Send one statement without waiting for its answer, which :meth:`receive` fetches.

        Raises:
            SessionLost: the connection has ended.
        """
        text = sql % tuple(map(self._connection.escape, parameters)) if parameters else sql
        try:
            self._connection.send(text)
        except pymysql.Error as error:
            raise SessionLost(f"{self._name}: {_text(error)}") from error

    def answered(self) -> bool:
        """Whether the answer to what was sent is there, or the connection ended, without waiting for it."""
        return not self.usable or self._readable(0.0)

    def receive(self, timeout: float = TIMEOUT) -> list[Row]:
        """The answer to what was sent; raises as :meth:`execute` does."""
        return [_row(row) for row in self._result(timeout).rows or ()]

    def receive_records(self, timeout: float = TIMEOUT) -> list[Record]:
        """The answer to what was sent, each row by column name; raises as :meth:`execute` does."""
        result = self._result(timeout)
        names = [field.name for field in result.fields or ()]
        return [dict(zip(names, _row(row), strict=True)) for row in result.rows or ()]

    def identifier(self, name: str) -> str:
        """A name quoted for use in a statement."""
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        """A text quoted for use in a statement that takes no parameters."""
        return literal(text)

    def fileno(self) -> int:
        """The socket, to wait for the server's end of it."""
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
                self.close()
                raise SessionLost(f"{self._name}: no answer before the deadline")
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
    """A text quoted for use in a statement."""
    return f"'{escape_string(text)}'"


def _row(values: tuple[Any, ...]) -> Row:
    return tuple(value.decode(errors="replace") if isinstance(value, bytes) else value for value in values)


def _text(error: pymysql.Error) -> str:
    return f"{error.args[1]} ({error.args[0]})" if len(error.args) > 1 else str(error)
