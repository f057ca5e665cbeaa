"""``rdskit.dbapi_connect``: a plain driver connection, opened our way."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import TLS_NAMES, Destination, check_credentials, check_plain_types, tls_arguments
from rdskit.drivers.dbapi import PlainDriver, PlainOptions, plain_driver
from rdskit.errors import AuthenticationError, ConfigError, NoWriterError
from rdskit.kernel.backoff import CONNECT
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine, parse_target
from rdskit.kernel.topology import Role
from rdskit.sync import wait

if TYPE_CHECKING:
    import os

    from rdskit.client.api import Iam
    from rdskit.kernel.ports import Credentials, Login

_OURS: Final = frozenset({"host", "port", "user", "password", "passwd", "database", "dbname", "db", "conninfo"})


def dbapi_connect(
    target: str,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
    **options: Any,
) -> Any:
    """Open a plain psycopg or PyMySQL connection to the current writer.

    What comes back is the driver's own: no call of it passes through rdskit, and it does not follow a failover. Open
    another one then; this function waits for the new writer.

    Args:
        target: as for ``rdskit.connect``; the engine decides on the driver.
        credentials: as for ``rdskit.connect``.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        timeout: seconds until a writer must have answered.
        connect_timeout: seconds for one attempt.
        application_name: what the server shows for the connection.
        options: further arguments of ``psycopg.connect`` or ``pymysql.connect``.

    Returns:
        ``psycopg.Connection`` or ``pymysql.connections.Connection``.

    Raises:
        ConfigError: an argument is wrong, or the driver is not installed.
        ConnectError: no writer could be reached within ``timeout``; the driver's own exception is the cause.
    """
    check_plain_types(timeout, connect_timeout, application_name, tls, credentials)
    parsed = parse_target(target)
    check_credentials(credentials, encrypted=tls != "off")
    _refuse_ours(options)
    destination = Destination(parsed, credentials)
    located = wait(destination.located())
    postgres = located.engine is Engine.POSTGRES
    arguments = tls_arguments("psycopg" if postgres else "pymysql", tls, ca)
    search = _Search(destination, plain_driver(postgres=postgres), time.monotonic() + timeout, connect_timeout)
    search.rotates = bool(getattr(located.credentials, "rotates", False))
    return search.connect(PlainOptions(located.database, arguments, application_name, options))


class _Search:
    """The search for a writer that answers, until a deadline.

    Attributes:
        rotates: whether the credentials may soon have another password than the one that was refused.
    """

    def __init__(self, destination: Destination, driver: PlainDriver, deadline: float, connect_timeout: float) -> None:
        self._destination = destination
        self._driver = driver
        self._deadline = deadline
        self._connect_timeout = connect_timeout
        self.rotates = False
        self._started = time.monotonic()
        self._failed = False
        self._login: Login | None = None
        self._refused: Login | None = None

    def connect(self, options: PlainOptions) -> Any:
        """Connect to the writer, wherever it is by then."""
        while True:
            try:
                return self._attempt(options)
            except DriverError as error:
                self._consider(error)

    def _left(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self._deadline - time.monotonic())

    def _attempt(self, options: PlainOptions) -> Any:
        """Connect to the host that is said to be the writer, and verify that it is."""
        writer = wait(self._destination.topology(anew=self._failed)).writer
        if writer is None:
            raise DriverError(Failure.LOST, NoWriterError("the topology shows no writer: a failover is under way"))
        self._login = wait(self._destination.login(writer.endpoint, self._refused))
        connection = self._driver.connect(
            writer.endpoint, self._login, options, min(self._connect_timeout, self._left())
        )
        try:
            role = self._driver.role(connection)
        except BaseException:
            connection.close()
            raise
        if role is Role.WRITER:
            return connection
        connection.close()
        message = (
            f"{writer.endpoint} answers as a replica: the failover is not complete, or its name still leads astray"
        )
        raise DriverError(Failure.LOST, NoWriterError(message))

    def _consider(self, error: DriverError) -> None:
        """Return after a pause if another attempt may help; raise what the caller must know otherwise."""
        self._failed = True
        told = error.public
        told.__cause__ = error.__cause__
        nothing_else = self._login == self._refused and not self.rotates
        hopeless = nothing_else if isinstance(told, AuthenticationError) else error.failure is Failure.REFUSED
        if hopeless or not self._left():
            raise told
        if isinstance(told, AuthenticationError):
            self._refused = self._login
        away = time.monotonic() - self._started
        time.sleep(min(self._left(), CONNECT.delay(away, random.random())))  # noqa: S311 - jitter, not a secret


def _refuse_ours(options: dict[str, Any]) -> None:
    for name in options:
        if name in _OURS:
            raise ConfigError(f"{name}= comes from the target and its credentials: leave it out")
        if name in TLS_NAMES:
            raise ConfigError(f"{name}= is what tls= and ca= decide: leave it out")
