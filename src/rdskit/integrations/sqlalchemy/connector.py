"""Opens the connections of an engine: the host that serves now, a login that it takes, and patience."""

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
    await_first_answer,
    connect_within_limits,
    lasting_arguments,
    role_of,
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
    """Opens connections for one engine.

    Args:
        destination: where to.
        settings: how.
        role: which hosts serve this engine; readers give way to the writer where there are none.
    """

    def __init__(self, destination: Destination, settings: Settings, role: Role) -> None:
        self._search = Search(destination, role, settings.timeout, settings.connect_timeout)
        self._settings = settings
        self._lasting: dict[int, dict[str, Any]] = {}

    def connect(self, dialect: Dialect, given: list[Any], arguments: dict[str, Any]) -> DBAPIConnection:
        """Open a connection, trying again while hosts are away and ``timeout`` has not passed.

        Raises:
            RdskitError: the target, the credentials or AWS.
            Exception: an error of the driver, or an ``OperationalError`` of its module in place of one that is none.
        """

        def complete() -> dict[str, Any]:
            return arguments | self._lasting_arguments(dialect)

        try:
            return self._search.connect(
                _Driver(dialect, given, complete, self._settings.sends_password),
                waiting_for(dialect),
                check=functools.partial(_check, dialect),
            )
        except DriverError as refused:
            raise as_driver_error(dialect, refused) from refused.__cause__

    def _lasting_arguments(self, dialect: Dialect) -> dict[str, Any]:
        process = os.getpid()  # the file with the authorities lives no longer than the process that wrote it
        found = self._lasting.get(process)
        if found is None or not Path(found.get("sslrootcert", os.curdir)).exists():
            found = self._lasting[process] = lasting_arguments(dialect.driver, self._settings)
        return found


def _check(dialect: Dialect, located: Located) -> None:
    """Refuse another engine; MySQL's and MariaDB's dialects serve each other's servers."""
    if (ENGINES[dialect.name] is Engine.POSTGRES) != (located.engine is Engine.POSTGRES):
        raise ConfigError(
            f"the SQLAlchemy URL is one for {dialect.name}, and {located.target} runs {located.engine.value}: "
            "write the URL of that engine, or let rdskit.integrations.sqlalchemy.create_engine choose it"
        )


@dataclass(frozen=True, slots=True)
class _Driver:
    """Opens what a dialect opens, at the host that it is given."""

    dialect: Dialect
    given: list[Any]
    arguments: Callable[[], dict[str, Any]]
    cleartext_password: bool

    def open(self, endpoint: Endpoint, login: Login, database: str | None, _timeout: float) -> DBAPIConnection:
        """Connect to one host; ``arguments`` holds the timeout."""
        found = self.arguments() | arguments_for(self.dialect.driver, endpoint, login, database)
        try:
            connection = connect_within_limits(
                self.dialect, self.given, found, cleartext_password=self.cleartext_password
            )
        except Exception as error:
            reported = reported_by(error, self.dialect, is_disconnect=isinstance(error, OSError))
            raise connect_error_of(reported, endpoint, login.user) from error
        try:
            self._first(watch_host, endpoint, connection)
            answer = functools.partial(await_first_answer, seconds=seconds_in(self.dialect, found))
            self._first(answer, endpoint, connection)
        except BaseException:
            self.close(connection)
            raise
        return connection

    def role(self, endpoint: Endpoint, connection: DBAPIConnection) -> Role | None:
        """Return what the host says it is."""
        return self._first(role_of, endpoint, connection)

    def close(self, connection: DBAPIConnection) -> None:
        """Close a connection that the application does not get."""
        self.dialect.do_terminate(connection)

    def _first(self, step: Callable[[Dialect, DBAPIConnection], T], endpoint: Endpoint, made: DBAPIConnection) -> T:
        """Take a first step on a new connection."""
        try:
            return step(self.dialect, made)
        except (self.dialect.loaded_dbapi.Error, OSError) as error:
            raise connect_error_of(reported_by(error, self.dialect, is_disconnect=True), endpoint) from error
