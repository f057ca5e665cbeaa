"""Open plain driver connections with rdskit's targets, credentials and TLS: ``rdskit.dbapi_connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import (
    TLS_NAMES,
    Destination,
    Search,
    check_credentials,
    check_plain_types,
    may_send_password,
    tls_arguments,
)
from rdskit.drivers.dbapi import PlainOptions, plain_driver
from rdskit.errors import ConfigError
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine, parse_target
from rdskit.kernel.topology import Role
from rdskit.runtime.background import wait
from rdskit.runtime.waiting import ThreadWaiting

if TYPE_CHECKING:
    import os

    from rdskit.client.api import Iam, Located
    from rdskit.kernel.choices import TlsMode
    from rdskit.kernel.ports import Credentials

_OURS: Final = frozenset({"host", "port", "user", "password", "passwd", "database", "dbname", "db", "conninfo"})


def dbapi_connect(
    target: str,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: TlsMode = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    cleartext_password: bool = False,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
    **options: Any,
) -> Any:
    """Open a plain psycopg or PyMySQL connection to the current writer.

    The result is the driver's own connection: its calls do not pass through rdskit, and it does not follow a failover.
    After one, open another connection; this function waits for the new writer.

    Args:
        target: as for ``rdskit.connect``; its engine determines the driver.
        credentials: as for ``rdskit.connect``.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        cleartext_password: as for ``rdskit.connect``.
        timeout: seconds until a writer must have answered.
        connect_timeout: seconds for one attempt.
        application_name: name of the connection in the server's views.
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
    clear = may_send_password(credentials, allowed=cleartext_password)
    arguments = tls_arguments("psycopg" if postgres else "pymysql", tls, ca, cleartext_password=clear)
    driver = plain_driver(
        PlainOptions(arguments, application_name, options, cleartext_password=clear), postgres=postgres
    )
    search = Search(destination, Role.WRITER, timeout, connect_timeout)
    try:
        return search.connect(driver, ThreadWaiting(), check=_any_engine)
    except DriverError as error:
        raise error.public from error.__cause__


def _any_engine(_located: Located) -> None:
    """Accept every engine, because the driver was chosen for it."""


def _refuse_ours(options: dict[str, Any]) -> None:
    for name in options:
        if name in _OURS:
            raise ConfigError(f"{name}= comes from the target and its credentials: leave it out")
        if name in TLS_NAMES:
            raise ConfigError(f"{name}= is set by tls= and ca=: leave it out")
