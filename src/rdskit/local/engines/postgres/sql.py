"""Run the local RDS's own SQL on PostgreSQL. The only module of the local RDS that imports psycopg."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import pq
from psycopg import sql as composed

from rdskit.local.engines.session import TIMEOUT, Account, Record, Row, ServerSession, SessionLost, StatementRefused

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint

READ_ONLY = "25006"  # read_only_sql_transaction

# Options of a superuser's session in a database that the master user owns. They override settings of the database
# (ALTER DATABASE … SET). Otherwise the user could set a search_path in which a function of the user's replaces a
# built-in one, and the superuser would run it.
SUPERVISOR = (
    "-c search_path=pg_catalog,pg_temp -c role=none -c default_transaction_read_only=off -c statement_timeout=0"
)

_SUCCESS = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class PostgresSession(ServerSession):
    """Session with PostgreSQL. Parameters are marked ``$1``, ``$2`` and so on."""

    def __init__(self, connection: psycopg.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    @classmethod
    def open(
        cls,
        address: Endpoint,
        account: Account,
        database: str = "postgres",
        *,
        timeout: float = TIMEOUT,
        ca: Path | None = None,
        settings: str = "",
    ) -> Self:
        """Log in to a server or through an endpoint.

        Args:
            address: the server's or the endpoint's.
            account: the user who logs in.
            database: name of the database.
            timeout: seconds for the connection and the login together.
            ca: certificate authority that must have signed the server's certificate; None connects without TLS.
            settings: options of the server for this session, such as :data:`SUPERVISOR`.

        Raises:
            SessionLost: no login before the deadline, or it was refused.
        """
        try:
            connection = psycopg.Connection.connect(
                host=address.host,
                port=address.port,
                user=account.user,
                password=account.password,
                dbname=database,
                application_name="rdsadmin",
                options=settings,
                autocommit=True,
                # libpq takes whole seconds; 0 would mean no limit.
                connect_timeout=max(1, round(timeout)),
                gssencmode="disable",
                sslmode="verify-full" if ca else "disable",
                sslrootcert=str(ca) if ca else None,
            )
        except psycopg.OperationalError as error:
            raise SessionLost(f"{account.user} cannot log in to {database} at {address}: {error}") from error
        return cls(connection, f"{database} at {address}")

    def send(self, sql: str, *parameters: str | float | None) -> None:
        """Send one statement without waiting for its answer, which :meth:`receive` reads.

        Raises:
            SessionLost: the connection has ended.
        """
        values = [None if value is None else str(value).encode() for value in parameters]
        try:
            # libpq's asynchronous interface below psycopg's: psycopg's own execute() has no deadline.
            self._connection.pgconn.send_query_params(sql.encode(), values)
        except psycopg.OperationalError as error:
            raise SessionLost(f"{self._name}: {error}") from error

    def answered(self) -> bool:
        """Return whether the answer has arrived, without waiting for it.

        Raises:
            SessionLost: the connection has ended.
        """
        connection = self._connection.pgconn
        try:
            connection.consume_input()
            return not connection.is_busy()
        except (psycopg.OperationalError, OSError) as error:
            self.close()
            raise SessionLost(f"{self._name}: {error}") from error

    def receive(self, timeout: float = TIMEOUT) -> list[Row]:
        """Read the answer to the statement that was sent; raises as :meth:`execute` does."""
        result = self._checked_result(timeout)
        return [_row(result, number) for number in range(result.ntuples)]

    def receive_records(self, timeout: float = TIMEOUT) -> list[Record]:
        """Read the answer with each row by column name; raises as :meth:`execute` does."""
        result = self._checked_result(timeout)
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        return [dict(zip(names, _row(result, number), strict=True)) for number in range(result.ntuples)]

    def verifier(self, account: Account) -> str:
        """Return the SCRAM verifier of a password, so that no statement and no server log has the password."""
        made = self._connection.pgconn.encrypt_password(
            account.password.encode(), account.user.encode(), b"scram-sha-256"
        )
        return made.decode()

    def identifier(self, name: str) -> str:
        """Return a name quoted for use in a statement."""
        return composed.Identifier(name).as_string(self._connection)

    def literal(self, text: str) -> str:
        """Return a text quoted for use in a statement that takes no parameters."""
        return composed.Literal(text).as_string(self._connection)

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for data or for the end of the connection."""
        return self._connection.fileno()

    @property
    def usable(self) -> bool:
        """Whether another statement may be sent."""
        return not self._connection.closed

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()

    def _checked_result(self, timeout: float) -> pq.abc.PGresult:
        result = self._result(time.monotonic() + timeout)
        if result.status in _SUCCESS:
            return result
        sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message).decode()
        # Errors without a SQLSTATE are libpq's own: the connection broke.
        if not sqlstate:
            raise SessionLost(f"{self._name}: {message.strip()}")
        raise StatementRefused(f"{self._name}: {message} ({sqlstate})", sqlstate)

    def _result(self, deadline: float) -> pq.abc.PGresult:
        connection = self._connection.pgconn
        last = None
        try:
            while True:
                self._await_answer(deadline)
                # libpq returns results until None, which ends the query. Only then may the next statement be sent.
                result = connection.get_result()
                if result is None:
                    break
                last = result
        except (psycopg.OperationalError, OSError) as error:
            self.close()
            raise SessionLost(f"{self._name}: {error}") from error
        if last is None:
            raise SessionLost(f"{self._name}: no statement was sent")
        return last

    def _await_answer(self, deadline: float) -> None:
        connection = self._connection.pgconn
        poller = select.poll()
        poller.register(connection.socket, select.POLLIN)
        while connection.is_busy():
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("no answer before the deadline")
            connection.consume_input()


def _row(result: pq.abc.PGresult, number: int) -> Row:
    values = (result.get_value(number, column) for column in range(result.nfields))
    return tuple(None if value is None else value.decode() for value in values)
