"""Open an engine's connections: find the current host, log in to it, and retry during outages."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.api import Search
from rdskit.errors import ConfigError
from rdskit.integrations.sqlalchemy.connect_errors import as_driver_error
from rdskit.integrations.sqlalchemy.driver_errors import reported_by
from rdskit.integrations.sqlalchemy.drivers import (
    arguments_for,
    common_arguments,
    connect_within_limits,
    role_of,
    run_first_query,
    seconds_in,
    watch_host,
)
from rdskit.integrations.sqlalchemy.policy import connect_error_of
from rdskit.integrations.sqlalchemy.settings import ENGINES
from rdskit.integrations.sqlalchemy.sync_bridge import waiting_for
from rdskit.kernel.ports import DriverError
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from rdskit.client.api import Destination, Located
    from rdskit.integrations.sqlalchemy.settings import Settings
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login
    from rdskit.kernel.topology import Role

T = TypeVar("T")


class Connector:
    """Open connections for one engine.

    Args:
        destination: the target.
        settings: the engine's settings.
        role: the role of the hosts for this engine; without readers the writer serves instead.
    """

    def __init__(self, destination: Destination, settings: Settings, role: Role) -> None:
        self._search = Search(destination, role, settings.timeout, settings.connect_timeout)
        self._settings = settings
        self._common: dict[int, dict[str, Any]] = {}

    def connect(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection; retry until ``timeout`` while hosts are unreachable.

        Raises:
            RdskitError: the target, the credentials or AWS failed.
            Exception: the driver's error, or an ``OperationalError`` of its module for other failures.
        """

        def complete() -> dict[str, Any]:
            return arguments | self._common_arguments(dialect)

        try:
            return self._search.connect(
                _Driver(dialect, given, complete, self._settings.sends_password),
                waiting_for(dialect),
                check=functools.partial(_check, dialect),
            )
        except DriverError as refused:
            raise as_driver_error(dialect, refused) from refused.__cause__

    def _common_arguments(self, dialect: Dialect) -> dict[str, Any]:
        process = os.getpid()  # the CA file is removed at the exit of the process that wrote it, so not shared by forks
        found = self._common.get(process)
        if found is None or not Path(found.get("sslrootcert", os.curdir)).exists():
            found = self._common[process] = common_arguments(dialect.driver, self._settings)
        return found


def _check(dialect: Dialect, located: Located) -> None:
    """Raise if the located engine needs another dialect; MySQL's and MariaDB's dialects are interchangeable."""
    if (ENGINES[dialect.name] is Engine.POSTGRES) != (located.engine is Engine.POSTGRES):
        raise ConfigError(
            f"the SQLAlchemy URL is one for {dialect.name}, and {located.target} runs {located.engine.value}: "
            "write the URL of that engine, or let rdskit.integrations.sqlalchemy.create_engine choose it"
        )


@dataclass(frozen=True, slots=True)
class _Driver:
    """Open a dialect's connection to a given host."""

    dialect: Dialect
    given: list[Any]
    arguments: Callable[[], dict[str, Any]]
    cleartext_password: bool

    def open(self, endpoint: Endpoint, login: Login, database: str | None, _timeout: float) -> DBAPIConnection:
        """Connect to one host; ``arguments`` contains the timeout."""
        found = self.arguments() | arguments_for(self.dialect.driver, endpoint, login, database)
        try:
            connection = connect_within_limits(
                self.dialect, self.given, found, cleartext_password=self.cleartext_password
            )
        except Exception as error:
            reported = reported_by(error, self.dialect, is_disconnect=isinstance(error, OSError))
            raise connect_error_of(reported, endpoint, login.user) from error
        try:
            self._run_step(watch_host, endpoint, connection)
            answer = functools.partial(run_first_query, seconds=seconds_in(self.dialect, found))
            self._run_step(answer, endpoint, connection)
        except BaseException:
            self.close(connection)
            raise
        return connection

    def role(self, endpoint: Endpoint, connection: DBAPIConnection) -> Role | None:
        """Return the role that the host reports."""
        return self._run_step(role_of, endpoint, connection)

    def close(self, connection: DBAPIConnection) -> None:
        """Close a connection that the application does not receive."""
        self.dialect.do_terminate(connection)

    def _run_step(self, step: Callable[[Dialect, DBAPIConnection], T], endpoint: Endpoint, made: DBAPIConnection) -> T:
        """Run a step on a new connection and map its errors."""
        try:
            return step(self.dialect, made)
        except (self.dialect.loaded_dbapi.Error, OSError) as error:
            raise connect_error_of(reported_by(error, self.dialect, is_disconnect=True), endpoint) from error
