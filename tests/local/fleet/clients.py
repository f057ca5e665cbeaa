"""Connect to the fleet's endpoints as an application does: one interface for all engines, every server verified."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol, Self

import psycopg
import pymysql
from psycopg.conninfo import make_conninfo
from pymysql.connections import Connection as MySQLConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from rdskit.kernel.endpoints import Endpoint

PASSWORD = "a password with 'quotes'"
USER = "shop_admin"
#: A connection that ended, or was never made.
LOST = (psycopg.OperationalError, pymysql.err.OperationalError, pymysql.err.InterfaceError)


class Client(Protocol):
    """Connection in autocommit mode."""

    def execute(self, sql: Any, parameters: Sequence[Any] = (), /) -> Any: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class _MySQLClient(MySQLConnection):
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        cursor = self.cursor()
        cursor.execute(sql, parameters or None)
        return cursor


def connect_postgres(endpoint: Endpoint, ca: Path, *, password: str = PASSWORD, **options: str) -> psycopg.Connection:
    """Log in as the master user of a PostgreSQL instance."""
    settings = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "user": USER,
        "password": password,
        "dbname": "shop",
        "sslmode": "verify-full",
        "sslrootcert": str(ca),
        "gssencmode": "disable",
        "connect_timeout": "5",
        **options,
    }
    return psycopg.connect(make_conninfo(**settings), autocommit=True)


def connect_mysql(endpoint: Endpoint, ca: Path | None, *, password: str = PASSWORD, **options: Any) -> _MySQLClient:
    """Log in as the master user of a MySQL or MariaDB instance; without a certificate authority, without TLS."""
    settings: dict[str, Any] = {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": USER,
        "password": password,
        "database": "shop",
        "autocommit": True,
        "connect_timeout": 5,
        "ssl_ca": str(ca) if ca else None,
        "ssl_verify_cert": ca is not None,
        "ssl_verify_identity": ca is not None,
        "ssl_disabled": ca is None,
        **options,
    }
    return _MySQLClient(**settings)


class Writer:
    """Thread that inserts numbered rows as fast as it can, reconnects, and remembers what was acknowledged."""

    def __init__(self, connect: Callable[[], Client], number: int) -> None:
        self.acknowledged: set[tuple[int, int]] = set()
        self._connect = connect
        self._number = number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        count = 0
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    while not self._stop.is_set():
                        count += 1
                        connection.execute("insert into written values (%s, %s)", (self._number, count))
                        self.acknowledged.add((self._number, count))
            except LOST:
                self._stop.wait(0.005)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
