"""Connect to Oracle and SQL Server: the URL names the host, rdskit provides the login and TLS.

Neither engine runs on a developer's machine without a license, so nothing here was tested with a real server. The
drivers' arguments and the meaning of their errors are tested.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import EnvironmentCredentials, choose_credentials, log_in_here, retry_while_away, tls_context
from rdskit.errors import ConfigError
from rdskit.integrations.sqlalchemy.connect_errors import as_driver_error
from rdskit.integrations.sqlalchemy.driver_errors import reported_by
from rdskit.integrations.sqlalchemy.policy import connect_error_of
from rdskit.integrations.sqlalchemy.sync_bridge import waiting_for
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine, Target
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from rdskit.integrations.sqlalchemy.settings import Settings
    from rdskit.kernel.ports import Credentials, Login

_VARIABLES: Final = {"oracle": ("ORACLE_USER", "ORACLE_PASSWORD"), "mssql": ("MSSQL_USER", "MSSQL_PASSWORD")}
_PORTS: Final = {"oracle": 1521, "mssql": 1433}
_TLS_PORT_OF_ORACLE: Final = 2484  # RDS User Guide, "Configuring the SSL option": chosen by the option, this by default
_ODBC_LOGIN: Final = re.compile(r"(?:^|;)(?:UID|PWD|Trusted_Connection)=(?:\{(?:[^}]|\}\})*\}|[^;]*)", re.IGNORECASE)


class OracleMssqlConnector:
    """Open connections of one SQLAlchemy engine to Oracle or SQL Server.

    Args:
        url: the URL, without the plugin's keys in its query.
        settings: the engine's settings.

    Raises:
        ConfigError: an option has no meaning for this engine.
    """

    def __init__(self, url: URL, settings: Settings) -> None:
        if settings.target is not None or not url.host:
            raise ConfigError(f"{url.get_backend_name()} is reached by a host in the SQLAlchemy URL, not by target=")
        if settings.credentials == "iam":
            raise ConfigError(f"RDS for {url.get_backend_name()} has no IAM tokens: use 'secretsmanager:ID' or 'env'")
        self._url = url
        self._settings = settings
        self._endpoint = Endpoint(url.host, url.port or _PORTS[url.get_backend_name()])
        self._credentials = _credentials(url, settings)

    def connect(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection; retry until ``timeout`` while the host is unreachable.

        Raises:
            RdskitError: the credentials or AWS failed.
            Exception: the driver's error.
        """
        waiting = waiting_for(dialect)

        def opening(login: Login) -> DBAPIConnection:
            return self._open(dialect, given, arguments, login)

        def attempt(_left: float) -> DBAPIConnection:
            return log_in_here(opening, self._credentials, self._endpoint, self._settings.connect_timeout, waiting)

        try:
            return retry_while_away(attempt, self._settings.timeout, waiting)
        except DriverError as refused:
            raise as_driver_error(dialect, refused) from refused.__cause__

    def _open(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any], login: Login) -> DBAPIConnection:
        positional, named = driver_arguments(dialect.driver, self._url, self._settings, login, given, arguments)
        try:
            return dialect.connect(*positional, **named)
        except Exception as error:
            raise connect_error_of(reported_by(error, dialect), self._endpoint, login.user) from error


def driver_arguments(
    driver: str, url: URL, settings: Settings, login: Login, given: list[Any], arguments: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and named arguments for a driver's ``connect``.

    Args:
        driver: ``oracledb``, ``oracledb_async``, ``pyodbc`` or ``pymssql``.
        url: the engine's URL.
        settings: the engine's settings.
        login: user and password.
        given: the dialect's positional arguments for the URL.
        arguments: the dialect's named arguments for the URL.

    Raises:
        ConfigError: the driver is not supported, or does not support this value of ``tls=``.
    """
    if driver.startswith("oracledb"):
        return given, _oracle(url, settings, login, arguments)
    if driver == "pyodbc":
        return [_odbc(str(given[0]), settings, login), *given[1:]], arguments
    if driver == "pymssql":
        return given, arguments | _pymssql(settings) | {"user": login.user, "password": login.password}
    raise ConfigError(f"rdskit does not know the driver {driver!r}; use oracledb, pyodbc or pymssql")


def _oracle(url: URL, settings: Settings, login: Login, arguments: dict[str, Any]) -> dict[str, Any]:
    context = tls_context(settings.tls, settings.ca)
    found = arguments | {"user": login.user, "password": login.password}
    if context is None:
        return found
    # The dialect's DSN has the plain TCP protocol in it. For TLS the arguments are built from the URL instead.
    found.pop("dsn", None)
    service = url.query.get("service_name")
    named = {"service_name": service} if service else {"sid": url.database}
    secure = {"protocol": "tcps", "ssl_context": context, "ssl_server_dn_match": settings.tls == "verify-full"}
    return found | named | secure | {"host": url.host, "port": url.port or _TLS_PORT_OF_ORACLE}


def _odbc(text: str, settings: Settings, login: Login) -> str:
    """Return the ODBC connection string with login and TLS; the CA certificates are the system's (see the docs)."""
    encrypt, trust = {"verify-full": ("yes", "no"), "require": ("yes", "yes"), "off": ("no", "no")}[settings.tls]
    parts = [_ODBC_LOGIN.sub("", text), f"UID={_braced(login.user)}", f"PWD={_braced(login.password or '')}"]
    return ";".join([*parts, f"Encrypt={encrypt}", f"TrustServerCertificate={trust}"])


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


def _pymssql(settings: Settings) -> dict[str, str]:
    if settings.tls == "verify-full":
        raise ConfigError(
            "pymssql cannot verify a certificate: use pyodbc, or tls='require' to encrypt without verification"
        )
    return {"encryption": "require" if settings.tls == "require" else "off"}


def _credentials(url: URL, settings: Settings) -> Credentials:
    target = Target(user=url.username, password=None if url.password is None else str(url.password))
    option = settings.credentials
    if option == "env" or (option is None and not (target.user and target.password is not None)):
        return EnvironmentCredentials(target.user, _VARIABLES[url.get_backend_name()])
    return choose_credentials(option, target, Engine.MYSQL, TaskOwner(f"credentials of process {os.getpid()}"))
